"""The step that stores the specimen mask: placement, summary, resumption, and the mask of arrays in memory."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from specimen_scenes import SHAPE, SPACING_NM, disc, scene

from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.nanoparticles.specimen import find_specimen
from spherovem_core.parameters import NanoparticleParameters, PipelineParameters, SpecimenParameters
from spherovem_core.references import Acquisition
from spherovem_core.registry import PIPELINE
from spherovem_core.steps.ingest import SLICES
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.specimen import SPECIMEN, SUMMARY
from spherovem_core.store import ArrayWriter, Layout, finish_multiscale, open_array, write_table
from spherovem_core.store.columns import FILLED_FLAGS
from spherovem_core.workflow import RunRequest, StepPlan, plan_step
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.run import array_spec

SETTINGS = ExecutionSettings(device="cpu", workers=1)
BAD = 3
ORIGIN_NM = (0.0, 400.0, 80.0)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Tissue and resin, with one slice that was filled."""
    values = scene(~disc((3.0, 2.5), 6.5), 170.0).image.copy()
    values[BAD] = values[BAD - 1]
    return values


@pytest.fixture
def plan(tmp_path: Path, image: np.ndarray) -> StepPlan[SpecimenParameters]:
    acquisition = Acquisition(name="one", source=tmp_path / "landing", results_root=tmp_path)
    layout = Layout(acquisition.folder)
    spec = array_spec(
        REGISTERED.group, "image", SHAPE, image.dtype, SPACING_NM, origin_nm=ORIGIN_NM, by_slice=True
    )
    writer = ArrayWriter(layout, spec, "digest of the image")
    writer.array[:] = image
    slices = pd.DataFrame({"z": range(SHAPE[0]), **dict.fromkeys(FILLED_FLAGS, False)})
    slices.loc[BAD, FILLED_FLAGS[0]] = True
    done = {
        "registration": finish_multiscale(writer, Execution(), []),
        "ingest": write_table(layout, SLICES.path, slices, "digest of the slices", []),
    }
    request = RunRequest(acquisition, PipelineParameters())
    return plan_step(PIPELINE, PIPELINE.step("specimen"), request, {}, done)


def test_the_stored_mask_is_that_of_arrays_in_memory(
    plan: StepPlan[SpecimenParameters], image: np.ndarray
) -> None:
    compute_step(plan, SETTINGS)
    stored = open_array(plan.layout, SPECIMEN.group)
    found = find_specimen(image, SPACING_NM, bad_slices=[BAD])
    np.testing.assert_array_equal(stored[:], found.codes[:])
    summary = json.loads(plan.layout.path(SUMMARY.path).read_text())
    assert summary["fractions"] == pytest.approx(found.fractions)
    assert summary["resin_structure"] < 0.15 * summary["tissue_structure"]


def test_the_mask_lies_over_the_image(plan: StepPlan[SpecimenParameters]) -> None:
    compute_step(plan, SETTINGS)
    stored = open_array(plan.layout, SPECIMEN.group)
    assert stored.spacing_nm == (120.0, 120.0, 120.0)
    # Half a tile of three pixels less half a pixel beyond the centre of the image's first voxel.
    assert stored.origin_nm == (0.0, 440.0, 120.0)


def test_a_stopped_step_continues_from_its_slabs(plan: StepPlan[SpecimenParameters]) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_step(plan, SETTINGS, progress=stop)
    assert plan.find() is None
    seen: list[int] = []
    compute_step(plan, SETTINGS, progress=lambda done, total: seen.append(done))
    assert seen[0] == 2
    assert not plan.layout.provisional("specimen").exists()


def test_only_its_own_parameters_change_its_digest() -> None:
    def own(**values: object) -> SpecimenParameters:
        parameters = PipelineParameters(nanoparticles=NanoparticleParameters.model_validate(values))
        return PIPELINE.step("specimen").parameters(parameters)

    assert own(polarity="dark") == own()
    assert own(min_lumen_width_nm=4000.0) != own()
