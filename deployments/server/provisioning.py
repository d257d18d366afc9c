"""Work pools, limits and automations of a Prefect server; missing ones are made, correct ones are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    VariableCreate,
    VariableUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from deployments.server.automations import TAG
from deployments.server.job_template import ENVIRONMENT, default_template

Outcome = Literal["made", "changed", "unchanged", "removed"]


@dataclass(frozen=True)
class Change:
    """Outcome of the set-up for one object on the server.

    Attributes
    ----------
    object_type, name
        Type of the object, such as ``work pool``, and its name.
    outcome
        Made, changed, unchanged, or removed.
    note
        Remark for the operator.
    """

    object_type: str
    name: str
    outcome: Outcome
    note: str = ""


def ensure_work_pool(
    client: SyncPrefectClient, name: str, description: str, template: Mapping[str, Any] | None = None
) -> Change:
    """Make a process work pool; keep an existing pool of that name with its type, limit and variables.

    Parameters
    ----------
    template
        Job template of a new pool, and of an existing one that has Prefect's own or an earlier one of ours and no deployments but
        ours; None for Prefect's own.
    """
    wanted = None if template is None else dict(template)
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        create = WorkPoolCreate(name=name, type="process", description=description)
        if wanted is not None:
            create = create.model_copy(update={"base_job_template": wanted})
        client.create_work_pool(create)
        return Change("work pool", name, "made")
    if found.type != "process":
        return Change("work pool", name, "unchanged", f"its type is {found.type}")
    if wanted is None or found.base_job_template == wanted:
        return Change("work pool", name, "unchanged")
    if _is_ours(client, name, found.base_job_template):
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=wanted))
        return Change("work pool", name, "changed", "its runs no longer choose their command")
    return Change("work pool", name, "unchanged", "its job template is another: a run may choose its command")


def _is_ours(client: SyncPrefectClient, name: str, template: Mapping[str, Any]) -> bool:
    """Return whether nobody else uses a pool, and whether nobody changed its job template."""
    # A pool has an empty template until its first worker fills in Prefect's own.
    if template not in ({}, default_template()) and ENVIRONMENT not in str(template.get("job_configuration")):
        return False
    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[name]))
    return all(TAG in deployment.tags for deployment in client.read_deployments(work_pool_filter=pool))


def ensure_environment(client: SyncPrefectClient, environment: Mapping[str, str]) -> Change:
    """Make or update the variable on the server that holds the environment of all runs."""
    found = client.read_variable_by_name(ENVIRONMENT)
    if found is None:
        client.create_variable(VariableCreate(name=ENVIRONMENT, value=dict(environment)))
        return Change("variable", ENVIRONMENT, "made")
    if found.value == environment:
        return Change("variable", ENVIRONMENT, "unchanged")
    client.update_variable(VariableUpdate(name=ENVIRONMENT, value=dict(environment)))
    return Change("variable", ENVIRONMENT, "changed")


def ensure_limit(client: SyncPrefectClient, name: str, slots: int, *, exactly: bool) -> Change:
    """Make a global concurrency limit.

    Parameters
    ----------
    slots
        Number of holders at the same time.
    exactly
        Change an existing limit to this number of slots; otherwise keep it.
    """
    try:
        found = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        try:
            client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=name, limit=slots, active=True)
            )
        except ObjectAlreadyExists:
            return ensure_limit(client, name, slots, exactly=exactly)
        return Change("limit", name, "made", f"{slots} at once")
    if found.limit == slots or not exactly:
        return Change("limit", name, "unchanged", f"{found.limit} at once")
    client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=slots))
    return Change("limit", name, "changed", f"{found.limit} before, now {slots} at once")


def ensure_automation(client: SyncPrefectClient, wanted: AutomationCore) -> Change:
    """Make an automation, or update the one of that name; a paused one stays paused."""
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
        return Change("automation", wanted.name, "made")
    present = found[0]
    note = "" if present.enabled else "it is paused"
    wanted = wanted.model_copy(update={"enabled": present.enabled})
    if _comparable(present) == _comparable(wanted):
        return Change("automation", wanted.name, "unchanged", note)
    # The client sends only fields that were set; set all of them, so that nothing of the old automation remains.
    complete = AutomationCore.model_validate(wanted.model_dump(mode="json", exclude={"owner_resource"}))
    client.update_automation(present.id, complete)
    return Change("automation", wanted.name, "changed", note)


def _comparable(automation: AutomationCore) -> dict[str, object]:
    """Return the content of an automation without the additions of the server, with sets in a fixed order."""
    known = AutomationCore.model_validate(automation.model_dump(mode="json", exclude={"id"}))
    content = known.model_dump(mode="json", include={"name", "description", "enabled", "trigger", "actions"})
    return {name: _ordered(value) for name, value in content.items()}


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return {name: _ordered(part) for name, part in value.items()}
    if isinstance(value, list):
        return sorted((_ordered(part) for part in value), key=repr)
    return value
