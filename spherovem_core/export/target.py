"""Target folder of an export, in which files appear only when they are complete."""

import errno
import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from spherovem_core.errors import OutputExistsError, StoreNotWritableError

UNFINISHED = ".unfinished"
LOCK = "lock"
DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class ExportTarget:
    """A folder for exported files.

    Files are written to a hidden folder inside it and moved into place when they are complete. The next export deletes
    the leftovers of a killed one in the hidden folder.

    Parameters
    ----------
    folder
        Folder; created if absent.
    replace
        True to replace existing files.
    """

    def __init__(self, folder: Path, *, replace: bool = False) -> None:
        self.folder = folder
        self.replace = replace
        self._unfinished = folder / UNFINISHED

    def check(self, names: Sequence[str]) -> None:
        """Check that the export replaces no file, unless `replace` is set.

        Raises
        ------
        OutputExistsError
            If files exist; the message names them.
        """
        there = [name for name in names if (self.folder / name).exists()]
        if there and not self.replace:
            more = f" and {len(there) - 3} more" if len(there) > 3 else ""
            raise OutputExistsError(
                f"{self.folder} already holds {', '.join(there[:3])}{more}; give --force to replace, or another --out"
            )

    @contextmanager
    def open(self) -> Iterator[None]:
        """Lock the folder during the export.

        Raises
        ------
        OutputExistsError
            If another export is writing to it.
        StoreNotWritableError
            If the disk is full or not writable.
        """
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True)
            with (self._unfinished / LOCK).open("a+") as file:
                self._lock(file)
                for leftover in self._unfinished.iterdir():
                    if leftover.name != LOCK:
                        _remove(leftover)
                try:
                    yield
                finally:
                    shutil.rmtree(self._unfinished, ignore_errors=True)
        except OSError as error:
            if error.errno not in DISK_REFUSES:
                raise
            raise StoreNotWritableError(
                f"the export cannot be written to {self.folder} ({error.strerror}); the files in it are complete: free disk "
                "space or choose another --out, and repeat it with --force"
            ) from error

    def _lock(self, file: object) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
        except BlockingIOError as error:
            raise OutputExistsError(
                f"another export is writing to {self.folder}; wait for it, or choose another --out"
            ) from error

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a path for a file or folder, and move it to its name afterwards; on an error nothing appears."""
        fresh = self._unfinished / Path(name).name
        _remove(fresh)
        yield fresh
        final = self.folder / name
        final.parent.mkdir(parents=True, exist_ok=True)
        if fresh.is_dir():
            _remove(final)
        fresh.replace(final)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
