"""Automations on a real server: runs that nobody ends any more are ended, living ones are left alone."""

import time
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect_servers import connected, running_server, running_worker
from trivial_deployments import deploy_trivial_flow, wait_for_state, wait_until

from deployments.automations import end_silent_runs
from deployments.provisioning import ensure_automation, ensure_work_pool

TIMEOUT_S = 45.0
"""Heartbeats come every 30 s, which is the least that Prefect allows."""


@pytest.mark.slow
def test_a_run_that_died_with_its_worker_crashes_and_goes_on_when_retried(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "home") as server,
        connected(server),
        get_client(sync_client=True) as client,
    ):
        ensure_automation(client, end_silent_runs(TIMEOUT_S))
        ensure_work_pool(client, "living", "")
        ensure_work_pool(client, "doomed", "")
        with running_worker(server, "living", name="living"):
            deployment = deploy_trivial_flow(client, "living")
            living = run_deployment(
                deployment, parameters={"folder": tmp_path / "living", "steps": 4, "seconds": 20}, timeout=0
            )
            wait_for_state(client, living.id, {"Running"})
            deploy_trivial_flow(client, "doomed")
            with running_worker(server, "doomed", name="doomed") as worker:
                doomed = run_deployment(
                    deployment,
                    parameters={"folder": tmp_path / "doomed", "steps": 3, "seconds": 8},
                    timeout=0,
                )
                wait_until((tmp_path / "doomed" / "step-0").exists, 120, lambda: worker.output)
                assert len(worker.family()) > 1, "the flow run is no process of the worker's session"
                killed_at = time.monotonic()
                worker.kill_session()
            assert client.read_flow_run(doomed.id).state_name == "Running"
            crashed = wait_for_state(client, doomed.id, {"Crashed"})
            assert "No heartbeat for 45 s" in str(crashed.state and crashed.state.message)
            assert not (tmp_path / "doomed" / "step-2").exists()
            print(f"crashed {time.monotonic() - killed_at:.0f} s after the kill")

            server.command("flow-run", "retry", str(doomed.id))
            with running_worker(server, "doomed", name="successor"):
                wait_for_state(client, doomed.id, {"Completed"})
            assert sorted(path.name for path in (tmp_path / "doomed").iterdir()) == [
                "runs",
                "step-0",
                "step-1",
                "step-2",
            ]
            assert int((tmp_path / "doomed" / "runs").read_text()) <= 2, "a finished step ran again"
            ended = wait_for_state(client, living.id, {"Completed"})
            assert ended.total_run_time.total_seconds() > TIMEOUT_S
