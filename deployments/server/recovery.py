"""Recovery of crashed runs: restart them, and mark runs as crashed that were never begun or have fallen silent.

The watcher does this at its scans, by the states on the server. Automations of the server do it per event: they lose events when
the server is killed, and handle some twice (`benchmarks/automations.py`, figures in the guide *Operating spherovem*).
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import AwaitingRetry, Crashed

from deployments.server.automations import TAG

logger = logging.getLogger(__name__)

MAX_STARTS = 5
"""A run that crashed so often will crash again, most often because memory is short."""

START_TIMEOUT_S = 600.0
"""Longest time in Pending, from when a worker takes a run to its first sign of life."""

MAX_AGE = timedelta(days=7)
"""Longest time since a crash after which a run is still restarted."""

SILENCE_S = 180.0
"""Time of watching a run without seeing a new heartbeat of it; it sends one every 30 s. The automation of the server waits half
as long and comes first where it works."""

PAUSE_S = 30.0
RUNS_PER_PASS = 200


class CrashRecovery:
    """Recovery at most every `pause_s` seconds; a server that does not answer is asked again next time.

    Parameters
    ----------
    results_root
        Runs with results elsewhere are those of another watcher, and are left alone.
    silence_s
        As in `Heartbeats`.
    """

    def __init__(self, results_root: Path, pause_s: float = PAUSE_S, silence_s: float = SILENCE_S) -> None:
        self._results_root = results_root
        self._pause_s = pause_s
        self._next_at = 0.0
        self._heartbeats = Heartbeats(silence_s)

    def run_if_due(self) -> None:
        """Restart crashed runs, if the pause is over."""
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + self._pause_s
        try:
            with get_client(sync_client=True) as client:
                mark_stuck_runs(client, results_root=self._results_root)
                self._heartbeats.mark_silent_runs(client, results_root=self._results_root)
                restart_crashed_runs(client, results_root=self._results_root)
        except (httpx.HTTPError, PrefectHTTPStatusError, OSError) as error:
            logger.debug("crashed runs could not be restarted: %s", error)
            self._heartbeats.forget()


class Heartbeats:
    """Heartbeats of running runs as this process has seen them.

    Only time in which the server answered counts, so that a run is not blamed for a server that was down and has no events of it.

    Parameters
    ----------
    silence_s
        Time without a new heartbeat after which a run counts as dead.
    clock
        Returns seconds.
    """

    def __init__(self, silence_s: float = SILENCE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._silence_s, self._clock = silence_s, clock
        self._seen: dict[UUID, tuple[datetime | None, float]] = {}

    def forget(self) -> None:
        """Begin to watch anew: the server did not answer."""
        self._seen.clear()

    def mark_silent_runs(self, client: SyncPrefectClient, results_root: Path | None = None) -> list[FlowRun]:
        """Mark runs as crashed whose process and worker died together; return them.

        A run that never sent a heartbeat is left alone: somebody may have switched them off.

        Parameters
        ----------
        results_root
            As in `restart_crashed_runs`.
        """
        running = {run.id: run for run, _ in _runs_in(client, StateType.RUNNING, results_root)}
        self._seen = {run: seen for run, seen in self._seen.items() if run in running}
        marked = []
        for run in running.values():
            newest = _newest_heartbeat(client, run.id)
            before, since = self._seen.get(run.id, (None, self._clock()))
            self._seen[run.id] = (newest, since if newest == before else self._clock())
            if newest is None or newest != before or self._clock() - since <= self._silence_s:
                continue
            message = f"No heartbeat for {self._silence_s:g} s: the process and its worker have died or lost the connection."
            if _change_state(client, run, Crashed(message=message)):
                logger.warning("%s: fallen silent; it counts as crashed", run.name)
                marked.append(run)
        return marked


def _newest_heartbeat(client: SyncPrefectClient, run: UUID) -> datetime | None:
    """Return the time of the last heartbeat of a run that the server has stored; None if there is none."""
    wanted = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run}"]),
    )
    found = client.read_events(wanted, limit=1).events
    return found[0].occurred if found else None


def mark_stuck_runs(
    client: SyncPrefectClient, start_timeout_s: float = START_TIMEOUT_S, results_root: Path | None = None
) -> list[FlowRun]:
    """Mark runs as crashed that a worker took and did not begin in time; return them.

    Parameters
    ----------
    results_root
        As in `restart_crashed_runs`.
    """
    now = datetime.now(UTC)
    marked = []
    for run, since in _runs_in(client, StateType.PENDING, results_root):
        if now - since > timedelta(seconds=start_timeout_s):
            message = (
                f"A worker took the run and did not begin it in {start_timeout_s:g} s: the worker is gone."
            )
            if _change_state(client, run, Crashed(message=message)):
                logger.warning("%s: taken by a worker and never begun; it counts as crashed", run.name)
                marked.append(run)
    return marked


def restart_crashed_runs(client: SyncPrefectClient, results_root: Path | None = None) -> list[FlowRun]:
    """Restart crashed runs of this project's deployments; return them.

    A run crashes when its process, machine or allocation ends, not when a stage fails. The acquisition is unharmed, and the
    run continues where it stopped. Runs that the server schedules itself are left out: the schedule starts new ones.

    Parameters
    ----------
    results_root
        Only runs with results there, and those with no results root, such as trainings; None for all.
    """
    now = datetime.now(UTC)
    started = []
    for run, since in _runs_in(client, StateType.CRASHED, results_root):
        if run.auto_scheduled or now - since > MAX_AGE:
            continue
        crashes = count_crashes(client.read_flow_run_states(run.id))
        if crashes >= MAX_STARTS:
            continue
        message = f"Crashed and restarted; crash {crashes} of {MAX_STARTS}."
        if _change_state(client, run, AwaitingRetry(message=message)):
            logger.warning("%s: crashed and restarted", run.name)
            started.append(run)
    return started


def count_crashes(states: Iterable[State[Any]]) -> int:
    """Count how often a run crashed, by its states: also before it began, which Prefect's own count of runs leaves out.

    A crash that is reported twice, by the worker and for the lack of a heartbeat, is one.
    """
    ordered = sorted(states, key=lambda state: state.timestamp)
    crashed = [state.type == StateType.CRASHED for state in ordered]
    return sum(now and not before for before, now in pairwise([False, *crashed]))


def _runs_in(
    client: SyncPrefectClient, state: StateType, results_root: Path | None
) -> Iterator[tuple[FlowRun, datetime]]:
    """Find runs of our deployments in a state, and the time since when they are in it."""
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[TAG]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state])),
    )
    runs = client.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=RUNS_PER_PASS
    )
    for run in runs:
        if run.state is not None and run.deployment_id and _is_ours(run, results_root):
            yield run, run.state.timestamp


def _change_state(client: SyncPrefectClient, run: FlowRun, state: State[Any]) -> bool:
    """Set a state; return whether the server took it: the run may have ended, or been deleted, since it was listed."""
    try:
        return client.set_flow_run_state(run.id, state).status == SetStateStatus.ACCEPT
    except ObjectNotFound:
        return False


def _is_ours(run: FlowRun, results_root: Path | None) -> bool:
    """Return whether a run writes into this results root, or into none."""
    given = [run.parameters, run.parameters.get("acquisition"), *(run.parameters.get("acquisitions") or [])]
    roots = {each["results_root"] for each in given if isinstance(each, Mapping) and "results_root" in each}
    return results_root is None or not roots or str(results_root) in {os.path.normpath(str(r)) for r in roots}
