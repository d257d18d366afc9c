"""Operations that are not in the journal yet, in a file that survives the end of the viewer."""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

from spherovem_core.corrections import Operation, parse_operation
from spherovem_core.errors import CorrectionError, StoreNotWritableError
from spherovem_core.store import Layout
from spherovem_core.store.files import write_text
from spherovem_core.store.layout import CorrectedKind

FOLDER = "unsaved"


class UnsavedOperations:
    """File of the unsaved operations of one session: one JSON operation a line, as ``spherovem labels apply`` reads it.

    It is there while there are any. A lock on a file beside it, which the system frees when the viewer ends in any way, tells
    running sessions from ended ones.

    Parameters
    ----------
    layout
        Results folder.
    kind
        Kind of object.
    author
        Name of the user, a part of the file's name.

    Raises
    ------
    StoreNotWritableError
        If the folder cannot be written.
    """

    def __init__(self, layout: Layout, kind: CorrectedKind, author: str) -> None:
        folder = unsaved_folder(layout, kind)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        user = "".join(letter if letter.isalnum() else "_" for letter in author) or "someone"
        self.path = folder / f"{kind}-{user}-{stamp}-{uuid4().hex[:8]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_file(self.path).open("a")
        except OSError as error:
            raise StoreNotWritableError(
                f"{folder} cannot be written ({error.strerror or error}), so that no correction could be saved; "
                "ask for write permission on the results folder"
            ) from error
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def write(self, operations: Sequence[Operation]) -> None:
        """Replace the file's content."""
        write_operations(self.path, operations)

    def close(self) -> None:
        """Free the lock; the operations stay in the file."""
        if not self._lock.closed:
            _lock_file(self.path).unlink(missing_ok=True)
            self._lock.close()


def unsaved_folder(layout: Layout, kind: CorrectedKind) -> Path:
    """Return the folder of the files of unsaved operations."""
    return layout.journal(kind).parent / FOLDER


def ended_sessions(layout: Layout, kind: CorrectedKind) -> list[Path]:
    """Return the files of ended sessions that left unsaved operations, the oldest first."""
    found = sorted(
        unsaved_folder(layout, kind).glob(f"{kind}-*.jsonl"), key=lambda path: path.stat().st_mtime
    )
    return [path for path in found if not _is_locked(path)]


def write_operations(path: Path, operations: Sequence[Operation]) -> None:
    """Write a file of operations whole; without any, remove it."""
    if operations:
        lines = [json.dumps(each.model_dump(mode="json")) for each in operations]
        write_text(path, "".join(f"{line}\n" for line in lines))
    else:
        path.unlink(missing_ok=True)


def read_operations(path: Path) -> list[Operation]:
    """Read a file of operations.

    Raises
    ------
    CorrectionError
        If a line is no operation.
    """
    operations: list[Operation] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            operations.append(parse_operation(json.loads(line)))
        except (CorrectionError, ValueError) as error:
            raise CorrectionError(f"{path}: line {number}: {error}") from error
    return operations


def _lock_file(path: Path) -> Path:
    return path.with_suffix(".lock")


def _is_locked(path: Path) -> bool:
    for file in _opened(_lock_file(path)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _opened(path: Path) -> Iterator[IO[str]]:
    with suppress(FileNotFoundError), path.open() as file:
        yield file
