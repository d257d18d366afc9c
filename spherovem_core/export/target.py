"""Where an export goes: a file or folder appears in it whole or not at all, and none is replaced unasked."""

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

    Files are written in a hidden folder inside it and moved into place when they are whole. What a killed export left in
    the hidden folder goes when the next one begins.

    Parameters
    ----------
    folder
        Made where it is not there.
    replace
        Whether what is there already may be replaced.
    """

    def __init__(self, folder: Path, *, replace: bool = False) -> None:
        self.folder = folder
        self.replace = replace
        self._unfinished = folder / UNFINISHED

    def check(self, names: Sequence[str]) -> None:
        """Refuse to begin where something would be replaced unasked.

        Raises
        ------
        OutputExistsError
            Naming what is there.
        """
        there = [name for name in names if (self.folder / name).exists()]
        if there and not self.replace:
            more = f" and {len(there) - 3} more" if len(there) > 3 else ""
            raise OutputExistsError(
                f"{self.folder} holds {', '.join(there[:3])}{more} already; give --force to replace, or another --out"
            )

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the folder for as long as the export takes.

        Raises
        ------
        OutputExistsError
            If another export is writing into it.
        StoreNotWritableError
            If the disk is full or refuses to be written.
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
                f"the export cannot be written to {self.folder} ({error.strerror}); what is there is whole: free disk "
                "space or choose another --out, and repeat it with --force"
            ) from error

    def _lock(self, file: object) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
        except BlockingIOError as error:
            raise OutputExistsError(
                f"another export is writing into {self.folder}; wait for it, or choose another --out"
            ) from error

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path to write a file or folder to, which is then moved to its name; on an error nothing appears."""
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
