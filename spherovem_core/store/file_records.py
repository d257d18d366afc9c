"""Records of tables, documents and the report: what each held when it was written.

Each has a small file of its own below ``checksums/``, apart from what it speaks of: a table that pandas or a spreadsheet
saves again loses all that was stored inside it. It is not below ``.spherovem``, which holds nothing that a user needs to copy.
The record is written first, with the state before beside it; then the file is moved into place. A kill at any instant leaves
a file that its record knows.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spherovem_core.store.adoptions import ADOPTED, describe_adoption
from spherovem_core.store.changes import Change, adopted_error, changed_error, format_time
from spherovem_core.store.checksums import FileState
from spherovem_core.store.files import read_json, write_atomically, write_json
from spherovem_core.store.layout import Layout

TRIES = 3


@dataclass(frozen=True)
class FileRecord:
    """Record of a file.

    Attributes
    ----------
    state
        What it holds.
    before
        What it held before, while it is being replaced.
    kept
        What its step keeps with it: its marker, and the types of a table's columns.
    """

    state: FileState
    before: FileState | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)


def record_path(layout: Layout, path: str) -> Path:
    """Return the file of the record of a file in the results folder."""
    return layout.checksums / f"{path}.json"


def read_record(layout: Layout, path: str) -> FileRecord | None:
    """Read the record of a file; None where there is none, or it is damaged."""
    document = read_json(record_path(layout, path)) or {}
    state = FileState.from_text(document.get("file"))
    if state is None:
        return None
    kept = document.get("kept")
    return FileRecord(
        state, FileState.from_text(document.get("before")), kept if isinstance(kept, dict) else {}
    )


def save_record(layout: Layout, path: str, record: FileRecord) -> None:
    """Write the record of a file whole or not at all."""
    before = {} if record.before is None else {"before": record.before.text}
    write_json(record_path(layout, path), {"file": record.state.text, **before, "kept": dict(record.kept)})


def find_change(layout: Layout, path: str, *, read: bool = False) -> Change | None:
    """Return the change of a recorded file; None for one that is as it was written, is not there, or has no record.

    A file of another time is read. Where it holds the same, as after a copy, its record takes over the time.

    Parameters
    ----------
    read
        Read the file whatever its time.
    """
    for _ in range(TRIES):
        record = read_record(layout, path)
        if record is None:
            return None
        change = _compare(layout, path, record, read=read)
        # Another process may have written the file again meanwhile.
        if change is None or read_record(layout, path) == record:
            break
    return change


def _compare(layout: Layout, path: str, record: FileRecord, *, read: bool) -> Change | None:
    place, known = layout.path(path), [state for state in (record.state, record.before) if state is not None]
    try:
        found = place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not read and (found.st_size, found.st_mtime_ns) in [(each.size, each.mtime_ns) for each in known]:
        return None
    same = [each for each in known if each.holds_same(FileState.of(place, each.checksum))]
    now = FileState.of(place)
    if same:
        if record.state in same and now != record.state:
            with suppress(OSError):
                save_record(layout, path, FileRecord(now, record.before, record.kept))
        return None
    then = record.state
    if now.size == then.size:
        what = (
            f"holds other bytes, of {format_time(now.mtime_ns)}; it was written {format_time(then.mtime_ns)}"
        )
    else:
        what = f"has {now.size} bytes, of {format_time(now.mtime_ns)}; it had {then.size}, of {format_time(then.mtime_ns)}"
    return Change("", what)


def check_file(layout: Layout, path: str) -> None:
    """Refuse a file that is not the one that was written.

    Raises
    ------
    ChangedArtifactError
        If it was changed.
    """
    change = find_change(layout, path)
    if change is not None:
        raise changed_error(layout, path, [change])


def refuse_to_replace_file(layout: Layout, path: str) -> None:
    """Make sure that a file was not changed by hand.

    Raises
    ------
    ChangedArtifactError
        If it was changed, or adopted after a change.
    """
    check_file(layout, path)
    record = read_record(layout, path)
    adopted = None if record is None else record.kept.get(ADOPTED)
    if adopted and layout.path(path).exists():
        raise adopted_error(layout, path, describe_adoption(adopted))


def write_recorded(
    layout: Layout, path: str, write: Callable[[Path], None], kept: Mapping[str, Any] | None = None
) -> None:
    """Write a file of the results with its record; a kill leaves the old file or the new one, and the record knows both.

    Raises
    ------
    ChangedArtifactError
        If it would replace a file that was changed by hand.
    """
    refuse_to_replace_file(layout, path)
    place = layout.path(path)
    before = FileState.of(place) if place.is_file() else None

    def note(fresh: Path) -> None:
        write(fresh)
        save_record(layout, path, FileRecord(FileState.of(fresh), before, kept or {}))

    write_atomically(place, note)
    save_record(layout, path, FileRecord(FileState.of(place), None, kept or {}))


def adopt_file(
    layout: Layout, path: str, write: Callable[[Path], None] | None, kept: Mapping[str, Any]
) -> None:
    """Record a changed file as it is, or as `write` writes it again; a kill leaves it changed, to be adopted again."""
    if write is not None:
        write_atomically(layout.path(path), write)
    save_record(layout, path, FileRecord(FileState.of(layout.path(path)), None, kept))


def move_file(layout: Layout, path: str, to: str) -> None:
    """Give a file another name, with its record, in place of a file that has it; a kill leaves it under either name.

    Raises
    ------
    ChangedArtifactError
        If one of the two files was changed by hand.
    """
    check_file(layout, path)
    refuse_to_replace_file(layout, to)
    record = read_record(layout, path)
    target = layout.path(to)
    target.parent.mkdir(parents=True, exist_ok=True)
    if record is None:
        forget_file(layout, to)
    else:
        # Under either name the file is one that the record of that name knows.
        before = FileState.of(target) if target.is_file() else None
        save_record(layout, to, FileRecord(record.state, before, record.kept))
    layout.path(path).replace(target)
    if record is not None:
        save_record(layout, to, record)
    forget_file(layout, path)


def forget_file(layout: Layout, path: str) -> None:
    """Remove the record of a file."""
    record_path(layout, path).unlink(missing_ok=True)
