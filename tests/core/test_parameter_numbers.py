"""Numbers of parameters: none is infinite or not a number, in any model, however deep it is nested."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import spherovem_core.parameters as parameters
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import (
    FineTuningParameters,
    FlowParameters,
    NamedKindParameters,
    SliceCuttingParameters,
)
from spherovem_core.steps.review import ReviewParameters
from spherovem_core.synthetic.phantom.basics import Basics

MODELS = [
    *(kind for name in parameters.__all__ if issubclass(kind := getattr(parameters, name), BaseModel)),
    ExecutionSettings,
    ReviewParameters,
    Basics,
]


def with_a_bad_number(value: Any, bad: float) -> Iterator[Any]:
    """Replace each float in a value, and each None, one at a time."""
    if isinstance(value, float) or value is None or value == "auto":
        yield bad
    elif isinstance(value, dict):
        for key, own in value.items():
            yield from ({**value, key: changed} for changed in with_a_bad_number(own, bad))
    elif isinstance(value, list | tuple):
        for place, own in enumerate(value):
            yield from (
                [*value[:place], changed, *value[place + 1 :]] for changed in with_a_bad_number(own, bad)
            )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_numbers_are_finite(model: type[BaseModel], bad: float) -> None:
    given = {"file": "a.tif", "mask_spacing_nm": 10.0} if model is NamedKindParameters else {}
    # Also lists of numbers that are empty by default.
    for name, value in model.model_validate(given).model_dump().items():
        for changed in [*with_a_bad_number(value, bad), [bad], [bad] * 3]:
            with pytest.raises(ValidationError):
                model.model_validate({**given, name: changed})


@pytest.mark.parametrize("model", [FlowParameters, FineTuningParameters, SliceCuttingParameters])
@pytest.mark.parametrize("percentiles", [(99.0, 1.0), (1.0, 1.0), (-1.0, 99.0), (1.0, 101.0)])
def test_percentiles_rise(model: type[BaseModel], percentiles: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="must rise within 0 and 100"):
        model.model_validate({"normalise_percentiles": percentiles})
