"""Recovery of crashed runs: restarted up to five times, and no other runs."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Crashed, Failed, Pending, Running
from trivial_deployments import deploy_trivial_flow, send_event, wait_until

from deployments.server import recovery
from deployments.server.provisioning import ensure_work_pool
from deployments.server.recovery import MAX_STARTS, Heartbeats, mark_stuck_runs, restart_crashed_runs


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        ensure_work_pool(client, "recovery", "")
        yield client


def run_in(
    client: SyncPrefectClient, *states: State[object], tag: str = "spherovem", **parameters: object
) -> UUID:
    """Make a run of a deployment and set these states in order; return its id."""
    deployment = client.read_deployment_by_name(deploy_trivial_flow(client, "recovery", tags=[tag]))
    run = client.create_flow_run_from_deployment(
        deployment.id, parameters={"folder": "/nowhere", **parameters}
    )
    for state in states:
        client.set_flow_run_state(run.id, state, force=True)
    return run.id


def now(client: SyncPrefectClient, run: UUID) -> FlowRun:
    return client.read_flow_run(run)


def test_only_crashed_runs_of_this_project_are_restarted(client: SyncPrefectClient) -> None:
    crashed = run_in(client, Pending(), Running(), Crashed(message="killed"))
    others = {
        "Failed": run_in(client, Pending(), Running(), Failed(message="bad slice")),
        "Completed": run_in(client, Pending(), Running(), Completed()),
        "Running": run_in(client, Pending(), Running()),
        "Pending": run_in(client, Pending()),
        "Crashed": run_in(client, Pending(), Running(), Crashed(), tag="somebody else's"),
    }
    assert [run.id for run in restart_crashed_runs(client)] == [crashed]
    state = now(client, crashed).state
    assert state is not None
    assert (state.name, state.message) == ("AwaitingRetry", "Crashed and restarted; crash 1 of 5.")
    assert {name: now(client, run).state_name for name, run in others.items()} == {
        name: name for name in others
    }
    assert restart_crashed_runs(client) == []


def test_a_run_is_restarted_until_its_fifth_crash(client: SyncPrefectClient) -> None:
    run = run_in(client)
    starts = 0
    for _ in range(MAX_STARTS):
        for state in (Pending(), Running(), Crashed(message="killed")):
            client.set_flow_run_state(run, state, force=True)
        starts += run in [restarted.id for restarted in restart_crashed_runs(client)]
    assert starts == MAX_STARTS - 1
    assert now(client, run).state_name == "Crashed"


def test_a_run_that_a_worker_took_and_never_began_is_restarted(client: SyncPrefectClient) -> None:
    run = run_in(client, Pending(name="Submitting"))
    assert run not in [marked.id for marked in mark_stuck_runs(client)]
    assert now(client, run).state_name == "Submitting"
    assert run in [marked.id for marked in mark_stuck_runs(client, start_timeout_s=0.0)]
    assert run in [restarted.id for restarted in restart_crashed_runs(client)]
    assert now(client, run).state_name == "AwaitingRetry"


def test_a_run_that_dies_before_it_begins_is_restarted_until_its_fifth_crash(
    client: SyncPrefectClient,
) -> None:
    run = run_in(client)
    messages = []
    for _ in range(MAX_STARTS + 2):
        for state in (Pending(), Crashed(message="died before it began"), Crashed(message="no heartbeat")):
            client.set_flow_run_state(run, state, force=True)
        if run not in [restarted.id for restarted in restart_crashed_runs(client)]:
            break
        state_now = now(client, run).state
        assert state_now is not None
        messages.append(str(state_now.message))
    assert [message[-7:-1] for message in messages] == [f"{number} of 5" for number in range(1, MAX_STARTS)]
    assert now(client, run).run_count == 0


def test_watchers_of_two_results_roots_leave_each_others_runs_alone(client: SyncPrefectClient) -> None:
    ours, theirs = Path("/data/ours"), Path("/data/theirs")
    place = {"name": "a", "source": "/land/a", "results_root": f"{ours}/"}
    runs = {
        "acquisition": run_in(client, Pending(), Crashed(), acquisition=place),
        "results_root": run_in(client, Pending(), Crashed(), results_root=str(ours)),
        "backlog": run_in(client, Pending(), Crashed(), acquisitions=[place]),
    }
    training = run_in(client, Pending(), Crashed())
    waiting = run_in(client, Pending(), acquisition=place)
    assert [run.id for run in restart_crashed_runs(client, theirs)] == [training]
    assert waiting not in [run.id for run in mark_stuck_runs(client, 0.0, theirs)]
    assert {run.id for run in restart_crashed_runs(client, ours)} == set(runs.values())
    assert waiting in [run.id for run in mark_stuck_runs(client, 0.0, ours)]


def test_a_run_without_a_new_heartbeat_is_marked_while_one_that_lives_is_not(
    client: SyncPrefectClient,
) -> None:
    now_s = [0.0]
    heartbeats = Heartbeats(100.0, lambda: now_s[0])
    living, silent, never = (run_in(client, Pending(), Running()) for _ in range(3))

    def beat(run: UUID) -> None:
        before = newest(client, run)
        send_event(client, "prefect.flow-run.heartbeat", f"prefect.flow-run.{run}", {})
        wait_until(lambda: newest(client, run) != before, 60.0, lambda: "the heartbeat is not stored")

    def marked() -> set[UUID]:
        found = {run.id for run in heartbeats.mark_silent_runs(client)}
        return found & {living, silent, never}

    beat(living)
    beat(silent)
    assert marked() == set()
    now_s[0] = 90.0
    beat(living)
    assert marked() == set()
    now_s[0] = 110.0
    assert marked() == {silent}
    assert now(client, living).state_name == "Running"
    assert now(client, never).state_name == "Running", "its heartbeats may be off"
    assert now(client, silent).state_name == "Crashed"
    heartbeats.forget()
    now_s[0] = 250.0
    assert marked() == set(), "the server was silent, not the run"
    now_s[0] = 360.0
    assert marked() == {living}


def test_runs_that_ended_or_were_deleted_since_they_were_listed_are_not_called_crashed(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A deleted one ended the watcher, and one that ended meanwhile was logged as crashed."""
    ended, deleted, stuck = (run_in(client, Pending()) for _ in range(3))
    listed = [now(client, run) for run in (ended, deleted, stuck)]
    for state in (Running(), Completed()):
        client.set_flow_run_state(ended, state)
    client.delete_flow_run(deleted)
    monkeypatch.setattr(SyncPrefectClient, "read_flow_runs", lambda *_, **__: listed)
    assert [run.id for run in mark_stuck_runs(client, start_timeout_s=0.0)] == [stuck]
    assert sum("it counts as crashed" in record.message for record in caplog.records) == 1
    assert now(client, ended).state_name == "Completed"


def newest(client: SyncPrefectClient, run: UUID) -> object:
    return recovery._newest_heartbeat(client, run)
