"""Digests of steps, acquisition names, and the parameter models."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from spherovem_core import parameters
from spherovem_core.parameters import PipelineParameters, RegistrationParameters
from spherovem_core.references import Acquisition, canonical_json, step_digest


def digest(**changes: object) -> str:
    arguments = {
        "step": "registration",
        "version": 1,
        "parameters": RegistrationParameters(),
        "inputs": ["a", "b"],
    }
    return step_digest(**{**arguments, **changes})  # type: ignore[arg-type]


def test_digest_depends_on_everything_that_changes_a_result() -> None:
    assert digest() == digest(parameters=RegistrationParameters(model="affine"))
    others = [
        digest(step="denoising"),
        digest(version=2),
        digest(parameters=RegistrationParameters(model="rigid")),
        digest(inputs=["b", "a"]),
        digest(inputs=["ab"]),
        digest(external={"source": "c"}),
    ]
    assert len({digest(), *others}) == 7


def test_canonical_json_ignores_the_order_of_keys() -> None:
    assert (
        canonical_json({"b": 1, "a": (1, 2)}) == canonical_json({"a": [1, 2], "b": 1}) == '{"a":[1,2],"b":1}'
    )


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "nul\x00", ".", ".."])
def test_name_that_leaves_the_results_root_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Acquisition(name=name, source=Path("/data"), results_root=Path("/results"))


def models() -> list[type[BaseModel]]:
    return [
        m
        for m in vars(parameters).values()
        if isinstance(m, type) and issubclass(m, parameters.StageParameters)
    ]


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_parameter_has_a_default_and_a_description_and_unknown_ones_are_refused(
    model: type[BaseModel],
) -> None:
    # The kinds with a name of their own have no default: there are none unless they are given.
    if model is not parameters.NamedKindParameters:
        model()
    for name, info in model.model_fields.items():
        assert info.description, f"{model.__name__}.{name} has no description"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"no_such_parameter": 1})


def test_parameters_read_back_from_json_are_equal() -> None:
    pipeline = PipelineParameters()
    assert PipelineParameters.model_validate_json(pipeline.model_dump_json()) == pipeline
