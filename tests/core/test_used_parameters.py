"""Parameters that the provenance states: those that each step really used."""

from typing import Any

from spherovem_core.parameters import PipelineParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.steps.output import used_parameters


def entry(stage: str, step: str, **parameters: Any) -> dict[str, Any]:
    return {"stage": stage, "step": step, "parameters": parameters}


def test_steps_taken_from_disk_keep_the_parameters_of_their_run() -> None:
    given = PipelineParameters.model_validate(
        {"denoising": {"epochs": 77}, "segmentation": {"nuclei": {"flow_smoothing": 3.0}}}
    ).model_dump(mode="json")
    history = [
        entry("denoising", "denoising", epochs=5),
        entry("segmentation", "masks_cells", flow_smoothing=2.0),
        entry("shape", "shape_cells", min_voxels=9),
    ]
    used = PipelineParameters.model_validate(used_parameters(given, history, PIPELINE))
    assert used.denoising.epochs == 5
    assert used.segmentation.cells.flow_smoothing == 2.0
    assert used.segmentation.nuclei.flow_smoothing == 3.0
    assert used.shape.min_voxels == 9
    assert given["denoising"]["epochs"] == 77


def test_steps_and_parameters_that_are_unknown_today_are_passed_over() -> None:
    given = PipelineParameters().model_dump(mode="json")
    history = [entry("shape", "roundness", x=1), entry("shape", "shape_cells", novelty=1)]
    assert used_parameters(given, history, PIPELINE) == given
