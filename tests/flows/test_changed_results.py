"""Runs over results that a person changed: refused before anything is computed, and followed up once the change is adopted."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from tiny_acquisition import States, run
from tiny_pipeline import TINY

from deployments.command_line.main import main
from deployments.run_parameters import build_parameters
from flows.process_acquisition import process_acquisition
from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.integrity import adopt, recompute
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.status import acquisition_state
from spherovem_core.store import Layout, open_array, read_table, table_history, write_table
from spherovem_core.store.checksums import FileState
from spherovem_core.store.layout import stage_table_path, table_path
from spherovem_core.store.shard_record import RECORD
from spherovem_core.store.tables import table_marker

pytestmark = pytest.mark.usefixtures("prefect_server")

ALONE = ExecutionSettings(device="cpu", workers=1)
CELLS = "registered/labels/cells"
TOLD = r"labels/cells was changed.*--adopt.*--recompute.*Labels gone: .*; of another size"
STAGE_TABLE = stage_table_path("shape-cells")


def merge_two_and_delete_one(copy: Acquisition) -> list[int]:
    """Edit the labels as a person does with zarr-python, and return the labels that are left."""
    array = zarr.open_array(copy.folder / "volume.zarr" / CELLS / "0", mode="r+")
    values = np.asarray(array[:])
    first, second, third = np.unique(values)[1:4]
    values[values == second] = 0
    values[values == third] = first
    array[:] = values
    return [int(label) for label in np.unique(values)[1:]]


def contents(folder: Path) -> dict[str, str]:
    """Return what every file of the results holds; the records of arrays take over the time of a file of the same bytes."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".spherovem" not in path.parts)
    files = (path for path in files if path.name != RECORD)
    return {str(path.relative_to(folder)): FileState.of(path).text for path in files}


def test_labels_edited_in_place_stop_every_run(copy: Acquisition, parameters: PipelineParameters) -> None:
    merge_two_and_delete_one(copy)
    before = contents(copy.folder)
    other = build_parameters([TINY, {"denoising": {"epochs": 4}}])
    runs: list[tuple[PipelineParameters, dict[str, str]]] = [
        (parameters, {"start_at": "shape"}),
        (parameters, {"start_at": "output"}),
        (parameters, {}),
        (other, {"stop_after": "denoising"}),
    ]
    for given, options in runs:
        with pytest.raises(
            ChangedArtifactError,
            match=TOLD,
        ):
            process_acquisition(copy, given, ALONE, **options)  # type: ignore[arg-type]
    assert contents(copy.folder) == before


def test_the_command_line_says_it_once(
    copy: Acquisition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge_two_and_delete_one(copy)
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(TINY))
    process = ["process", copy.source, "--results-root", copy.results_root, "--parameters", file]
    assert main([*map(str, process), "--start-at", "shape"]) == 1
    shown = capsys.readouterr()
    assert shown.err.count("was changed after it was computed") == 1
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""
    assert main(["verify", copy.name, "--results-root", str(copy.results_root)]) == 1
    shown = capsys.readouterr()
    assert "1 changed" in shown.err
    assert f"volume.zarr/{CELLS}" in next(line for line in shown.out.splitlines() if " changed " in line)
    command = ["verify", copy.name, "--results-root", str(copy.results_root)]
    assert main([*command, "--adopt", CELLS, "--author", "Ada", "--reason", "debris"]) == 0
    assert "was adopted by Ada" in capsys.readouterr().out
    assert main(command) == 0
    assert "adopted by Ada on" in capsys.readouterr().out
    assert main([*command, "--adopt", CELLS]) == 2
    assert "nothing to adopt" in capsys.readouterr().err


def test_what_follows_from_adopted_labels_is_computed_again(
    copy: Acquisition, parameters: PipelineParameters, task_states: States
) -> None:
    layout = Layout(copy.folder)
    process_acquisition(copy, parameters, ALONE)
    left = merge_two_and_delete_one(copy)
    adopt(copy.folder, CELLS, author="Ada", reason="2 is debris")
    assert [step.name for step in acquisition_state(copy.folder).steps if step.state == "outdated"] == [
        "shape_cells",
        "spatial",
        "review_cells",
        "review_nuclei",
        "review_nanoparticles",
        "output",
    ]
    with pytest.raises(
        IncompleteArtifactError, match=r"inputs that have been replaced since; start at shape"
    ):
        process_acquisition(copy, parameters, ALONE, start_at="output")
    # The review sees new objects, and the flows were discarded.
    assert run(copy, parameters, task_states, 8, start_at="shape") == {
        "shape cells", "spatial", "flows cells", "review cells", "review nuclei", "review nanoparticles", "output",
    }  # fmt: skip
    assert list(read_table(layout, table_path("cells"))["label"]) == left
    assert open_array(layout, "distance_to_nucleus").history[-1]["step"] == "spatial"
    # Everything is complete now, also for a run from the source; the server meets the adopted labels for the first time.
    assert run(copy, parameters, task_states) <= {"masks cells"}
    assert run(copy, parameters, task_states) == set()
    assert sorted(np.unique(open_array(layout, CELLS)[:])) == [0, *left]
    assert acquisition_state(copy.folder).state == "complete"

    report = layout.report.read_text()
    assert "was changed by hand and adopted by Ada" in report
    assert "2 is debris" in report
    assert [entry["step"] for entry in table_history(layout, table_path("cells"))].count("adoption") == 1
    stages = json.loads(layout.provenance.read_text())["stages"]
    assert [entry["step"] for entry in stages].count("adoption") == 1

    # A run that would replace the person's work is refused before it computes anything.
    before = contents(copy.folder)
    for change in (
        {"segmentation": {"cells": {"probability_threshold": 0.5}}},
        {"registration": {"model": "rigid"}},
    ):
        with pytest.raises(
            ChangedArtifactError, match=r"labels/cells holds a change by hand \(adopted by Ada"
        ):
            process_acquisition(copy, build_parameters([TINY, change]), ALONE)
    shutil.rmtree(layout.volume / "registered/0")
    with pytest.raises(ChangedArtifactError, match="adopted by Ada"):
        process_acquisition(copy, parameters, ALONE)
    after = contents(copy.folder)
    assert after == {name: state for name, state in before.items() if "registered/0/" not in name}


@pytest.mark.slow
def test_published_tables_follow_stage_tables_of_the_same_digest(
    copy: Acquisition, parameters: PipelineParameters
) -> None:
    """As when a stage was computed again on another device."""
    layout = Layout(copy.folder)
    marker = table_marker(layout.path(STAGE_TABLE)) or {}
    frame = read_table(layout, STAGE_TABLE).assign(sphericity=0.5)
    write_table(layout, STAGE_TABLE, frame, marker["fingerprint"], marker["history"], marker["sources"])
    process_acquisition(copy, parameters, ALONE, start_at="output")
    assert (read_table(layout, table_path("cells"))["sphericity"] == 0.5).all()


@pytest.mark.slow
def test_tables_follow_labels_of_the_same_digest(copy: Acquisition, parameters: PipelineParameters) -> None:
    """As when labels were lost and a run on another device computed a cell more."""
    layout = Layout(copy.folder)
    left = merge_two_and_delete_one(copy)
    adopt(copy.folder, CELLS)
    folder = layout.volume / CELLS / "0"
    node = json.loads((folder / "zarr.json").read_text())
    del node["attributes"]["spherovem"]["adopted"]
    from spherovem_core.store.arrays import complete_array

    complete_array(folder, node["attributes"]["spherovem"])
    with pytest.raises(IncompleteArtifactError, match="inputs that have been replaced since; start at shape"):
        process_acquisition(copy, parameters, ALONE, start_at="spatial")
    process_acquisition(copy, parameters, ALONE, start_at="shape")
    assert list(read_table(layout, table_path("cells"))["label"]) == left


@pytest.mark.slow
def test_a_published_table_saved_by_pandas_is_kept_or_computed_again(
    copy: Acquisition, parameters: PipelineParameters
) -> None:
    layout = Layout(copy.folder)
    path = table_path("cells")
    frame = read_table(layout, path)
    frame.assign(sphericity=0.1).to_parquet(layout.path(path))
    with pytest.raises(ChangedArtifactError, match=r"cells.parquet was changed"):
        process_acquisition(copy, parameters, ALONE)
    adopt(copy.folder, path, author="Ada")
    assert "tables/cells.parquet was changed by hand and adopted by Ada" in layout.report.read_text()
    process_acquisition(copy, parameters, ALONE)
    assert (read_table(layout, path)["sphericity"] == 0.1).all()
    other = build_parameters([TINY, {"output": {"report_image_px": 300}}])
    with pytest.raises(ChangedArtifactError, match=r"cells.parquet holds a change by hand"):
        process_acquisition(copy, other, ALONE)
    recompute(copy.folder, path)
    process_acquisition(copy, other, ALONE)
    pd.testing.assert_frame_equal(read_table(layout, path), frame)
    assert len(list((copy.folder / "set-aside/tables").glob("cells.*.parquet"))) == 1
