"""Commands on results that an earlier version wrote in the present format, frozen in tests/data.

They were made by the code of commit 1160791: `run_demo` with the tiny pipeline of `tests/core`, 12 x 96 x 96 voxels.
The network for denoising, the report and the truth are not in the archive.
"""

import json
import re
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from deployments.command_line.main import main
from deployments.viewing.layers import volume_layers
from spherovem_core.forecast.rates import known_rates
from spherovem_core.overrides import in_todays_names
from spherovem_core.parameters import PipelineParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.steps import spatial
from spherovem_core.steps.recorded import recorded_parameters
from spherovem_core.store import Layout
from spherovem_core.workflow.earlier_versions import is_of_earlier_version

FROZEN = Path(__file__).parents[1] / "data" / "results-format-2.tar.xz"
NEW_TABLES = {
    "other_objects",
    "contacts",
    "suspects_cells",
    "suspects_nuclei",
    "suspects_nanoparticles",
    "agglomerates",
    "uptake",
    "means",
    "totals",
    "enrichment",
    "tests",
}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A results folder as the earlier version left it, and its source."""
    with tarfile.open(FROZEN) as archive:
        archive.extractall(tmp_path, filter="data")
    provenance = tmp_path / "tiny/provenance.json"
    document = json.loads(provenance.read_text())
    assert "posterior_threshold" in document["parameters"]["nanoparticles"]
    document["source"] = str(tmp_path / "acquisitions/tiny")
    provenance.write_text(json.dumps(document))
    return tmp_path / "tiny"


def test_they_are_reported(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(earlier)]) == 0, capsys.readouterr().err
    assert "an older version found the nanoparticles" in (earlier / "report.html").read_text()


def test_status_verify_and_view_read_them(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(earlier.parent), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["acquisitions"]
    assert (found["state"], found["error"]) == ("partial", None)
    assert main(["verify", str(earlier), "--json"]) == 1
    said = capsys.readouterr()
    assert "missing" in said.err
    assert "changed" not in said.err
    names = {layer.name for layer in volume_layers(Layout(earlier))}
    assert {"registered", "cells", "nuclei", "nanoparticles"} <= names


def test_tables_of_today_that_they_lack_are_named_and_the_others_exported(
    earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(earlier), "--tables", "--labels", "--meshes", "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert set(re.findall(r"tables/(\w+)\.csv is left out", said)) == NEW_TABLES
    particles = pd.read_csv(out / "tables/nanoparticles.csv")
    assert len(particles) == len(pd.read_parquet(earlier / "tables/nanoparticles.parquet")) == 7
    assert (out / "labels/cells.ome.tif").exists()


def test_a_lost_table_is_told_from_one_that_the_version_did_not_have(earlier: Path) -> None:
    layout = Layout(earlier)
    (earlier / "tables/stages/slices.parquet").unlink()
    # The step ingest is as it was then, spatial and its tables are not, and the step specimen is new.
    assert not is_of_earlier_version(layout, PIPELINE, PIPELINE.step("ingest").outputs[1])
    assert is_of_earlier_version(layout, PIPELINE, spatial.CONTACTS)
    assert is_of_earlier_version(layout, PIPELINE, PIPELINE.step("specimen").main_output)
    layout.provenance.unlink()
    assert not is_of_earlier_version(layout, PIPELINE, PIPELINE.step("specimen").main_output)


def test_their_parameters_get_the_names_of_today(earlier: Path) -> None:
    given = json.loads((earlier / "provenance.json").read_text())["parameters"]
    parameters = recorded_parameters(Layout(earlier), PIPELINE)
    assert parameters == PipelineParameters.model_validate(in_todays_names(given))
    assert parameters.segmentation.cells.min_diameter_um == given["segmentation"]["cells"]["min_diameter_um"]
    renamed = {"ingest": {"blank_share": 0.5}, "nanoparticles": {"core_posterior": 0.9, "method": "detect"}}
    assert in_todays_names(renamed) == {
        "ingest": {"blank_fraction": 0.5},
        "nanoparticles": {"method": "detect"},
    }


def test_their_seconds_count_in_forecasts(earlier: Path) -> None:
    assert known_rates(PIPELINE, earlier.parent).run_count == 1


def test_a_run_keeps_the_steps_whose_results_would_be_the_same(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerun", str(earlier), "--plan", "--stop-after", "denoising"]) == 0
    assert "everything is complete on disk" in capsys.readouterr().out
    assert main(["rerun", str(earlier), "--plan"]) == 0
    said = capsys.readouterr().out
    assert "the run computes 14 of 16 steps" in said
    assert "registration: version 2" in said


def test_a_source_that_moved_is_named_with_the_command_that_continues(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = earlier.parent / "acquisitions/tiny"
    moved = source.rename(source.with_name("moved"))
    assert main(["rerun", str(earlier), "--plan"]) == 2
    said = capsys.readouterr().err
    assert f"the source of the last run, {source}, does not exist" in said
    assert f"--results-root {earlier.parent} --name tiny" in said
    moved.rename(source)
    assert main(["rerun", str(earlier), "--plan"]) == 0
