"""Forecast of a run before its first step, and summary after its last one."""

import logging
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from tiny_acquisition import STEPS, Finished, States, run
from tiny_pipeline import TINY

from deployments.run_parameters import build_parameters
from flows import forecast
from flows.preflight import check_before_start
from flows.process_acquisition import process_acquisition
from spherovem_core.errors import StoreNotWritableError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.forecast import Forecast, forecast_steps
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.registry import PIPELINE
from spherovem_core.store import Layout, open_array
from spherovem_core.store.discarded import forget_discarded
from spherovem_core.workflow import RunRequest, SourceVolume
from tasks.devices import resolve_device

pytestmark = pytest.mark.usefixtures("prefect_server")

ALONE = ExecutionSettings(device="cpu", workers=1)
Usage = namedtuple("Usage", "total used free")


def forecast_of_all_steps(acquisition: Acquisition, parameters: PipelineParameters) -> Forecast:
    """Forecast a run of all steps."""
    request = RunRequest(acquisition, parameters)
    external = check_before_start(request, PIPELINE.steps, "cpu")
    return forecast_steps(PIPELINE, request, PIPELINE.steps, external, {}, ALONE, resolve_device)


def test_only_unfinished_steps_are_foreseen(
    finished: Acquisition, parameters: PipelineParameters, tmp_path: Path
) -> None:
    assert forecast_of_all_steps(finished, parameters).rows == ()
    copy = finished.model_copy(update={"results_root": tmp_path})
    shutil.copytree(finished.folder, copy.folder)
    layout = Layout(copy.folder)
    layout.report.unlink()
    forget_discarded(layout, "flows/cells")
    found = forecast_of_all_steps(copy, parameters)
    assert [row.title for row in found.rows] == ["flows cells", "output"]
    threshold = build_parameters([TINY, {"nanoparticles": {"min_confidence": 0.7}}])
    later = forecast_of_all_steps(copy, threshold)
    titles = ["flows cells", "nanoparticles", "spatial", "review nuclei", "review nanoparticles", "output"]
    assert [row.title for row in later.rows] == titles
    # The old posterior makes room for the new one.
    assert later.present_bytes > sum(
        p.stat().st_size for p in layout.volume.glob("nanoparticle_posterior/0/c/*/*/*")
    )
    assert later.seconds > 0


def test_a_forecast_size_is_that_of_the_arrays(finished: Acquisition, parameters: PipelineParameters) -> None:
    layout = Layout(finished.folder)
    raw = open_array(layout, "raw")
    depth, height, width = raw.shape
    volume = SourceVolume((depth, height, width), raw.dtype.itemsize, raw.spacing_nm)
    assert plain_forecast("ingest", volume, parameters) == plain_bytes(layout, "raw")
    # The crop of the registration is not known before.
    for name, group in {
        "masks_cells": "registered/labels/cells",
        "registration": "registered",
    }.items():
        assert 1 <= plain_forecast(name, volume, parameters) / plain_bytes(layout, group) < 1.4, name


def plain_forecast(name: str, volume: SourceVolume, parameters: PipelineParameters) -> int:
    return PIPELINE.step(name).cost.size(volume, parameters).plain_bytes


def plain_bytes(layout: Layout, group: str) -> int:
    """Sum the bytes of all levels before compression."""
    levels = len(open_array(layout, group).details["level_factors"])
    return sum(open_array(layout, group, level).array.nbytes for level in range(levels))


def test_a_run_that_the_disk_cannot_hold_is_refused(
    finished: Acquisition,
    parameters: PipelineParameters,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda folder: Usage(10**9, 10**9 - 10**6, 10**6))
    own = finished.model_copy(update={"results_root": tmp_path})
    with pytest.raises(
        StoreNotWritableError,
        match=r"need about 0\.\d\d GB more \(.*\), and 0\.00 GB are free; free or add disk",
    ):
        process_acquisition(own, parameters, ALONE)
    assert not Layout(own.folder).volume.exists()


def test_a_finished_acquisition_needs_no_disk(
    finished: Acquisition,
    parameters: PipelineParameters,
    task_states: States,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 0))
    assert run(finished, parameters, task_states) == set()


def test_forecast_and_summary_are_shown(
    finished: Acquisition, parameters: PipelineParameters, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = finished.model_copy(update={"results_root": tmp_path, "name": "tiny again"})
    shutil.copytree(finished.folder, copy.folder)
    Layout(copy.folder).path("tables/stages/shape-cells.parquet").unlink()
    with caplog.at_level(logging.INFO, "flows"):
        process_acquisition(copy, parameters, ALONE)
    assert "steps to compute: 1, about 0.00 GB of disk" in caplog.text
    assert "rates of earlier runs beside this one (1)" in caplog.text
    keys = ["forecast-tiny-again", "summary-tiny-again"]
    shown = read_artifacts(keys)
    assert re.search(r"\| shape cells \| 0.0 \| \d+ s \|", shown[keys[0]])
    text = shown[keys[1]]
    assert "1 of 16 steps computed" in text
    assert f"- [report]({Layout(copy.folder).report.as_uri()})" in text
    assert "| registration | cached |" in text
    assert "| shape cells | computed |" in text


def test_every_step_shows_its_quality(demo: Finished) -> None:
    tables = {title: slug(f"{demo.acquisition.name} {title}") for title in STEPS}
    pictures = {title: f"{key}-picture" for title, key in tables.items()}
    shown = read_artifacts([*tables.values(), *pictures.values()])
    assert set(tables.values()) <= set(shown)
    assert [title for title in STEPS if pictures[title] in shown] == [
        "ingest",
        "denoising",
        "registration",
        "flows cells",
        "flows nuclei",
        "masks cells",
        "masks nuclei",
        "specimen",
    ]
    assert shown["tiny-ingest-picture"].startswith("data:image/png;base64,")


def read_artifacts(keys: list[str]) -> dict[str, str]:
    """Return the data of the newest artifact of each of these keys that exists."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=keys))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC)
        return {str(each.key): str(each.data) for each in reversed(found)}


def slug(key: str) -> str:
    return key.replace("_", "-").replace(" ", "-")
