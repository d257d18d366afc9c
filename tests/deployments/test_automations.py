"""Automations on a server: a run without heartbeat becomes Crashed, and messages are sent."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import pytest
from landing_servers import watcher, watching
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.deployments import run_deployment
from prefect.states import Failed
from prefect_servers import PrefectServer, connected, running_server, running_worker
from trivial_deployments import deploy_trivial_flow, send_event, wait_for_state, wait_until

from deployments.command_line.setup import Setup, prepare_server
from deployments.server.provisioning import ensure_work_pool
from deployments.settings import Settings

TIMEOUT_S = 45.0
"""Heartbeats come every 30 s, the shortest interval that Prefect allows."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with running_server(tmp_path_factory.mktemp("automations") / "home") as server, connected(server):
        yield server


@pytest.fixture
def client(server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        prepare_server(client, Setup(deployments=False, heartbeat_timeout_s=TIMEOUT_S), Settings())
        # The pools of the set-up take no PYTHONPATH from a deployment, which the trivial flow needs.
        for pool in ("one", "two"):
            ensure_work_pool(client, pool, "")
        yield client


def states(client: SyncPrefectClient, run: UUID) -> list[str]:
    """List the names of the states of a run in order."""
    response = client.request("GET", "/flow_run_states/", params={"flow_run_id": str(run)})
    return [state["name"] for state in sorted(response.json(), key=lambda state: str(state["timestamp"]))]


@pytest.mark.slow
def test_a_run_killed_with_its_worker_crashes_and_is_completed_by_the_next_worker(
    server: PrefectServer, client: SyncPrefectClient, tmp_path: Path
) -> None:
    with running_worker(server, "one", name="living"):
        deployment = deploy_trivial_flow(client, "one")
        living = run_deployment(
            deployment, parameters={"folder": tmp_path / "living", "steps": 4, "seconds": 20}, timeout=0
        )
        wait_for_state(client, living.id, {"Running"})
        deploy_trivial_flow(client, "two")
        with running_worker(server, "two", name="doomed") as worker:
            doomed = run_deployment(
                deployment, parameters={"folder": tmp_path / "doomed", "steps": 3, "seconds": 8}, timeout=0
            )
            wait_until((tmp_path / "doomed" / "step-0").exists, 120, lambda: worker.output)
            assert len(worker.family()) > 1, "the flow run is no process of the worker's"
            worker.kill_session()
        assert client.read_flow_run(doomed.id).state_name == "Running"
        wait_until(
            lambda: "Crashed" in states(client, doomed.id), 120, lambda: f"{states(client, doomed.id)}"
        )
        assert not (tmp_path / "doomed" / "step-2").exists()
        process = watcher(server, tmp_path / "landing", tmp_path / "results", tmp_path / "watcher.log")
        with running_worker(server, "two", name="successor"), watching(process):
            ended = wait_for_state(client, doomed.id, {"Completed"})
        assert ended.run_count == 2
        assert {path.name for path in (tmp_path / "doomed").glob("step-*")} == {"step-0", "step-1", "step-2"}
        assert int((tmp_path / "doomed" / "runs").read_text()) <= 2, "a finished step ran again"
        ended = wait_for_state(client, living.id, {"Completed"})
        assert ended.total_run_time.total_seconds() > TIMEOUT_S
        assert "Crashed" not in states(client, living.id)


class Messages(BaseHTTPRequestHandler):
    """Receiver of messages, as the webhook of a chat."""

    received: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *parts: object) -> None:
        pass


@pytest.mark.slow
def test_a_failed_run_and_a_rejected_acquisition_send_a_message(
    server: PrefectServer, client: SyncPrefectClient
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Messages) as chat:
        threading.Thread(target=chat.serve_forever, daemon=True).start()
        CustomWebhookNotificationBlock(
            name="chat",
            url=f"http://127.0.0.1:{chat.server_port}",
            json_data={"title": "{{subject}}", "text": "{{body}}"},
        ).save("chat", overwrite=True)
        prepare_server(client, Setup(deployments=False, notify="custom-webhook/chat"), Settings())
        deployment = client.read_deployment_by_name(deploy_trivial_flow(client, "two"))
        run = client.create_flow_run_from_deployment(
            deployment.id, parameters={"folder": "/nowhere"}, name="spheroid 7"
        )
        client.set_flow_run_state(run.id, Failed(message="slice 12 is truncated"), force=True)
        send_event(
            client,
            "spherovem.acquisition.rejected",
            "spherovem.acquisition.spheroid 8",
            {"name": "spheroid 8", "source": "/data/landing/8", "message": "no voxel size"},
        )
        wait_until(lambda: len(Messages.received) >= 2, 60, lambda: f"{Messages.received}\n{server.output}")
        chat.shutdown()
    failed, rejected = sorted(Messages.received, key=lambda message: message["title"])
    assert failed["title"] == "spherovem: spheroid 7 is Failed"
    assert "slice 12 is truncated" in failed["text"]
    assert str(run.id) in failed["text"]
    assert rejected == {
        "title": "spherovem: spheroid 8 was rejected",
        "text": "/data/landing/8:\nno voxel size",
    }
