"""Base of all parameter models."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from spherovem_core.parameters.forms import describe_form

PositiveNm = Annotated[float, Field(gt=0.0, le=1e6)]

EXPERT: dict[str, JsonValue] = {"expert": True}
"""Mark of a field that few users change: forms and documentation show it after the others."""


class StageParameters(BaseModel):
    """Frozen parameters; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_form)
