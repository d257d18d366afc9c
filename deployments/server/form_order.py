"""Order of the fields in the UI's form of a run: what every run needs first, the many parameters of the stages after it."""

from collections.abc import Iterable
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate

LONG = ("parameters", "execution")
"""Fields of flows that are whole groups of parameters."""


def order_forms(client: SyncPrefectClient, names: Iterable[str]) -> None:
    """Put the long groups of each deployment's form last; Prefect has the fields in the order of the flow's parameters.

    Forms in order are left alone, so that it may be repeated.
    """
    for name in names:
        deployment = client.read_deployment_by_name(name)
        schema = deployment.parameter_openapi_schema
        if schema is None or not any(field in LONG for field in schema.get("properties", {})):
            continue
        wanted = ordered(schema)
        if wanted != schema:
            client.update_deployment(deployment.id, DeploymentUpdate(parameter_openapi_schema=wanted))


def ordered(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a flow's parameters with the positions of its fields such that long groups come last."""
    fields = schema["properties"]
    names = sorted(fields, key=lambda name: (name in LONG, fields[name].get("position", 0)))
    placed = {name: {**fields[name], "position": position} for position, name in enumerate(names)}
    return {**schema, "properties": placed}
