"""Parameters of nanoparticles that version 0.2 removed: one line that says what replaced them."""

import pytest
from pydantic import ValidationError

from spherovem_core.overrides import REMOVED, explain
from spherovem_core.parameters import NanoparticleParameters, PipelineParameters, RegistrationParameters


def message(stage: str, **values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        PipelineParameters.model_validate({stage: values})
    return explain(caught.value, PipelineParameters)


def test_a_removed_parameter_is_named_with_what_replaced_it() -> None:
    assert message("nanoparticles", posterior_threshold=0.4) == (
        "unknown parameter nanoparticles.posterior_threshold (removed in version 0.2: use min_confidence)"
    )
    text = message("nanoparticles", edge_share=0.5, split_depth_nm=30)
    assert text.count("removed in version 0.2") == 2
    assert text.count("\n") == 0


def test_every_removed_parameter_is_gone_and_every_replacement_exists() -> None:
    known = NanoparticleParameters.model_fields
    for path, replacement in REMOVED.items():
        stage, _, name = path.rpartition(".")
        assert stage == "nanoparticles"
        assert name not in known
        named = [word.strip(",;") for word in replacement.split() if "_" in word]
        assert set(named) <= set(known), path


def test_other_stages_keep_their_parameters_of_that_name() -> None:
    assert RegistrationParameters(max_iterations=20).max_iterations == 20
    assert "removed" not in message("registration", tolerance=1e-3)
