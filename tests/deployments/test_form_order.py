"""The form of a run begins with what every run needs, also where a set-up was killed before it had ordered the forms."""

from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from trivial_flows import write_steps

from deployments.server import deployment_registration
from deployments.server.deployment_registration import PREFECT_FILE, ensure_deployments
from deployments.server.form_order import order_forms
from deployments.settings import Settings

SCHEMA = {
    "type": "object",
    "properties": {
        "parameters": {"position": 0, "type": "object"},
        "name": {"position": 1, "type": "string"},
        "execution": {"position": 2, "type": "object"},
        "roi": {"position": 3, "type": "string"},
    },
}
NAME = "write-steps/form"


def form(client: SyncPrefectClient) -> list[str]:
    schema: Any = client.read_deployment_by_name(NAME).parameter_openapi_schema
    return sorted(schema["properties"], key=lambda field: int(schema["properties"][field]["position"]))


@pytest.mark.usefixtures("prefect_server")
def test_forms_are_ordered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with get_client(sync_client=True) as client:
        flow = client.create_flow(write_steps)
        client.create_deployment(flow, "form", parameter_openapi_schema=SCHEMA)
        assert form(client) == ["parameters", "name", "execution", "roi"]
        order_forms(client, [NAME])
        assert form(client) == ["name", "roi", "parameters", "execution"]
        monkeypatch.setattr(SyncPrefectClient, "update_deployment", None)
        order_forms(client, [NAME])


def test_forms_of_unchanged_deployments_are_ordered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    monkeypatch.setattr(deployment_registration, "_digest", lambda *_: "same")
    monkeypatch.setattr(
        deployment_registration, "_find", lambda *_: SimpleNamespace(version="same", parameters={})
    )
    monkeypatch.setattr(deployment_registration, "_deploy", None)
    monkeypatch.setattr(deployment_registration, "order_forms", lambda _, names: named.extend(names))
    client: Any = None
    changes = ensure_deployments(client, PREFECT_FILE, Settings())
    assert {change.outcome for change in changes} == {"unchanged"}
    assert named == [change.name for change in changes]
    assert "process-acquisition/ad-hoc" in named
