"""Automations of the Prefect server against the recovery of the watcher: which loses or doubles runs when the server is killed.

    python benchmarks/automations.py [--runs 20] [--json FILE]

Two automations do by events what `deployments/server/recovery.py` does by looking: one restarts each run that crashed, one marks
each run as crashed that stays pending. Beside them are the automations of `spherovem setup`. For each pause between the last
event and a SIGKILL of the server (none: it is not killed) runs are set to Crashed, others to Pending. Afterwards it is counted
how many were restarted never, once and more than once, and how many pending ones were never marked. Then one pass of the
recovery is counted in the same way. SQLite, settings of the server as of `spherovem up`.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from landings import free_port
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Crashed, Pending, Running

from deployments.facility.children import Child
from deployments.facility.home import Access, FacilityHome
from deployments.facility.own_server import is_healthy
from deployments.facility.programs import server_program
from deployments.server.automations import RUNS, TAG, TAGGED, end_silent_runs
from deployments.server.provisioning import ensure_automation, ensure_work_pool
from deployments.server.recovery import mark_stuck_runs, restart_crashed_runs

WITHIN_S = 20.0
"""Time in Pending after which the automation marks a run; the recovery of the watcher waits 600 s."""

SETTLE_S = 90.0
"""Time that the automations get; the server looks at triggers of absent events every 5 s."""

CASES = (None, 5.0, 1.0, 0.0)


@flow(name="nothing")
def nothing() -> None:
    """Do nothing: the runs are never begun."""


def trigger(posture: Posture, seconds: float = 0.0, **events: set[str]) -> EventTrigger:
    return EventTrigger(
        match=RUNS,
        match_related=TAGGED,
        for_each={"prefect.resource.id"},
        posture=posture,
        threshold=1,
        within=seconds,
        **events,
    )


def automations() -> list[AutomationCore]:
    """Return what the recovery does, as automations, and that of the set-up."""
    ended = {
        f"prefect.flow-run.{state}" for state in ("Running", "Completed", "Failed", "Crashed", "Cancelled")
    }
    return [
        end_silent_runs(),
        AutomationCore(
            name="restart crashed runs",
            trigger=trigger(Posture.Reactive, expect={"prefect.flow-run.Crashed"}),
            actions=[
                ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message="restarted")
            ],
        ),
        AutomationCore(
            name="end runs that are never begun",
            trigger=trigger(Posture.Proactive, WITHIN_S, after={"prefect.flow-run.Pending"}, expect=ended),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message="never begun")],
        ),
    ]


class Server:
    """A server that can be killed and is started again."""

    def __init__(self, folder: Path) -> None:
        home = FacilityHome(folder)
        home.make()
        self.access: Access = home.access(free_port())
        self._child = Child(server_program(home, self.access), home.logs, home.folder)

    def start(self) -> None:
        """Start it and wait for its answer."""
        deadline = time.monotonic() + 600.0
        while True:
            self._child.keep_running()
            if is_healthy(self.access.api_url):
                return
            if time.monotonic() > deadline:
                sys.exit("the server does not start")
            time.sleep(0.5)

    def kill(self) -> None:
        """Kill it as a crash would, and start it again."""
        if self._child.pid is not None:
            os.kill(self._child.pid, signal.SIGKILL)
        time.sleep(1.0)
        self.start()

    def end(self) -> None:
        """End it."""
        self._child.end(60.0)


@contextmanager
def connected(access: Access) -> Iterator[SyncPrefectClient]:
    with (
        temporary_settings({PREFECT_API_URL: access.api_url, PREFECT_API_AUTH_STRING: access.auth_string}),
        get_client(sync_client=True) as client,
    ):
        yield client


def make_runs(client: SyncPrefectClient, count: int, pool: str) -> list[UUID]:
    """Make runs of a deployment with the tag of ours."""
    deployment = client.create_deployment(
        flow_id=client.create_flow(nothing), name="nothing", work_pool_name=pool, tags=[TAG]
    )
    return [client.create_flow_run_from_deployment(deployment).id for _ in range(count)]


def measure_case(server: Server, runs: int, pause_s: float | None) -> dict[str, Any]:
    """Set runs to Crashed and Pending, kill the server after the pause, and count what the automations did."""
    with connected(server.access) as client:
        ensure_work_pool(client, "measured", "")
        crashed, pending = make_runs(client, runs, "measured"), make_runs(client, runs, "measured")
        for run in crashed:
            client.set_flow_run_state(run, Pending(), force=True)
            client.set_flow_run_state(run, Running(), force=True)
        for run in pending:
            client.set_flow_run_state(run, Pending(), force=True)
        for run in crashed:
            client.set_flow_run_state(run, Crashed(message="killed"), force=True)
    if pause_s is not None:
        time.sleep(pause_s)
        server.kill()
    time.sleep(SETTLE_S)
    with connected(server.access) as client:
        found = {"by automations": counted(client, crashed, pending)}
        mark_stuck_runs(client, WITHIN_S)
        restart_crashed_runs(client)
        found["after one pass of the recovery"] = counted(client, crashed, pending)
        for run in (*crashed, *pending):
            client.delete_flow_run(run)
    return found


def counted(client: SyncPrefectClient, crashed: Sequence[UUID], pending: Sequence[UUID]) -> dict[str, int]:
    """Count runs by how often they were restarted, and pending ones that nothing marked."""
    restarts = Counter(min(names(client, run).count("AwaitingRetry"), 2) for run in crashed)
    unmarked = sum("Crashed" not in names(client, run) for run in pending)
    return {
        "restarted never": restarts[0],
        "restarted once": restarts[1],
        "restarted more often": restarts[2],
        "pending for ever": unmarked,
    }


def names(client: SyncPrefectClient, run: UUID) -> list[str]:
    return [str(state.name) for state in client.read_flow_run_states(run)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {"runs": options.runs}
    with tempfile.TemporaryDirectory(prefix="automations-") as folder:
        server = Server(Path(folder) / "home")
        try:
            server.start()
            with connected(server.access) as client:
                for automation in automations():
                    ensure_automation(client, automation)
            for pause_s in CASES:
                case = "not killed" if pause_s is None else f"killed {pause_s:g} s after the last event"
                found[case] = measure_case(server, options.runs, pause_s)
                print(case, json.dumps(found[case]), flush=True)
        finally:
            server.end()
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
