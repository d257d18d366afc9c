"""Declarations of steps on parameters of earlier results, collected for a step that reads the parameters of all groups."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel

from spherovem_core.overrides import merge
from spherovem_core.workflow.step import Step

Declaration = Literal["omitted", "digest_names", "removed"]


def collect_in_groups(
    steps: Iterable[Step[Any]], parameters: BaseModel, declaration: Declaration
) -> dict[str, Any]:
    """Collect what steps omit from their digests, renamed or removed, in the groups of the parameters of a whole run.

    A step that reads the parameters of all groups would otherwise be computed again for a change that leaves all others as
    they are.

    Parameters
    ----------
    parameters
        Parameters of a whole run: one group per stage, in some with a group per kind of object.
    declaration
        Attribute of the steps.

    Raises
    ------
    ValueError
        If two steps declare different values for one parameter.
    """
    found: dict[str, Any] = {}
    for step in steps:
        declared = getattr(step, declaration)
        group = getattr(parameters, step.stage, None)
        if not declared or not isinstance(group, BaseModel):
            continue
        kind = step.kind if step.kind in type(group).model_fields else None
        own: dict[str, Any] = {step.stage: dict(declared) if kind is None else {kind: dict(declared)}}
        both = merge(found, own)
        if merge(own, found) != both:
            raise ValueError(
                f"`{declaration}` of step {step.name} has other values than that of a step before it; "
                "declare one value per parameter"
            )
        found = both
    return found
