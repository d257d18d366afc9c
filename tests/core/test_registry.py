"""The pipeline of the registry, and pipelines that cannot be."""

from dataclasses import replace

import pytest

from spherovem_core.parameters import PipelineParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.stages import STAGE_NAMES, STAGE_SUMMARIES
from spherovem_core.workflow import Pipeline


def test_every_stage_has_steps_and_a_group_of_parameters() -> None:
    assert {step.stage for step in PIPELINE.steps} == set(STAGE_NAMES)
    assert tuple(PipelineParameters.model_fields) == STAGE_NAMES
    assert tuple(STAGE_SUMMARIES) == STAGE_NAMES


def test_a_step_reads_from_the_steps_that_made_its_inputs() -> None:
    def producers(name: str) -> list[str]:
        return [step.name for step in PIPELINE.producers(PIPELINE.step(name))]

    assert producers("registration") == ["denoising", "ingest"]
    assert producers("nanoparticles") == ["registration", "ingest", "specimen"]
    assert producers("masks_nuclei") == ["flows_nuclei", "registration"]
    assert producers("spatial") == ["masks_cells", "masks_nuclei", "nanoparticles", "specimen"]
    assert producers("output") == [step.name for step in PIPELINE.steps[:-1]]


def test_a_step_knows_its_own_parameters() -> None:
    parameters = PipelineParameters()
    own = PIPELINE.step("flows_cells").parameters(parameters).model_dump()
    assert own["flow_spacing_nm"] == parameters.segmentation.cells.flow_spacing_nm
    assert "min_diameter_um" not in own
    assert PIPELINE.step("output").parameters(parameters) == parameters


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two steps are named ingest"):
        Pipeline((PIPELINE.steps[0], PIPELINE.steps[0]))


def test_an_input_without_a_producer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"denoising reads volume\.zarr/raw/0, which no step before it"):
        Pipeline((PIPELINE.step("denoising"),))


def test_an_output_of_two_steps_is_refused() -> None:
    again = replace(PIPELINE.steps[0], name="again")
    with pytest.raises(ValueError, match="is written by ingest and again"):
        Pipeline((PIPELINE.steps[0], again))


def test_stages_out_of_order_are_refused() -> None:
    late = replace(PIPELINE.step("output"), reads_everything=False)
    with pytest.raises(ValueError, match="out of order"):
        Pipeline((late, PIPELINE.steps[0]))


def test_an_unknown_step_is_named_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no step is named denoise; known: ingest, denoising"):
        PIPELINE.step("denoise")
