"""Records of the acquisitions that landed: one small JSON file each, written whole or not at all.

Only the holder of the watcher's lock writes them. Lost records do no harm: each acquisition is checked again and gets the
idempotency key that it had before, for which the server makes no second run.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.landing.candidates import unique_folder_name
from spherovem_core.store import read_json, write_json

STATE_FOLDER = ".landing"


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    fingerprint: str
    attempt: int


class LandedAcquisition(_Message):
    """A landed acquisition that is ready and valid."""

    @property
    def key(self) -> str:
        """Idempotency key: the server makes one run for it."""
        return f"{self.name}:{self.fingerprint}:{self.attempt}"


class Rejection(_Message):
    """A landed acquisition that cannot be processed.

    Attributes
    ----------
    folder
        Folder of the ``REJECTED.json``: the acquisition's results folder, unless another acquisition has that.
    """

    folder: str
    error: str
    message: str
    rejected_at: str

    @property
    def key(self) -> str:
        """Identity of the rejection, the same in every report of it."""
        return f"{self.source}:{self.fingerprint}:{self.attempt}"


class Record(BaseModel):
    """State of one acquisition as the watcher knows it.

    Attributes
    ----------
    signature, since
        State of its files at the last scan, and the time since when it is so (seconds since 1970).
    judged
        Signature at the last check; the acquisition is checked again when its signature differs.
    spent_sentinel
        Sentinel that caused the last check; it causes no second one.
    fingerprint
        Content that was last found valid.
    attempts
        Number of checks per content, valid or rejected.
    reported
        Identity of the last rejection; it is not reported again.
    due
        Valid acquisition whose run is not started yet.
    report
        Rejection that the server has not stored yet.
    rejected_in
        Folder of its ``REJECTED.json``; empty if there is none.
    troubled_since
        Time since when its files cannot be read for a reason that may pass; None if they can.
    again
        True if an operator requests another check and, if valid, another run.
    flow_run, handed_over
        Id of the last flow run, and the time when it was started (seconds since 1970).
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
    due: LandedAcquisition | None = None
    report: Rejection | None = None
    rejected_in: str = ""
    troubled_since: float | None = None
    again: bool = False
    flow_run: str = ""
    handed_over: float = 0.0

    def changed(self, **values: Any) -> "Record":
        """Copy the record with other values."""
        return self.model_copy(update=values)

    def next_attempt(self, fingerprint: str) -> tuple[int, dict[str, int]]:
        """Count one more attempt at this content: its number, and all attempts including it."""
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
        """Return the record of the acquisition at this place."""
        return self._records.get(source)

    def keep(self, record: Record) -> Record:
        """Write a record, unless it is on disk already."""
        if self._records.get(record.source) != record:
            write_json(self._path(record), record.model_dump(mode="json"))
            self._records[record.source] = record
        return record

    def forget(self, record: Record) -> None:
        """Remove a record."""
        self._path(record).unlink(missing_ok=True)
        self._records.pop(record.source, None)

    def remove_partial_files(self) -> None:
        """Remove half-written files of a killed watcher; only the holder of the watcher's lock may call this."""
        for path in self._folder.glob(".*"):
            path.unlink(missing_ok=True)

    def _path(self, record: Record) -> Path:
        return self._folder / f"{unique_folder_name(record.name, record.source)}.json"

    def _read(self) -> Iterator[Record]:
        for path in sorted(self._folder.glob("*.json")):
            # A record that is damaged or of another version does not count: the acquisition is checked again.
            with suppress(ValidationError):
                yield Record.model_validate(read_json(path))
