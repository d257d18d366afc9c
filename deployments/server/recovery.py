"""Runs that crashed are started again, and runs that a worker took and never began are called crashed.

The watcher looks for them again and again, as it does for acquisitions. An automation of the server would do it for each
event, but on SQLite the server handles an event that concerns several automations more than once, or not at all.
"""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import AwaitingRetry, Crashed

from deployments.server.automations import TAG

logger = logging.getLogger("spherovem_core.landing")

MOST_STARTS = 5
"""A run that crashed so often will crash again, most often for want of memory."""

START_TIMEOUT_S = 600.0
"""From Pending, when a worker takes a run, to its first sign of life."""

FORGOTTEN_AFTER = timedelta(days=7)
"""Runs that crashed longer ago are history."""

PAUSE_S = 30.0
RUNS_A_LOOK = 200


class Mender:
    """Mends runs at most every `pause_s` seconds; a server that does not answer is left for the next time."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._next_at = 0.0

    def tend(self) -> None:
        """Mend what there is to mend, if it is time."""
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + self._pause_s
        try:
            with get_client(sync_client=True) as client:
                mend_runs(client)
        except (httpx.HTTPError, PrefectHTTPStatusError, OSError) as error:
            logger.debug("runs could not be mended: %s", error)


def mend_runs(client: SyncPrefectClient, start_timeout_s: float = START_TIMEOUT_S) -> list[FlowRun]:
    """Start crashed runs of the deployments of this project again; gives those that were.

    A run crashes when its process, its machine or its allocation ends, not when a stage fails: the acquisition is
    as good as before, and the run goes on where it stopped. What the server schedules by itself comes again anyway.
    """
    now = datetime.now(UTC)
    for run, since in _runs_in(client, StateType.PENDING):
        if now - since > timedelta(seconds=start_timeout_s):
            message = (
                f"A worker took the run and did not begin it in {start_timeout_s:g} s: the worker is gone."
            )
            client.set_flow_run_state(run.id, Crashed(message=message))
            logger.warning("%s: taken by a worker and never begun; it counts as crashed", run.name)
    started = []
    for run, since in _runs_in(client, StateType.CRASHED):
        if run.auto_scheduled or run.run_count >= MOST_STARTS or now - since > FORGOTTEN_AFTER:
            continue
        message = f"Crashed, and started again; crash {max(run.run_count, 1)} of {MOST_STARTS}."
        client.set_flow_run_state(run.id, AwaitingRetry(message=message))
        logger.warning("%s: crashed, and is started again", run.name)
        started.append(run)
    return started


def _runs_in(client: SyncPrefectClient, state: StateType) -> Iterator[tuple[FlowRun, datetime]]:
    """Runs of our deployments in a state, and since when they are."""
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[TAG]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state])),
    )
    runs = client.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=RUNS_A_LOOK
    )
    yield from ((run, run.state.timestamp) for run in runs if run.state is not None and run.deployment_id)
