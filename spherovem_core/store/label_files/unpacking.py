"""Unpacked copies of compressed files in the folder for temporary files."""

import errno
import gzip
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from spherovem_core.errors import LabelsError, StoreNotWritableError

PIECE = 2**20


@contextmanager
def unpacking(path: Path, target: Path) -> Iterator[BinaryIO]:
    """Open the file that takes the unpacked content; turn a full disk into an error that names the remedy."""
    try:
        with target.open("wb") as plain:
            yield plain
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreNotWritableError(
            f"{path} cannot be unpacked in {target.parent.parent} ({error.strerror}); free space there, or set TMPDIR to "
            "a folder with room for the whole array"
        ) from error


def gunzip(path: Path, folder: Path) -> Path:
    """Unpack a gzip file into a folder and return the path of its content."""
    target = folder / path.stem
    try:
        with gzip.open(path) as packed, unpacking(path, target) as plain:
            shutil.copyfileobj(packed, plain, PIECE)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LabelsError(f"{path} is no whole gzip file ({error}); copy or write it again") from error
    return target
