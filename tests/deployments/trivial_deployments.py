"""Deployment of the trivial flow, and waiting for states of its runs."""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.events.schemas.events import Event, Resource
from trivial_flows import write_steps

FOLDER = str(Path(__file__).parent)
NAME = "write-steps/trivial"


def deploy_trivial_flow(client: SyncPrefectClient, pool: str, tags: Sequence[str] = ("spherovem",)) -> str:
    """Deploy the flow by its module, as prefect.yaml deploys the pipeline; return the deployment's name."""
    client.create_deployment(
        flow_id=client.create_flow(write_steps),
        name="trivial",
        entrypoint="trivial_flows.write_steps",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": "."}}],
        work_pool_name=pool,
        tags=list(tags),
        job_variables={"env": {"PYTHONPATH": FOLDER}},
    )
    return NAME


def wait_for_state(
    client: SyncPrefectClient, run: UUID, states: Collection[str], timeout_s: float = 180.0
) -> FlowRun:
    """Wait until a flow run is in one of these states, and return it."""
    found: list[FlowRun] = []

    def reached() -> bool:
        found[:] = [client.read_flow_run(run)]
        return found[0].state_name in states

    wait_until(reached, timeout_s, lambda: f"expected {states}, the run is {found[0].state}")
    return found[0]


def wait_until(reached: Callable[[], bool], timeout_s: float, otherwise: Callable[[], str]) -> None:
    """Wait until `reached` returns true; fail with the text of `otherwise` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.5)


def send_event(client: SyncPrefectClient, name: str, resource: str, payload: dict[str, Any]) -> None:
    """Send an event to the server of this client; Prefect's own sender keeps to the first server it used."""
    event = Event(
        event=name, resource=Resource({"prefect.resource.id": resource}), payload=payload, id=uuid4()
    )
    client.request("POST", "/events", json=[event.model_dump(mode="json")])
