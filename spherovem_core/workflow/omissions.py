"""Parameters that digests leave out where they have the value of before, collected for a step that reads all groups."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from spherovem_core.overrides import merge
from spherovem_core.workflow.step import Step


def omitted_in_groups(steps: Iterable[Step[Any]], parameters: BaseModel) -> dict[str, Any]:
    """Collect what steps omit from their digests, in the groups of the parameters of a whole run.

    A step that reads the parameters of all groups would otherwise be computed again for a parameter that changes none of them.

    Parameters
    ----------
    parameters
        Parameters of a whole run: one group per stage, in some with a group per kind of object.

    Raises
    ------
    ValueError
        If two steps omit different values of one parameter.
    """
    found: dict[str, Any] = {}
    for step in steps:
        group = getattr(parameters, step.stage, None)
        if not step.omitted or not isinstance(group, BaseModel):
            continue
        kind = step.kind if step.kind in type(group).model_fields else None
        own = {step.stage: dict(step.omitted) if kind is None else {kind: dict(step.omitted)}}
        both = merge(found, own)
        if merge(own, found) != both:
            raise ValueError(
                f"step {step.name} omits other values than a step before it; omit one value of a parameter"
            )
        found = both
    return found
