"""The parent flow on a tiny phantom: what is computed, what is taken from the cache, what is written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deployments.overrides import build_parameters
from flows.process_acquisition import process_acquisition
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.phantom import make_phantom, write_acquisition
from spherovem_core.references import Acquisition
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import table_path

pytestmark = pytest.mark.usefixtures("prefect_server")

TINY: dict[str, Any] = {
    "denoising": {
        "training_slices": 4,
        "validation_slices": 2,
        "patch_size": 32,
        "patches_per_slice": 4,
        "epochs": 1,
        "network_channels": 8,
        "batch_size": 8,
    },
    "cells": {"network": "phantom-compact", "flow_spacing_nm": 160.0, "min_diameter_um": 1.0},
    "nuclei": {"network": "phantom-compact", "flow_spacing_nm": 160.0},
}
ARRAYS = (
    "raw",
    "denoised",
    "registered",
    "registered/labels/cells",
    "registered/labels/nuclei",
    "registered/labels/nanoparticles",
    "flows/cells",
    "flows/nuclei",
    "nanoparticle_posterior",
    "distance_to_nucleus",
)
STAGES = (
    "ingest",
    "denoise",
    "register",
    "predict_flows cells",
    "segment_masks cells",
    "measure_shape cells",
    "predict_flows nuclei",
    "segment_masks nuclei",
    "measure_shape nuclei",
    "segment_nanoparticles",
    "measure_space",
    "write_output",
)
States = Callable[[Any, int], dict[str, str]]


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory: pytest.TempPathFactory) -> Acquisition:
    folder = tmp_path_factory.mktemp("flow")
    phantom = make_phantom(shape=(20, 160, 150), spacing_nm=(120.0, 40.0, 40.0), seed=7, cell_diameter_um=2.5)
    write_acquisition(phantom, folder / "landing" / "tiny")
    return Acquisition(name="tiny", source=folder / "landing" / "tiny", results_root=folder / "results")


@pytest.fixture(scope="module")
def parameters() -> PipelineParameters:
    return build_parameters([TINY])


@pytest.fixture(scope="module")
def finished(acquisition: Acquisition, parameters: PipelineParameters, prefect_server: None) -> Acquisition:
    process_acquisition(acquisition, parameters, ExecutionSettings(device="cpu"))
    return acquisition


def run(acquisition: Acquisition, parameters: PipelineParameters, task_states: States) -> set[str]:
    """Run the flow; names of the stages that were computed."""
    state = process_acquisition(
        acquisition, parameters, ExecutionSettings(device="cpu", workers=1), return_state=True
    )
    assert state.is_completed()
    states = task_states(state.state_details.flow_run_id, len(STAGES))
    assert set(states) == {f"{stage} of tiny" for stage in STAGES}
    assert set(states.values()) <= {"Cached", "Completed"}
    return {name.removesuffix(" of tiny") for name, value in states.items() if value == "Completed"}


def test_every_array_and_table_of_the_design_is_written(finished: Acquisition) -> None:
    layout = Layout(finished.folder)
    for group in ARRAYS:
        assert open_array(layout, group).shape[-3] > 1, group
    for name in ("cells", "nuclei", "nanoparticles", "slices"):
        frame = pd.read_parquet(layout.path(table_path(name)))
        assert len(frame) > 0, name
        assert frame.columns[0] in ("label", "file")
    assert "<html" in layout.report.read_text()
    provenance = json.loads(layout.provenance.read_text())
    assert {entry["stage"] for entry in provenance["stages"]} == {stage.split()[0] for stage in STAGES}
    assert provenance["parameters"]["denoising"]["epochs"] == 1


def test_a_second_run_computes_nothing(
    finished: Acquisition, parameters: PipelineParameters, task_states: States
) -> None:
    assert run(finished, parameters, task_states) == set()


def test_a_changed_parameter_recomputes_its_stage_and_those_after(
    finished: Acquisition, parameters: PipelineParameters, task_states: States, tmp_path: Path
) -> None:
    copy = finished.model_copy(update={"results_root": tmp_path})
    shutil.copytree(finished.folder, copy.folder)
    process_acquisition(copy, parameters, ExecutionSettings(device="cpu"))
    threshold = build_parameters([TINY, {"nanoparticles": {"posterior_threshold": 0.6}}])
    assert run(copy, threshold, task_states) == {"segment_nanoparticles", "measure_space", "write_output"}
    image = build_parameters(
        [TINY, {"nanoparticles": {"posterior_threshold": 0.6}, "output": {"report_image_px": 300}}]
    )
    assert run(copy, image, task_states) == {"write_output"}
    masks = build_parameters([TINY, {"nuclei": {"probability_threshold": 0.5}}])
    assert run(copy, masks, task_states) == {
        "segment_masks nuclei",
        "measure_shape nuclei",
        "segment_nanoparticles",
        "measure_space",
        "write_output",
    }


@pytest.mark.parametrize(
    ("lost", "computed"),
    [
        ("tables/cells.parquet", {"write_output"}),
        ("report.html", {"write_output"}),
        ("volume.zarr/denoised", {"denoise"}),
        ("volume.zarr/distance_to_nucleus/0/c", {"measure_space"}),
        (
            "volume.zarr/registered/1",
            {"register", "segment_masks cells", "segment_masks nuclei", "segment_nanoparticles"},
        ),
    ],
)
def test_a_deleted_output_is_computed_again(
    finished: Acquisition, parameters: PipelineParameters, task_states: States, lost: str, computed: set[str]
) -> None:
    path = finished.folder / lost
    if not path.exists():
        pytest.skip(f"the tiny volume has no {lost}")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run(finished, parameters, task_states) == computed
    assert path.exists()
    assert run(finished, parameters, task_states) == set()
