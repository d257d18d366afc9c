"""Power cut: worker, flow run and server die at once, and the watcher's recovery restarts the run."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect_servers import connected, running_server, running_worker
from trivial_deployments import deploy_trivial_flow, wait_for_state, wait_until

from deployments.server import recovery
from deployments.server.recovery import CrashRecovery

STEPS, STEP_S = 4, 4.0
SILENCE_S = 10.0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_killed_together_with_its_worker_and_the_server_continues(tmp_path: Path) -> None:
    """No automation is set up: after a kill of the server those often forget such a run (`benchmarks/automations.py`)."""
    written = tmp_path / "written"
    with (
        running_server(tmp_path / "home") as server,
        connected(server),
        get_client(sync_client=True) as client,
    ):
        with running_worker(server, "cut", "before") as worker:
            deployment = client.read_deployment_by_name(deploy_trivial_flow(client, "cut"))
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters={"folder": str(written), "steps": STEPS, "seconds": STEP_S}
            ).id
            wait_until((written / "step-0").is_file, 120.0, lambda: worker.output)
            wait_until(
                lambda: recovery._newest_heartbeat(client, run) is not None, 60.0, lambda: "no heartbeat"
            )
            killed = [*server.family(), *worker.family()]
            assert len(killed) >= 3, "server, worker, flow run"
            for process in killed:
                process.kill()
            for process in killed:
                process.wait(30)
        assert not (written / "runs").exists(), "the flow run had ended before it was killed"
        server.start()
        assert client.read_flow_run(run).state_name == "Running", "nothing was left that could report it"
        watching = CrashRecovery(tmp_path / "results", pause_s=1.0, silence_s=SILENCE_S)

        def restarted() -> bool:
            watching.run_if_due()
            return client.read_flow_run(run).state_name == "AwaitingRetry"

        wait_until(restarted, 120.0, lambda: str(client.read_flow_run(run).state))
        with running_worker(server, "cut", "after"):
            wait_for_state(client, run, ["Completed"])
        states = [state.name for state in client.read_flow_run_states(run)]
    assert [name for name in states if name in ("Crashed", "Completed")] == ["Crashed", "Completed"]
    assert len(list(written.glob("step-*"))) == STEPS
    again = int((written / "runs").read_text())
    assert 0 < again < STEPS, "the second run did what the first one had not"
