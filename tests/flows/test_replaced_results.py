"""A run that replaces complete results says so first and keeps tables and report; `rerun` starts from an acquisition."""

import json
import logging
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from test_forecast import read_artifacts
from tiny_pipeline import TINY

from deployments.command_line.main import main
from deployments.run_parameters import build_parameters
from flows.process_acquisition import process_acquisition
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import RegionOfInterest, crop_acquisition, split_region
from spherovem_core.store import Layout
from spherovem_core.store.history import keep_in_history

pytestmark = pytest.mark.usefixtures("prefect_server")

ALONE = ExecutionSettings(device="cpu", workers=1)
STRICT = build_parameters([TINY, {"nanoparticles": {"min_confidence": 0.7}}])


def test_a_run_with_other_parameters_keeps_tables_and_report(
    copy: Acquisition, parameters: PipelineParameters, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout(copy.folder)
    tables = [path for path in layout.tables.iterdir() if path.is_file()]
    kept_files = [layout.report, layout.provenance, *tables]
    before = {path.relative_to(copy.folder): path.read_bytes() for path in kept_files}
    assert len(before) > 5
    with caplog.at_level(logging.WARNING, "flows"):
        process_acquisition(copy, parameters, ALONE)
    assert "replaces" not in caplog.text
    assert not layout.history.exists()

    with caplog.at_level(logging.WARNING, "flows"):
        process_acquisition(copy, STRICT, ALONE)
    (kept,) = layout.history.iterdir()
    assert {path.relative_to(kept): path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before
    said = next(record.getMessage() for record in caplog.records if "replaces" in record.getMessage())
    assert re.search(r"replaces [\d.]+ MB of complete results: nanoparticles \([\d.]+ MB\)", said)
    change = f"min_confidence {parameters.nanoparticles.min_confidence} → 0.7"
    assert f"nanoparticles: {change}" in said
    assert str(kept) in said
    shown = read_artifacts(["replaced-tiny", "summary-tiny"])
    assert change in shown["replaced-tiny"]
    assert f"`spherovem rerun {copy.folder} --set STAGE.NAME=VALUE`" in shown["summary-tiny"]


def test_a_second_attempt_finds_the_first_copy(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    first = keep_in_history(layout)
    layout.report.write_text("replaced by half a run")
    assert keep_in_history(layout) == first
    assert first is not None
    assert (first / "report.html").read_text() != "replaced by half a run"
    assert keep_in_history(Layout(copy.results_root / "nothing")) is None


def test_rerun_foresees_and_hands_over_what_the_last_run_had(
    copy: Acquisition,
    parameters: PipelineParameters,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(*options: str) -> str:
        assert main(["rerun", str(copy.folder), *options]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    assert "everything is complete on disk" in said("--plan")
    plan = said("--plan", "--set", "nanoparticles.min_confidence=0.7")
    assert re.search(r"computes 5 of 16 steps and replaces .* nanoparticles", plan), plan
    deployment = process_acquisition.to_deployment("ad-hoc").apply()
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    address = said("--form", "--set", "nanoparticles.min_confidence=0.7").strip()
    place, _, query = address.partition("?parameters=")
    assert place.endswith(f"/deployments/deployment/{deployment}/run")
    values = json.loads(unquote(unquote(query)))  # the router decodes once, the page a second time
    assert PipelineParameters.model_validate(values["parameters"]) == STRICT
    assert Acquisition.model_validate(values["acquisition"]) == copy

    started = said("--set", "nanoparticles.min_confidence=0.7", "--workers", "1")
    run = started.strip().rpartition("/")[2]
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(run)
    assert PipelineParameters.model_validate(found.parameters["parameters"]) == STRICT
    assert found.parameters["execution"] == {"workers": 1}
    assert (found.name, str(found.deployment_id)) == ("tiny", str(deployment))


def test_rerun_of_unfinished_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Layout(tmp_path / "half").scratch.mkdir(parents=True)
    assert main(["rerun", str(tmp_path / "half")]) == 2
    assert "never processed to the end" in capsys.readouterr().err


@pytest.mark.parametrize(
    "region",
    [
        RegionOfInterest(z_stop=5, y_start=3),
        RegionOfInterest(x_start=1, x_stop=9),
        RegionOfInterest(),
    ],
)
def test_the_region_is_read_from_the_name_of_its_folder(region: RegionOfInterest, tmp_path: Path) -> None:
    whole = Acquisition(name="a@roi-z", source=tmp_path, results_root=tmp_path)
    assert split_region(crop_acquisition(whole, region).name) == (whole.name, region)
