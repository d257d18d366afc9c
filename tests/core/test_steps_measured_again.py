"""The steps of shape and spatial after corrections: what a stopped run leaves, and results equal to those of a full run."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edited_labels import random_edits
from spatial_scenes import SPACING, Labels, random_tissue

from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.parameters import PipelineParameters, ShapeParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.registry import PIPELINE
from spherovem_core.spatial.particle_geometry import measure_geometry
from spherovem_core.steps import nanoparticles, segmentation, shape, spatial, specimen
from spherovem_core.store import ArrayWriter, Layout, finish_multiscale, open_array, read_table, write_table
from spherovem_core.workflow import RunRequest, TableOutput, plan_step
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.run import array_spec

STEPS = ("shape_cells", "shape_nuclei", "spatial")
VOLUMES = (segmentation.LABELS["cells"], segmentation.LABELS["nuclei"], nanoparticles.LABELS)
TABLES = (
    *shape.SHAPE.values(),
    *(output for output in spatial.SPATIAL.outputs if isinstance(output, TableOutput)),
)
PARAMETERS = PipelineParameters(shape=ShapeParameters(write_meshes=True))
BLOCK = 16
MASK_SPACING, MASK_ORIGIN = (100.0, 20.0, 20.0), (25.0, 5.0, 5.0)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spherovem_core.workflow.run.LARGEST_CUBE", BLOCK)
    monkeypatch.setattr("spherovem_core.spatial.contacts.BLOCK_EDGE", BLOCK)


def tissue(seed: int) -> list[Labels]:
    cells, nuclei = random_tissue((10, 40, 36), seed, 6)
    particles = np.zeros(cells.shape, np.uint32)
    corners = np.random.default_rng(seed).integers(0, np.array(particles.shape) - 4, (20, 3))
    for label, (z, y, x) in enumerate(corners, 1):
        particles[z : z + 2, y : y + 3, x : x + 4] = label
    return [cells, nuclei, particles]


class Results:
    """A results folder whose labels are replaced, as a correction does, and then measured."""

    def __init__(self, root: Path) -> None:
        self.acquisition = Acquisition(name="one", source=root, results_root=root)
        self.layout = Layout(self.acquisition.folder)
        self.layout.ensure_writable()

    def replace(self, volumes: Sequence[Labels]) -> dict[str, ArtifactRef]:
        done = {}
        for output, values in zip(VOLUMES, volumes, strict=True):
            digest = f"{output.group} {hash(values.tobytes())}"
            spec = array_spec(output.group, "label", values.shape, values.dtype, SPACING, block=BLOCK)
            writer = ArrayWriter(self.layout, spec, digest)
            for block in block_grid(spec.shape, spec.shards):
                writer.write(block, values[block.core])
            done[PIPELINE.producer(output).name] = finish_multiscale(writer, Execution(), [])
        mask = np.ones((5, 20, 18), np.uint8)
        mask[:, :, 15:] = 0
        spec = array_spec(
            specimen.SPECIMEN.group, "label", mask.shape, mask.dtype, MASK_SPACING, origin_nm=MASK_ORIGIN
        )
        writer = ArrayWriter(self.layout, spec, "specimen")
        for block in block_grid(spec.shape, spec.shards):
            writer.write(block, mask[block.core])
        done["specimen"] = finish_multiscale(writer, Execution(), [])
        table = measure_geometry(volumes[2], SPACING)
        write_table(self.layout, nanoparticles.PARTICLES.path, table, done["nanoparticles"].digest, [])
        return done

    def measure(
        self, volumes: Sequence[Labels], progress: Any = None, external: Mapping[str, str] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Run the steps, the last with these external digests; return their figures."""
        done = self.replace(volumes)
        figures = {}
        for name in STEPS:
            given = external if external and name == "spatial" else {}
            plan = plan_step(
                PIPELINE, PIPELINE.step(name), RunRequest(self.acquisition, PARAMETERS), given, done
            )
            done[name] = plan.find() or done.get(name)
            if done[name] is None:
                done[name], quality = compute_step(plan, ExecutionSettings(), progress=progress)
                figures[name] = dict(quality.figures)
        return figures

    def contents(self) -> dict[str, Any]:
        """Read all results: tables, values of every level of the map, meshes."""
        found: dict[str, Any] = {output.path: read_table(self.layout, output.path) for output in TABLES}
        levels = len(open_array(self.layout, spatial.DISTANCE.group).details["level_factors"])
        found |= {f"level {n}": open_array(self.layout, spatial.DISTANCE.group, n)[:] for n in range(levels)}
        meshes = sorted(self.layout.meshes.rglob("*.ply"))
        return found | {str(path.relative_to(self.layout.folder)): path.read_bytes() for path in meshes}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(found[name], value, check_exact=True)
        else:
            np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_steps_after_corrections_give_what_a_full_run_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volumes = tissue(0)
    results = Results(tmp_path / "again")
    for turn in range(3):
        results.measure(volumes)
        full = Results(tmp_path / f"full-{turn}")
        full.measure(volumes)
        assert_same(results.contents(), full.contents())
        assert not (results.layout.scratch / "replaced").exists()
        which = turn % 3
        volumes[which] = random_edits(volumes[which], rng, 2)


def test_figures_state_what_was_measured(tmp_path: Path) -> None:
    volumes = tissue(1)
    results = Results(tmp_path)
    first = results.measure(volumes)
    count = len(np.unique(volumes[0])) - 1
    assert first["shape_cells"]["measured"] == count
    removed = np.unique(volumes[0])[1]
    volumes[0] = np.where(volumes[0] == removed, 0, volumes[0])
    second = results.measure(volumes)
    assert set(second) == {"shape_cells", "spatial"}
    assert second["shape_cells"]["measured"] == 0
    assert second["shape_cells"]["taken over, unchanged"] == count - 1
    assert second["spatial"]["cells"] == f"0 measured, {count - 1} unchanged ones taken over"


@pytest.mark.parametrize("seed", range(4))
def test_steps_stopped_anywhere_and_continued_or_corrected_again_give_what_a_full_run_gives(
    seed: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    volumes = tissue(seed)
    results = Results(tmp_path / "again")
    results.measure(volumes)
    for _ in range(3):
        if rng.random() < 0.7:
            which = int(rng.integers(3))
            volumes[which] = random_edits(volumes[which], rng, 2)
        calls = int(rng.integers(1, 60))

        def stop(done: int, total: int) -> None:
            nonlocal calls
            calls -= 1
            if calls == 0:
                raise KeyboardInterrupt

        try:
            results.measure(volumes, stop)
        except KeyboardInterrupt:
            continue
    results.measure(volumes)
    full = Results(tmp_path / "full")
    full.measure(volumes)
    assert_same(results.contents(), full.contents())


def test_other_parameters_mean_a_full_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = tissue(2)
    results = Results(tmp_path)
    results.measure(volumes)
    other = PipelineParameters(shape=ShapeParameters(write_meshes=True, min_voxels=500))
    monkeypatch.setattr("test_steps_measured_again.PARAMETERS", other)
    assert results.measure(volumes)["shape_cells"]["taken over, unchanged"] == 0


def test_results_without_their_scratch_folder_are_measured_in_full(tmp_path: Path) -> None:
    volumes = tissue(2)
    results = Results(tmp_path)
    results.measure(volumes)
    shutil.rmtree(results.layout.scratch)
    volumes[0] = random_edits(volumes[0], np.random.default_rng(0), 1)
    figures = results.measure(volumes)
    assert figures["shape_cells"]["taken over, unchanged"] == 0
    assert " 0 unchanged" in figures["spatial"]["cells"]
