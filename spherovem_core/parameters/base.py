"""Base of all parameter models."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from spherovem_core.parameters.forms import describe_form

PositiveNm = Annotated[float, Field(gt=0.0, le=1e6)]

EXPERT: dict[str, JsonValue] = {"expert": True}
"""Mark of a field that few users change: forms and documentation show it after the others."""


class StageParameters(BaseModel):
    """Frozen parameters; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_form)


def parameters_of_digest(
    parameters: BaseModel, left_out: Collection[str] = (), omitted: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """Return the parameters that enter a digest, as JSON.

    Parameters
    ----------
    left_out
        Names of parameters that do not enter.
    omitted
        Values of parameters that do not enter where they have this value: parameters that were added after results had been
        written.
    """
    own = parameters.model_dump(mode="json", exclude=set(left_out))
    return {name: value for name, value in own.items() if name not in omitted or omitted[name] != value}
