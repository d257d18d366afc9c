"""Compressed files that can only be read from their beginning, unpacked for the time of the process."""

import errno
import gzip
import shutil
import tempfile
import threading
import zlib
from functools import lru_cache
from pathlib import Path

from spherovem_core.errors import BadSlicesError, StoreNotWritableError
from spherovem_core.ingest import locations

_PIECE = 2**20
_LOCK = threading.Lock()


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    # Removed when the process ends.
    return tempfile.TemporaryDirectory(prefix="spherovem-unpacked-")


def unpacked(path: Path, name: str) -> Path:
    """Unpack a gzip file into the folder for temporary files, once as long as its size and times stay the same.

    Parameters
    ----------
    path
        Compressed file.
    name
        Name for messages.

    Raises
    ------
    BadSlicesError
        If the file is damaged or ends early.
    StoreNotWritableError
        If the folder for temporary files is full.
    OSError
        If the disk or network fails.
    """
    state = locations.state_of(path)
    with _LOCK:
        plain, fault = _unpack(path, state.size, state.mark)
    if fault:
        raise BadSlicesError(f"{name}: {fault}")
    return plain


@lru_cache(maxsize=2**10)
def _unpack(path: Path, size: int, mark: str) -> tuple[Path, str]:
    target = Path(tempfile.mkdtemp(dir=_folder().name)) / "content"
    try:
        with (
            target.open("wb") as plain,
            locations.open_binary(path) as file,
            gzip.open(file) as packed,
        ):
            shutil.copyfileobj(packed, plain, _PIECE)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        target.unlink(missing_ok=True)
        return Path(), f"truncated or damaged ({error}); copy it again"
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreNotWritableError(
            f"{path.name} cannot be unpacked in {target.parents[2]} ({error.strerror}); free space there, or set TMPDIR "
            "to a folder with room for the whole volume"
        ) from error
    return target, ""
