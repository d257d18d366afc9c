"""The step that stores nanoparticles: its tables, its document, its figures, and the place of each object in the mask."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.nanoparticles import Mixture, find_particles
from spherovem_core.parameters import NanoparticleParameters, PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.registry import PIPELINE
from spherovem_core.steps.ingest import SLICES
from spherovem_core.steps.nanoparticles import LABELS, OTHERS, PARTICLES, POSTERIOR
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.specimen import SPECIMEN
from spherovem_core.store import ArrayWriter, Layout, finish_multiscale, open_array, read_table, write_table
from spherovem_core.store.columns import FILLED_FLAGS, OTHER_OBJECT_COLUMNS
from spherovem_core.workflow import RunRequest, StepPlan, plan_step
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.run import array_spec

SETTINGS = ExecutionSettings(device="cpu", workers=1)
SHAPE, SPACING_NM, FACTORS = (20, 150, 140), (40.0, 10.0, 10.0), (3, 12, 12)
BALLS = ((6, 30, 30), (6, 90, 40), (13, 50, 60), (13, 110, 70), (10, 70, 95), (5, 120, 110), (14, 25, 105))
RADIUS_NM = 110.0
RESIN_FROM = 96
"""First column of the mask's outside; the balls at 105 and 110 lie in it, and the one at 95 at its border."""


def image(balls: tuple[tuple[int, int, int], ...] = BALLS) -> np.ndarray:
    """Noisy tissue with balls."""
    values = np.random.default_rng(2).normal(110, 8, SHAPE)
    z, y, x = np.indices(SHAPE) * np.array(SPACING_NM).reshape(3, 1, 1, 1)
    for ball in balls:
        centre = np.array(ball) * SPACING_NM
        inside = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < RADIUS_NM**2
        values[inside] += 90
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def plan_of(folder: Path, values: np.ndarray) -> StepPlan[NanoparticleParameters]:
    """Write the inputs of the step, and plan it."""
    acquisition = Acquisition(name="one", source=folder / "landing", results_root=folder)
    layout = Layout(acquisition.folder)
    codes = np.ones([-(-n // f) for n, f in zip(SHAPE, FACTORS, strict=True)], np.uint8)
    codes[:, :, RESIN_FROM // FACTORS[2] :] = 0
    tiles = (120.0, 120.0, 120.0)
    done = {}
    for step, output, content, array, spacing in (
        ("registration", REGISTERED, "image", values, SPACING_NM),
        ("specimen", SPECIMEN, "label", codes, tiles),
    ):
        spec = array_spec(
            output.group, content, array.shape, array.dtype, spacing, by_slice=content == "image"
        )
        writer = ArrayWriter(layout, spec, f"digest of {step}")
        writer.array[:] = array
        done[step] = finish_multiscale(writer, Execution(), [])
    slices = pd.DataFrame({"z": range(SHAPE[0]), **dict.fromkeys(FILLED_FLAGS, False)})
    done["ingest"] = write_table(layout, SLICES.path, slices, "digest of the slices", [])
    request = RunRequest(acquisition, PipelineParameters())
    return plan_step(PIPELINE, PIPELINE.step("nanoparticles"), request, {}, done)


def test_tables_labels_and_document_are_those_in_memory(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, image())
    _, quality = compute_step(plan, SETTINGS)
    found = find_particles(image(), SPACING_NM)
    assert len(found.table) == len(BALLS)
    np.testing.assert_array_equal(open_array(plan.layout, LABELS.group)[:], found.labels)
    np.testing.assert_array_equal(open_array(plan.layout, POSTERIOR.group)[:], found.posterior)
    particles = read_table(plan.layout, PARTICLES.path)
    pd.testing.assert_frame_equal(particles.drop(columns="place"), found.table)
    assert read_table(plan.layout, PARTICLES.path)["agglomerate"].nunique() == len(BALLS)
    assert quality.figures["particles"] == len(BALLS)
    assert quality.figures["population 1"].startswith(f"{len(BALLS)} particles, 2")
    document = json.loads(plan.layout.mixture.read_text())
    own = {name: document[name] for name in ("format", *vars(found.mixture))}
    stored = Mixture.from_json(json.dumps(own))
    assert replace(stored, warnings=[]) == replace(found.mixture, warnings=[])
    assert stored.warnings[:-1] == found.mixture.warnings


def test_each_particle_has_its_place_and_those_at_the_border_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_of(tmp_path, image())
    with caplog.at_level(logging.WARNING):
        _, quality = compute_step(plan, SETTINGS)
    particles = read_table(plan.layout, PARTICLES.path)
    columns = (particles["centroid_x_um"] * 100).round()
    expected = np.where(columns < RESIN_FROM, "specimen", "outside")
    assert particles["place"].tolist() == expected.tolist()
    assert (particles["place"] == "outside").sum() == 2
    warning = next(text for text in quality.figures.values() if "touch the border" in str(text))
    assert warning.startswith("3 of 7 nanoparticles")
    assert warning in caplog.text
    assert warning in plan.layout.mixture.read_text()


def test_tables_without_rows_have_their_types(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, image(()))
    compute_step(plan, SETTINGS)
    others = read_table(plan.layout, OTHERS.path)
    assert list(others.columns) == [column.name for column in OTHER_OBJECT_COLUMNS]
    assert len(others) == 0
    for name in ("kind", "reason", "place"):
        assert pd.api.types.is_string_dtype(others[name]), name
