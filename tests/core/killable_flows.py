"""The step that predicts flows, of a small registered image on disk, in a process that can be killed."""

from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spherovem_core.execution import Execution, ExecutionSettings, Progress
from spherovem_core.parameters import CellParameters, PipelineParameters, SegmentationParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.registry import PIPELINE
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.segmentation import FLOWS
from spherovem_core.store import ArrayWriter, Layout, finish_multiscale
from spherovem_core.workflow import RunRequest, StepPlan, plan_step
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.run import array_spec

SHAPE, SPACING, ORIGIN = (14, 70, 110), (50.0, 20.0, 20.0), (25.0, 100.0, -40.0)
PARAMETERS = CellParameters(network="phantom-compact", flow_spacing_nm=40.0, mask_spacing_nm=20.0)
SETTINGS = ExecutionSettings(device="cpu", workers=1)
TILE = 32
"""Side of tiles here, so that planes of 35 x 55 pixels have several; eight slabs in three passes."""


def image() -> NDArray[np.uint8]:
    """Return noise with resin in a corner."""
    values = np.random.default_rng(1).integers(0, 255, SHAPE).astype(np.uint8)
    values[:, 30:, 50:] = 128
    return values


def prepare(folder: Path) -> None:
    """Write the registered image, and a reference to it."""
    layout = Layout(folder / "one")
    spec = array_spec(REGISTERED.group, "image", SHAPE, "uint8", SPACING, origin_nm=ORIGIN, by_slice=True)
    writer = ArrayWriter(layout, spec, "digest of the image")
    writer.array[:] = image()
    reference = finish_multiscale(writer, Execution(), [])
    (folder / "reference.json").write_text(reference.model_dump_json())


def plan_flows(
    folder: Path, parameters: CellParameters = PARAMETERS, *, version: int | None = None
) -> StepPlan[Any]:
    """Plan the step, by default of today's version."""
    acquisition = Acquisition(name="one", source=folder / "landing", results_root=folder)
    reference = ArtifactRef.model_validate_json((folder / "reference.json").read_text())
    values = PipelineParameters(segmentation=SegmentationParameters(cells=parameters))
    request = RunRequest(acquisition, values)
    step = PIPELINE.producer(FLOWS["cells"])
    external = step.external(request)
    if version is not None:
        step = replace(step, version=version)
    return plan_step(PIPELINE, step, request, external, {PIPELINE.producer(REGISTERED).name: reference})


def compute(plan: StepPlan[Any], progress: Progress | None = None) -> None:
    """Compute the step with small tiles."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("spherovem_core.segmentation.flows.tile_size", lambda *_: TILE)
        compute_step(plan, SETTINGS, progress=progress)


def predict(folder: Path, begun: Event) -> None:
    """Compute the step, or continue it."""
    begun.set()
    compute(plan_flows(folder))
