"""The journal of corrections of one kind of object: one JSON operation a line, each bound to the line before."""

import errno
import fcntl
import getpass
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from spherovem_core.corrections.operations import Exclude, Operation, Undo, parse_operation
from spherovem_core.errors import CorrectionError, StoreNotWritableError
from spherovem_core.references import canonical_json
from spherovem_core.store.files import write_text
from spherovem_core.utils.disk_refusals import DISK_REFUSES

OWN_KEYS = ("id", "author", "time", "reason", "previous")
"""Keys of a line beside those of its operation."""


@dataclass(frozen=True)
class Entry:
    """A line of a journal.

    Attributes
    ----------
    number
        Line, from 1.
    id
        Identifier, by which an undo names it.
    author, reason
        Who made the operation, and why.
    time
        When, ISO 8601 in UTC.
    operation
        The operation itself.
    """

    number: int
    id: str
    author: str
    time: str
    reason: str
    operation: Operation


@dataclass(frozen=True)
class Draft:
    """An operation that is to be added to a journal.

    Attributes
    ----------
    operation
        The operation.
    id, author, time, reason
        As in `Entry`; what is empty is filled in.
    line
        Line of the file that it comes from; 0 for none.
    """

    operation: Operation
    id: str = ""
    author: str = ""
    time: str = ""
    reason: str = ""
    line: int = 0


class Journal:
    """A journal on disk.

    Lines are only ever added. Each holds the digest of the line before (``previous``), so that a journal that two people wrote at
    once, or from which a line was cut, is refused. An append rewrites the file beside and moves it into place under a lock: a
    kill leaves the journal before or after the whole append.

    Parameters
    ----------
    path
        ``RESULTS/NAME/corrections/<kind>.jsonl``; absent while nothing was corrected.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> tuple[Entry, ...]:
        """Read and check all lines, undone ones included.

        Raises
        ------
        CorrectionError
            For the first line that is cut off, is no operation, or does not follow the one before.
        """
        return tuple(_parse(self.path, self._lines()))

    def effective(self) -> tuple[Entry, ...]:
        """Return the operations that count, in order: without undone ones and without the undos themselves."""
        return _counted(self.entries())

    @property
    def head(self) -> str:
        """Digest of the last line; empty for an empty journal. It is the `previous` of the next line."""
        lines = self._lines()
        return _line_digest(lines[-1]) if lines else ""

    @property
    def digest(self) -> str:
        """Digest of the operations that count; empty if there are none."""
        return operations_digest(self.effective())

    @property
    def label_digest(self) -> str:
        """Digest of those that change labels; empty if there are none."""
        return operations_digest(changing_labels(self.effective()))

    @property
    def exclusion_digest(self) -> str:
        """Digest of those that exclude objects from statistics; empty if there are none."""
        return operations_digest(excluding(self.effective()))

    def as_of(
        self,
        digest: str | None = None,
        *,
        label_digest: str | None = None,
        exclusion_digest: str | None = None,
    ) -> tuple[Entry, ...]:
        """Return the operations that counted when the journal last had these digests: lines may have been added since.

        Parameters
        ----------
        digest, label_digest, exclusion_digest
            Digests that it had, empty for no such operations. None for any: of those operations, the newest count.

        Raises
        ------
        CorrectionError
            If it never had.
        """
        entries = self.entries()
        for length in range(len(entries), -1, -1):
            counted = _counted(entries[:length])
            chosen = (counted, changing_labels(counted), excluding(counted))
            wanted = (digest, label_digest, exclusion_digest)
            if all(
                own is None or operations_digest(each) == own
                for each, own in zip(chosen, wanted, strict=True)
            ):
                return counted
        raise CorrectionError(f"{self.path} was changed while it was applied; run again")

    def append(
        self,
        operations: Sequence[Operation],
        *,
        author: str = "",
        reason: str = "",
        after: str | None = None,
    ) -> tuple[Entry, ...]:
        """Add operations, all or none.

        Parameters
        ----------
        operations
            In the order in which they are applied.
        author
            Who made them; empty for the user of the operating system.
        reason
            Why.
        after
            `head` of the journal that they were made on; None takes the present one.

        Returns
        -------
        tuple of Entry
            The new lines.

        Raises
        ------
        CorrectionError
            If the journal is damaged, or has grown since `after`, or an undo names no operation that counts.
        """
        drafts = [Draft(operation, author=author, reason=reason) for operation in operations]
        return self.append_drafts(drafts, after=after)

    def append_drafts(self, drafts: Sequence[Draft], *, after: str | None = None) -> tuple[Entry, ...]:
        """Add operations that may have an identifier, an author and a time of their own, all or none; else as `append`."""
        with self._locked():
            lines, entries = self._lines(), list(self.entries())
            head = _line_digest(lines[-1]) if lines else ""
            if after is not None and after != head:
                by = f" by {entries[-1].author} at {entries[-1].time}" if entries else ""
                raise CorrectionError(
                    f"{self.path} was written{by} since it was read; read it again and repeat the operation"
                )
            counted = {entry.id for entry in self.effective()}
            time = datetime.now(UTC).isoformat(timespec="seconds")
            for draft in drafts:
                operation = draft.operation
                if isinstance(operation, Undo):
                    if operation.of not in counted:
                        raise CorrectionError(
                            f"{self.path}: undo of {operation.of}, which is no operation that counts"
                        )
                    counted.remove(operation.of)
                name = draft.id or uuid4().hex[:12]
                own = (name, draft.author or _user(), draft.time or time, draft.reason, head)
                line = canonical_json(
                    {**dict(zip(OWN_KEYS, own, strict=True)), **operation.model_dump(mode="json")}
                )
                lines.append(line)
                head = _line_digest(line)
                counted.add(name)
            found = tuple(_parse(self.path, lines))
            if drafts:
                write_text(self.path, "".join(f"{line}\n" for line in lines))
            return found[len(entries) :]

    def repair(self) -> str:
        """Drop a last line that is cut off, which was never acknowledged; return its text, empty if there is none.

        A whole line without its end, as some editors leave it, is none.
        """
        with self._locked():
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            whole, _, torn = text.rpartition("\n")
            if torn and _is_whole(torn):
                return ""
            if torn:
                write_text(self.path, f"{whole}\n" if whole else "")
            return torn

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        try:
            text = self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CorrectionError(f"{self.path} is not a text file: {error}") from error
        lines = text.split("\n")
        if (torn := lines.pop()) and _is_whole(torn):
            lines.append(torn)
        elif torn:
            raise CorrectionError(
                f"{self.path}: line {len(lines) + 1} is cut off in the middle; "
                "drop it with `spherovem labels log NAME --repair`, or restore the file from a copy"
            )
        return lines

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_name(f".{self.path.name}.lock").open("a") as file:
                # flock, not lockf: it excludes other threads of this process as well. Closing the file frees it.
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            if error.errno not in (*DISK_REFUSES, errno.EACCES, errno.EPERM):
                raise
            raise StoreNotWritableError(
                f"{self.path} could not be written ({error.strerror}); the journal is as it was: free or add disk space, or make "
                "its folder writable, and repeat the correction"
            ) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def journal_lines(entries: Sequence[Entry]) -> list[str]:
    """Return entries as lines that `labels apply` takes: with their identifiers, so that it knows them again."""
    return [
        canonical_json(
            {
                "id": entry.id,
                "author": entry.author,
                "time": entry.time,
                "reason": entry.reason,
                **entry.operation.model_dump(mode="json"),
            }
        )
        for entry in entries
    ]


def changing_labels(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the operations that change labels."""
    return tuple(entry for entry in entries if entry.operation.changes_labels)


def excluding(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the operations that exclude objects from statistics."""
    return tuple(entry for entry in entries if isinstance(entry.operation, Exclude))


def operations_digest(entries: Sequence[Entry]) -> str:
    """Return the digest of operations; empty if there are none."""
    if not entries:
        return ""
    # The number of a line decides the numbers of new labels.
    content = [
        [entry.number, entry.operation.model_dump(mode="json")]
        + ([entry.operation.meaning] if entry.operation.meaning > 1 else [])
        for entry in entries
    ]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _counted(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    undone = {entry.operation.of for entry in entries if isinstance(entry.operation, Undo)}
    return tuple(
        entry for entry in entries if entry.id not in undone and not isinstance(entry.operation, Undo)
    )


def _line_digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()[:16]


def _parse(path: Path, lines: Sequence[str]) -> Iterator[Entry]:
    previous, known = "", set[str]()
    for number, line in enumerate(lines, start=1):
        try:
            entry, follows = _entry(number, line)
        except CorrectionError as error:
            raise CorrectionError(f"{path}: line {number}: {error}") from error
        if follows != previous:
            raise CorrectionError(
                f"{path}: line {number} by {entry.author} does not follow the line before; a line was changed or removed, "
                "or two people wrote at once. Restore the file from a copy, and apply the lost operations again"
            )
        if isinstance(entry.operation, Undo) and entry.operation.of not in known:
            raise CorrectionError(
                f"{path}: line {number} undoes {entry.operation.of}, which no line before has"
            )
        if entry.id in known:
            raise CorrectionError(f"{path}: line {number} repeats the identifier {entry.id}")
        known.add(entry.id)
        previous = _line_digest(line)
        yield entry


def _is_whole(line: str) -> bool:
    """Return whether a line without its end is whole: no part of an object in JSON is one."""
    try:
        parse_object(line)
    except CorrectionError:
        return False
    return True


def parse_object(line: str) -> dict[str, Any]:
    """Parse a line that holds one JSON object.

    Raises
    ------
    CorrectionError
        If it holds anything else.
    """
    try:
        values: Any = json.loads(line)
    except ValueError as error:
        raise CorrectionError(f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CorrectionError(f"expected an object, got {type(values).__name__}")
    return values


def _entry(number: int, line: str) -> tuple[Entry, str]:
    values = parse_object(line)
    missing = [key for key in OWN_KEYS if not isinstance(values.get(key), str)]
    if missing:
        raise CorrectionError(f"{', '.join(missing)} missing")
    name, author, time, reason, previous = (values.pop(key) for key in OWN_KEYS)
    return Entry(number, name, author, time, reason, parse_operation(values)), previous
