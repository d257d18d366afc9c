"""Acquisitions that have landed and wait: for their files, for the server, or for a worker.

What they wait for is read from the watcher's records. Where ``PREFECT_API_URL`` names the server, it is asked for the states of
runs that have written nothing yet: a run may have failed before its first step, and a pool may be paused.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from deployments.landing.candidates import printable
from deployments.landing.records import STATE_FOLDER, Record, Records
from deployments.server.run_states import ServerStates
from deployments.settings import Settings
from spherovem_core.status import acquisition_state

WaitingState = Literal["settling", "valid", "queued", "paused", "running", "failed"]


@dataclass(frozen=True)
class Waiting:
    """An acquisition that waits.

    Attributes
    ----------
    state
        ``settling``: its files are not complete yet; ``valid``: its run waits for the server; ``queued``: its run waits for a
        worker; ``paused``: its run or the work pool is paused; ``running``: its run has begun and written nothing yet;
        ``failed``: it ended before it wrote anything.
    detail
        What it waits for, or the message of its run.
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
    server = ServerStates()
    for record in Records(results_root):
        if record.signature and (record.judged != record.signature or record.again):
            yield _settling(record, settings)
        elif record.due is not None:
            yield Waiting(
                record.name, record.source, "valid", "its run is started as soon as the server answers"
            )
        elif record.flow_run and _waits_for_its_run(record, results_root / record.name):
            waiting = _of_run(record, server, has_results=not _is_untouched(results_root / record.name))
            if waiting is not None:
                yield waiting


def _of_run(record: Record, server: ServerStates, *, has_results: bool) -> Waiting | None:
    """Return what the run of an acquisition waits for; None where it has ended well."""
    run, old = record.flow_run, "landed again, its old results stay until then; " if has_results else ""
    state = server.find(run)

    def waiting(name: WaitingState, detail: str) -> Waiting:
        return Waiting(record.name, record.source, name, f"{old}{detail}")

    if state is None or (state.type in ("SCHEDULED", "PENDING") and not state.pool_is_paused):
        full = state is not None and state.name == "AwaitingConcurrencySlot"
        cause = "when another run of its deployment has ended" if full else "when one is free"
        return waiting("queued", f"a worker takes its run {run} {cause}")
    if state.type == "SCHEDULED":
        return waiting(
            "paused", f"the work pool {state.pool} is paused: prefect work-pool resume {state.pool}"
        )
    if state.type == "PAUSED":
        return waiting("paused", f"its run {run} is paused: resume it in the UI")
    if state.type == "COMPLETED":
        return None
    if state.type in ("FAILED", "CRASHED", "CANCELLED", "CANCELLING"):
        return waiting("failed", f"{state.message or state.name} (run {run})")
    return waiting("running", f"its run {run} has begun")


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


def _waits_for_its_run(record: Record, folder: Path) -> bool:
    """Return whether the last run of an acquisition has written nothing into its results folder yet."""
    if _is_untouched(folder) or not record.handed_over:  # records of earlier versions have no time
        return _is_untouched(folder)
    state = acquisition_state(folder)
    last = None if state.last is None else datetime.fromisoformat(state.last).timestamp()
    return state.state != "running" and (last is None or last < int(record.handed_over))


def _is_untouched(folder: Path) -> bool:
    """Return whether no run has begun in a results folder."""
    return not folder.is_dir() or acquisition_state(folder).state == "absent"
