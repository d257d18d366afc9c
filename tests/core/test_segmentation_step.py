"""The step that makes masks on disk: it continues from its finished blocks, and gives the labels of arrays in memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree
from segmentation_scenes import ideal, segment

from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.parameters import (
    CellParameters,
    ObjectParameters,
    PipelineParameters,
    SegmentationParameters,
)
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.registry import PIPELINE
from spherovem_core.segmentation import Grid, flow_grid
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.segmentation import FLOWS, LABELS
from spherovem_core.store import ArrayWriter, Layout, finish_multiscale, open_array
from spherovem_core.workflow import ArrayOutput, RunRequest, StepPlan, plan_step
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.run import array_spec

SHAPE, SPACING = (40, 200, 280), (50.0, 20.0, 20.0)
PARAMETERS = CellParameters(
    flow_spacing_nm=50.0,
    mask_spacing_nm=20.0,
    min_diameter_um=0.2,
    expansion_um=0.05,
    flow_error_threshold=1.0,
)
SETTINGS = ExecutionSettings(device="cpu", workers=1, block_voxels=128, block_halo_voxels=32)
BLOCKS = 6


@dataclass(frozen=True)
class Scene:
    """Inputs of the step, on disk and in memory."""

    plan: StepPlan[ObjectParameters]
    flows: np.ndarray
    image: np.ndarray


def write(layout: Layout, output: ArrayOutput, values: np.ndarray, grid: Grid) -> ArtifactRef:
    """Write a complete array as the step that makes it does."""
    spec = array_spec(
        output.group,
        output.content,
        values.shape,
        values.dtype,
        grid.spacing_nm,
        origin_nm=grid.origin_nm,
        block=128,
    )
    writer = ArrayWriter(layout, spec, f"digest of {output.group}")
    writer.array[:] = values
    return finish_multiscale(writer, Execution(), [])


def make_scene(folder: Path, shape: tuple[int, int, int]) -> Scene:
    """Write flows of balls packed at random, and an image of noise."""
    grid = flow_grid(shape, SPACING, PARAMETERS)
    points = np.random.default_rng(0).uniform(0, 1, (40, 3)) * grid.shape
    places = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    distance, owner = cKDTree(points).query(places)
    flows = ideal(np.where(distance < 9, owner + 1, 0).astype(np.uint32)).astype(np.float16)
    image = np.random.default_rng(1).integers(90, 110, shape).astype(np.uint8)
    acquisition = Acquisition(name="one", source=folder / "landing", results_root=folder)
    layout = Layout(acquisition.folder)
    done = {
        PIPELINE.producer(output).name: write(layout, output, values, place)
        for output, values, place in (
            (FLOWS["cells"], flows, grid),
            (REGISTERED, image, Grid(shape, SPACING)),
        )
    }
    nuclei = ObjectParameters(mask_spacing_nm=PARAMETERS.mask_spacing_nm)
    parameters = PipelineParameters(segmentation=SegmentationParameters(cells=PARAMETERS, nuclei=nuclei))
    step = PIPELINE.producer(LABELS["cells"])
    return Scene(plan_step(PIPELINE, step, RunRequest(acquisition, parameters), {}, done), flows, image)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Inputs in six blocks."""
    return make_scene(tmp_path, SHAPE)


def labels_on_disk(scene: Scene) -> np.ndarray:
    """Read the labels that the step wrote."""
    return open_array(scene.plan.layout, LABELS["cells"].group)[:]


def labels_in_memory(scene: Scene) -> tuple[np.ndarray, int]:
    """Make the same masks of arrays in memory, and return them and their number."""
    grid, target = flow_grid(SHAPE, SPACING, PARAMETERS), Grid(SHAPE, SPACING)
    execution = Execution(block_voxels=SETTINGS.block_voxels, block_halo_voxels=SETTINGS.block_halo_voxels)
    return segment(scene.flows, grid, target, PARAMETERS, scene.image, execution)


def written(folder: Path) -> dict[Path, int]:
    """Return when each block of an array was written, in ns."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("c/**/*") if path.is_file()}


def test_masks_continue_from_their_finished_blocks(scene: Scene) -> None:
    provisional = scene.plan.layout.provisional("labels-cells")

    def stop_before_the_fourth(done: int, total: int) -> None:
        assert total == 2 * BLOCKS
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_step(scene.plan, SETTINGS, progress=stop_before_the_fourth)
    assert scene.plan.find() is None
    before = written(provisional)
    assert len(before) == 3
    seen: list[int] = []
    after: dict[Path, int] = {}

    def watch(done: int, total: int) -> None:
        seen.append(done)
        if done == BLOCKS:
            after.update(written(provisional))

    compute_step(scene.plan, SETTINGS, progress=watch)
    # Only blocks that are computed are reported.
    assert seen[:3] == [3, 4, 5]
    assert len(after) == BLOCKS
    assert {path: after[path] for path in before} == before
    assert not written(provisional)
    assert np.array_equal(labels_on_disk(scene), labels_in_memory(scene)[0])


@pytest.mark.parametrize("finished", [3, 5])
def test_another_block_size_starts_the_masks_from_the_beginning(tmp_path: Path, finished: int) -> None:
    """Blocks of 128 and of 256 share the last one along x, but not the numbers of its supervoxels."""
    stopped, whole = (make_scene(tmp_path / name, (40, 120, 280)) for name in ("stopped", "whole"))
    larger = SETTINGS.model_copy(update={"block_voxels": 256})

    def stop(done: int, total: int) -> None:
        assert total == 6
        if done == finished:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_step(stopped.plan, SETTINGS, progress=stop)
    for scene in (stopped, whole):
        compute_step(scene.plan, larger)
    assert np.array_equal(labels_on_disk(stopped), labels_on_disk(whole))


def test_labels_on_disk_equal_those_in_memory(scene: Scene) -> None:
    compute_step(scene.plan, SETTINGS)
    stored = open_array(scene.plan.layout, LABELS["cells"].group)
    labels = stored[:]
    assert labels.dtype == np.uint32
    assert stored.details["count"] == labels.max() == len(np.unique(labels)) - 1 > 20
    whole, count = labels_in_memory(scene)
    assert count == labels.max()
    assert np.array_equal(labels, whole)
