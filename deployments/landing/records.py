"""What is remembered of each acquisition that landed: one small file each, written whole or not at all.

Only the holder of the landing lock writes them. Whoever loses them loses nothing that matters: each acquisition is then
judged anew and handed over under the key it had before, for which the server makes no second run.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.landing.candidates import folder_name
from spherovem_core.store import read_json, write_json

STATE_FOLDER = ".landing"


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    fingerprint: str
    attempt: int


class Landed(_Message):
    """An acquisition that is ready and sound."""

    @property
    def key(self) -> str:
        """The server makes one run for it, however often it is asked."""
        return f"{self.name}:{self.fingerprint}:{self.attempt}"


class Rejection(_Message):
    """An acquisition that cannot be processed.

    Attributes
    ----------
    folder
        Results folder that gets the ``REJECTED.json``: the acquisition's, unless that belongs to another one.
    """

    folder: str
    error: str
    message: str
    rejected_at: str

    @property
    def key(self) -> str:
        """The same for each report of one rejection."""
        return f"{self.source}:{self.fingerprint}:{self.attempt}"


class Record(BaseModel):
    """What is known of one acquisition.

    Attributes
    ----------
    signature, since
        How its files looked at the last look, and since when (seconds since 1970).
    judged
        Signature under which it was judged last; judged again when the files look otherwise.
    spent_sentinel
        The sentinel that called for the last judgement; it does not call again.
    fingerprint
        Content that was last found sound.
    attempts
        How often each content was found sound or rejected.
    reported
        Content and reason of the last rejection; not reported again.
    due
        Sound acquisition that was not handed over yet.
    report
        Rejection that the server does not have for good yet.
    rejected_in
        Folder of its ``REJECTED.json``; empty when there is none.
    troubled_since
        Since when its files cannot be read for a reason that may pass; None when they can.
    again
        Whether an operator wants it judged anew, and processed anew if it is sound.
    flow_run
        Number of the run that was started last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    name: str
    signature: str = ""
    since: float = 0.0
    judged: str = ""
    spent_sentinel: tuple[int, int] | None = None
    fingerprint: str = ""
    attempts: dict[str, int] = {}
    reported: str = ""
    due: Landed | None = None
    report: Rejection | None = None
    rejected_in: str = ""
    troubled_since: float | None = None
    again: bool = False
    flow_run: str = ""

    def changed(self, **values: Any) -> "Record":
        """Copy it with other values."""
        return self.model_copy(update=values)

    def next_attempt(self, fingerprint: str) -> tuple[int, dict[str, int]]:
        """Number of the next attempt at this content, and the attempts that include it."""
        attempt = self.attempts.get(fingerprint, 0) + 1
        return attempt, {**self.attempts, fingerprint: attempt}


class Records:
    """The records of one results root."""

    def __init__(self, results_root: Path) -> None:
        self._folder = results_root / STATE_FOLDER / "records"
        self._records = {record.source: record for record in self._read()}

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records.values()))

    def find(self, source: str) -> Record | None:
        """Record of the acquisition at this place."""
        return self._records.get(source)

    def keep(self, record: Record) -> Record:
        """Write a record unless it is on disk already."""
        if self._records.get(record.source) != record:
            write_json(self._path(record), record.model_dump(mode="json"))
            self._records[record.source] = record
        return record

    def forget(self, record: Record) -> None:
        """Remove a record."""
        self._path(record).unlink(missing_ok=True)
        self._records.pop(record.source, None)

    def sweep(self) -> None:
        """Remove what a kill left half-written; for the holder of the landing lock alone."""
        for path in self._folder.glob(".*"):
            path.unlink(missing_ok=True)

    def _path(self, record: Record) -> Path:
        return self._folder / f"{folder_name(record.name, record.source)}.json"

    def _read(self) -> Iterator[Record]:
        for path in sorted(self._folder.glob("*.json")):
            # One that is damaged, or of another version, counts as none: the acquisition is judged anew.
            with suppress(ValidationError):
                yield Record.model_validate(read_json(path))
