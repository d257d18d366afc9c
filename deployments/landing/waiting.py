"""Acquisitions that have landed and wait: for their files, for the server, or for a worker; read from the watcher's records."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from deployments.landing.candidates import printable
from deployments.landing.records import STATE_FOLDER, Record, Records
from deployments.settings import Settings
from spherovem_core.status import acquisition_state

WaitingState = Literal["settling", "valid", "queued"]


@dataclass(frozen=True)
class Waiting:
    """An acquisition that waits.

    Attributes
    ----------
    state
        ``settling``: its files are not complete yet; ``valid``: its run waits for the server; ``queued``: its run waits for a
        worker.
    detail
        What it waits for.
    until
        Time at which it is ready if nothing changes (ISO 8601, local time with its offset from UTC); None if it waits for
        something else.
    """

    name: str
    source: str
    state: WaitingState
    detail: str
    until: str | None = None

    def document(self) -> dict[str, str | None]:
        """Return it as JSON."""
        return asdict(self)


def waiting_acquisitions(results_root: Path, settings: Settings) -> list[Waiting]:
    """List the acquisitions that wait, by name; none where no watcher serves this results root."""
    if not (results_root / STATE_FOLDER).is_dir():
        return []
    found = (replace(each, name=printable(each.name)) for each in _waiting(results_root, settings))
    return sorted(found, key=lambda each: (each.name, each.source))


def _waiting(results_root: Path, settings: Settings) -> Iterator[Waiting]:
    for record in Records(results_root):
        if record.signature and (record.judged != record.signature or record.again):
            yield _settling(record, settings)
        elif record.due is not None:
            yield Waiting(
                record.name, record.source, "valid", "its run is started as soon as the server answers"
            )
        elif record.flow_run and _is_untouched(results_root / record.name):
            detail = f"a worker takes its run {record.flow_run} when one is free"
            yield Waiting(record.name, record.source, "queued", detail)


def _settling(record: Record, settings: Settings) -> Waiting:
    again = "landed again, its old results stay until it is processed; " if record.fingerprint else ""
    if settings.sentinel_only:
        detail = f"{again}waits for the file {settings.sentinel}"
        return Waiting(record.name, record.source, "settling", detail)
    detail = (
        f"{again}ready when its files have not changed for {settings.settle_seconds:g} s, or with the file "
        f"{settings.sentinel}"
    )
    until = datetime.fromtimestamp(record.since + settings.settle_seconds).astimezone()
    return Waiting(record.name, record.source, "settling", detail, until.isoformat(timespec="seconds"))


def _is_untouched(folder: Path) -> bool:
    """Return whether no run has begun in a results folder."""
    return not folder.is_dir() or acquisition_state(folder).state == "absent"
