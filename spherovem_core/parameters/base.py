"""Base of all parameter models."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from spherovem_core.parameters.forms import describe_form

PositiveNm = Annotated[float, Field(gt=0.0, le=1e6)]


def _rising(percentiles: tuple[float, float]) -> tuple[float, float]:
    low, high = percentiles
    if not 0.0 <= low < high <= 100.0:
        raise ValueError(f"percentiles {low:g}, {high:g} must rise within 0 and 100")
    return percentiles


Percentiles = Annotated[tuple[float, float], AfterValidator(_rising)]
"""Two percentiles between which intensities are stretched."""

EXPERT: dict[str, JsonValue] = {"expert": True}
"""Mark of a field that few users change: forms and documentation show it after the others."""


class StageParameters(BaseModel):
    """Frozen parameters; an unknown name is an error, and so is a number that is not finite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=describe_form
    )


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
        written. Those of a group of parameters are a mapping of their own.
    """
    return _without(parameters.model_dump(mode="json", exclude=set(left_out)), omitted)


def _without(values: Mapping[str, Any], omitted: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without those that are omitted, group by group."""
    kept = {}
    for name, value in values.items():
        if name not in omitted:
            kept[name] = value
        elif isinstance(value, Mapping) and isinstance(omitted[name], Mapping):
            kept[name] = _without(value, omitted[name])
        elif value != omitted[name]:
            kept[name] = value
    return kept
