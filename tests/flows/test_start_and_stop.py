"""Runs that start at a stage, stop after one, or look at a region only."""

import logging
from pathlib import Path

import numpy as np
import pytest
from tiny_acquisition import States, run
from tiny_pipeline import TINY

from deployments.run_parameters import build_parameters
from flows.process_acquisition import process_acquisition
from spherovem_core.errors import IncompleteArtifactError, ParameterError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.ingest import open_stack
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import RegionOfInterest, crop_acquisition
from spherovem_core.store import Layout, open_array, table_digest
from spherovem_core.store.discarded import find_discarded, forget_discarded

pytestmark = pytest.mark.usefixtures("prefect_server")

ALONE = ExecutionSettings(device="cpu", workers=1)


def test_a_run_stops_after_its_stage(
    copy: Acquisition, parameters: PipelineParameters, task_states: States
) -> None:
    layout = Layout(copy.folder)
    forget_discarded(layout, "denoised")
    layout.report.unlink()
    assert run(copy, parameters, task_states, 2, stop_after="denoising") == {"ingest", "denoising"}
    assert open_array(layout, "denoised").shape == (20, 160, 150)
    assert not layout.report.exists()


def test_a_late_run_takes_earlier_outputs_from_disk(
    copy: Acquisition,
    task_states: States,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Neither source nor network are looked at, and other parameters of earlier stages change nothing.
    away = copy.model_copy(update={"source": tmp_path / "gone"})
    later = build_parameters(
        [
            TINY,
            {
                "denoising": {"epochs": 4},
                "segmentation": {"cells": {"network": "/absent/weights"}},
                "shape": {"min_voxels": 5},
            },
        ]
    )
    before = find_discarded(Layout(copy.folder), "denoised")
    assert before is not None
    with caplog.at_level(logging.WARNING, "flows"):
        computed = run(away, later, task_states, 2, start_at="shape", stop_after="shape")
    assert computed == {"shape cells", "shape nuclei"}
    assert "denoising: taken as it is" in caplog.text
    assert find_discarded(Layout(copy.folder), "denoised") == before


def test_a_late_run_names_missing_outputs(copy: Acquisition, parameters: PipelineParameters) -> None:
    layout = Layout(copy.folder)
    forget_discarded(layout, "flows/nuclei")
    table = layout.tables / "stages" / "nanoparticles.parquet"
    table.unlink()
    with pytest.raises(
        IncompleteArtifactError,
        match=r"needs volume.zarr/flows/nuclei/0, volume.zarr/registered/labels/nanoparticles/0.*start at segmentation",
    ):
        process_acquisition(copy, parameters, ALONE, start_at="shape")
    with pytest.raises(IncompleteArtifactError, match="does not exist, so no earlier stage is complete"):
        process_acquisition(copy.model_copy(update={"name": "absent"}), parameters, ALONE, start_at="shape")
    assert not (copy.results_root / "absent").exists()


@pytest.mark.slow
def test_an_output_with_replaced_inputs_is_refused(copy: Acquisition, parameters: PipelineParameters) -> None:
    other = build_parameters([TINY, {"denoising": {"range_percentiles": [0.1, 99.9]}}])
    process_acquisition(copy, other, ALONE, stop_after="denoising")
    with pytest.raises(
        IncompleteArtifactError,
        match=r"registered/0 was made from inputs that have been replaced.*start at registration",
    ):
        process_acquisition(copy, other, ALONE, start_at="shape", stop_after="shape")


def test_a_run_cannot_stop_before_it_starts(copy: Acquisition, parameters: PipelineParameters) -> None:
    with pytest.raises(
        ParameterError, match=r"start_at is segmentation and stop_after denoising.*the order is ingest"
    ):
        process_acquisition(copy, parameters, ALONE, start_at="segmentation", stop_after="denoising")


REGION = RegionOfInterest(z_start=4, z_stop=16, y_start=20, y_stop=148, x_start=10)


def test_a_region_has_its_own_results(
    finished: Acquisition, parameters: PipelineParameters, task_states: States, tmp_path: Path
) -> None:
    own = finished.model_copy(update={"results_root": tmp_path})
    folder = crop_acquisition(own, REGION).folder
    assert folder == tmp_path / "tiny@roi-z4-16_y20-148_x10-end"
    assert run(own, parameters, task_states, 1, roi=REGION, stop_after="ingest") == {"ingest"}
    raw = open_array(Layout(folder), "raw")
    whole = open_array(Layout(finished.folder), "raw")
    np.testing.assert_array_equal(raw[:], whole[4:16, 20:148, 10:])
    assert raw.spacing_nm == whole.spacing_nm
    assert raw.digest != whole.digest
    assert not own.folder.exists()
    assert run(own, parameters, task_states, 1, roi=REGION, stop_after="ingest") == set()


def test_a_region_takes_the_registration_of_its_full_acquisition(
    copy: Acquisition, parameters: PipelineParameters, task_states: States
) -> None:
    region = Layout(crop_acquisition(copy, REGION).folder)
    assert "registration" in run(copy, parameters, task_states, 3, roi=REGION, stop_after="registration")
    whole, part = (open_array(layout, "registered") for layout in (Layout(copy.folder), region))
    assert part.details["geometry"] == "full acquisition"
    external = part.history[-1]["external"]
    assert external == {"full_registration": whole.digest}
    linear = [np.array(array.details["transforms"])[:, :, :2] for array in (whole, part)]
    np.testing.assert_array_equal(linear[1], linear[0][4:16])
    top, left, bottom, right = part.details["crop"]
    whole_top, whole_left, _, _ = whole.details["crop"]
    rows = slice(top + 20 - whole_top, bottom + 20 - whole_top)
    columns = slice(left + 10 - whole_left, right + 10 - whole_left)
    # The denoiser of the region was trained on the region alone; grey values differ, the geometry does not.
    shown, wanted = part[2].astype(float), whole[6, rows, columns].astype(float)
    assert np.corrcoef(shown.ravel(), wanted.ravel())[0, 1] > 0.9

    other = build_parameters([TINY, {"registration": {"model": "rigid"}}])
    assert run(copy, other, task_states, 3, roi=REGION, stop_after="registration") == {"registration"}
    part = open_array(region, "registered")
    assert (
        part.details["geometry"]
        == "its own, because the full acquisition was registered with other parameters"
    )


@pytest.mark.slow
def test_all_stages_run_on_a_region(
    finished: Acquisition, parameters: PipelineParameters, task_states: States, tmp_path: Path
) -> None:
    own = finished.model_copy(update={"results_root": tmp_path})
    assert len(run(own, parameters, task_states, roi=REGION)) == 16
    layout = Layout(crop_acquisition(own, REGION).folder)
    assert layout.report.exists()
    assert table_digest(layout, "tables/cells.parquet") is not None


def test_a_region_beyond_the_acquisition_is_refused(
    finished: Acquisition, parameters: PipelineParameters, tmp_path: Path
) -> None:
    own = finished.model_copy(update={"results_root": tmp_path})
    with pytest.raises(ParameterError, match=r"roi: y from 100 to 161 reaches beyond.*160 voxels along y"):
        process_acquisition(own, parameters, ALONE, roi=RegionOfInterest(y_start=100, y_stop=161))
    assert open_stack(finished.source, parameters.ingest).shape == (20, 160, 150)
