"""Corrections of a finished acquisition, from the edits to the tables and the report."""

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError
from tiny_acquisition import run

from deployments.command_line.main import main
from flows.correct_labels import correct_labels
from flows.corrected_run import run_after_corrections
from flows.import_parameters import ImportParameters
from flows.process_acquisition import process_acquisition
from spherovem_core.corrections import Journal, append_edits, parse_edits, undo_operations
from spherovem_core.errors import (
    ChangedArtifactError,
    CorrectionError,
    IncompleteArtifactError,
    ParameterError,
)
from spherovem_core.execution import ExecutionSettings
from spherovem_core.integrity import adopt, recompute, verify_results
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.status import acquisition_state
from spherovem_core.store import Layout, open_array, read_json
from spherovem_core.store.discarded import find_discarded

pytestmark = pytest.mark.usefixtures("prefect_server")

ALONE = ExecutionSettings(device="cpu", workers=1)


def point_in(layout: Layout, kind: str, label: int) -> dict[str, Any]:
    """Return an anchor in the middle of an object, in C order."""
    stored = open_array(layout, f"registered/labels/{kind}")
    places = np.argwhere(stored[:] == label)
    place = places[len(places) // 2] * stored.spacing_nm + stored.origin_nm
    return {"point_um": (place / 1000).tolist()}


def table(layout: Layout, kind: str) -> pd.DataFrame:
    return pd.read_parquet(layout.tables / f"{kind}.parquet").set_index("label")


def correct(acquisition: Acquisition, kind: str, edits: list[dict[str, Any]], **options: Any) -> None:
    correct_labels(acquisition.name, acquisition.results_root, kind, edits, execution=ALONE, **options)


def test_deleted_and_merged_cells_are_two_rows_fewer(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    before = table(layout, "cells")
    one, other, third = before.index[:3].tolist()
    edits = [
        {"operation": "delete", "object": point_in(layout, "cells", other)},
        {"operation": "merge", "objects": [point_in(layout, "cells", own) for own in (one, third)]},
        {"operation": "exclude", "object": point_in(layout, "cells", int(before.index[4]))},
    ]
    correct(copy, "cells", edits, author="Ada")
    after = table(layout, "cells")
    kept = max(one, third, key=lambda own: before.loc[own, "voxel_count"])
    assert sorted(after.index) == sorted({*before.index, kept} - {one, other, third} | {kept})
    assert after.loc[kept, "voxel_count"] == before.loc[[one, third], "voxel_count"].sum()
    assert after.loc[kept, "volume_um3"] == pytest.approx(before.loc[[one, third], "volume_um3"].sum())
    low, high = before.loc[[one, third], "bbox_z0"].min(), before.loc[[one, third], "bbox_x1"].max()
    assert (after.loc[kept, "bbox_z0"], after.loc[kept, "bbox_x1"]) == (low, high)
    assert after.index[after["corrected"]].tolist() == [kept]
    assert after.index[after["excluded"]].tolist() == [before.index[4]]
    shape = ["voxel_count", "volume_um3", "centroid_z_um", "surface_area_um2", "sphericity", "inertia_1_um2"]
    untouched = [label for label in after.index if label != kept]
    pd.testing.assert_frame_equal(after.loc[untouched, shape], before.loc[untouched, shape])
    # Nuclei of a cell that is gone have no parent any more.
    parents = set(table(layout, "nuclei")["parent_cell"]) - {0}
    assert parents <= set(after.index)
    report = layout.report.read_text()
    assert "Corrections by hand" in report
    assert f"{len(after) - 1} (1 more excluded by hand)" in report
    document = read_json(layout.provenance) or {}
    journal = Journal(layout.journal("cells"))
    assert document["corrections"] == {"cells": {"journal": journal.digest, "applied": 3, "not_applied": 0}}
    assert acquisition_state(copy.folder).state == "complete"


@pytest.mark.slow
def test_undone_corrections_give_the_tables_as_before(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    rows = table(layout, "cells")
    correct(copy, "cells", [{"operation": "delete", "object": point_in(layout, "cells", int(rows.index[1]))}])
    names = [entry.id for entry in Journal(layout.journal("cells")).effective()]
    correct_labels(copy.name, copy.results_root, "cells", undo=names, execution=ALONE)
    pd.testing.assert_frame_equal(table(layout, "cells"), rows)
    assert not (layout.volume / "registered/labels/cells_automatic").exists()


def test_ordinary_runs_apply_the_journal_and_find_everything_complete_afterwards(
    copy: Acquisition, parameters: PipelineParameters, task_states: Any
) -> None:
    run(copy, parameters, task_states)
    layout = Layout(copy.folder)
    label = int(table(layout, "nuclei").index[0])
    edits = [json.dumps({"operation": "reject", "object": point_in(layout, "nuclei", label)})]
    append_edits(layout, "nuclei", parse_edits(edits))
    states = {step.title: step.state for step in acquisition_state(copy.folder).steps}
    assert (states["masks nuclei"], states["masks cells"]) == ("outdated", "complete")
    with pytest.raises(
        IncompleteArtifactError, match=r"nuclei\.jsonl holds corrections .* start at segmentation"
    ):
        process_acquisition(copy, parameters, ALONE, start_at="shape")
    computed = run(copy, parameters, task_states)
    assert computed == {
        "masks nuclei", "shape nuclei", "spatial", "review cells", "review nuclei", "review nanoparticles", "output",
    }  # fmt: skip
    assert label not in table(layout, "nuclei").index
    assert run(copy, parameters, task_states) == set()


def test_corrected_particles_have_the_volume_of_their_voxels(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    before = table(layout, "nanoparticles")
    posterior = (layout.volume / "nanoparticle_posterior/0/zarr.json").read_bytes()
    assert len(before) > 3
    one, other, third = before.index[:3].tolist()
    edits = [
        {"operation": "delete", "object": point_in(layout, "nanoparticles", other)},
        {"operation": "merge", "objects": [point_in(layout, "nanoparticles", own) for own in (one, third)]},
    ]
    correct(copy, "nanoparticles", edits)
    after = table(layout, "nanoparticles")
    kept = max(one, third, key=lambda own: (before.loc[own, "voxel_count"], -own))
    assert len(after) == len(before) - 2
    assert after.loc[kept, "voxel_count"] == before.loc[[one, third], "voxel_count"].sum()
    assert after.loc[kept, "volume_um3"] == pytest.approx(after.loc[kept, "voxel_count"] * 0.12 * 0.04 * 0.04)
    assert after.loc[kept, "contrast"] == before.loc[kept, "contrast"]
    measured = ["volume_um3", "contrast", "confidence", "population", "centroid_x_um", "place"]
    untouched = [label for label in after.index if label != kept]
    pd.testing.assert_frame_equal(after.loc[untouched, measured], before.loc[untouched, measured])
    agglomerates = table(layout, "agglomerates")
    assert agglomerates["particle_count"].sum() == len(after)
    assert set(after["agglomerate"]) == set(agglomerates.index)
    assert (layout.volume / "nanoparticle_posterior/0/zarr.json").read_bytes() == posterior
    names = [entry.id for entry in Journal(layout.journal("nanoparticles")).effective()]
    correct_labels(copy.name, copy.results_root, "nanoparticles", undo=names, execution=ALONE)
    pd.testing.assert_frame_equal(table(layout, "nanoparticles"), before)
    assert acquisition_state(copy.folder).state == "complete"


def test_excluded_particles_and_nuclei_count_in_no_cell(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    before = {path: path.read_bytes() for path in sorted(layout.tables.rglob("*.parquet"))}
    for kind in ("nuclei", "nanoparticles"):
        inside = table(layout, kind).query("parent_cell > 0").index[0]
        edits = [{"operation": "exclude", "object": point_in(layout, kind, int(inside))}]
        correct(copy, kind, edits, measure=kind == "nanoparticles")
    cells, ripley = table(layout, "cells"), pd.read_parquet(layout.tables / "stages/spatial-ripley.parquet")
    for kind, column in (("nuclei", "nucleus_count"), ("nanoparticles", "nanoparticle_count")):
        rows = table(layout, kind)
        assert rows["excluded"].sum() == 1
        counted = rows[~rows["excluded"]].groupby("parent_cell").size().reindex(cells.index, fill_value=0)
        assert cells[column].tolist() == counted.tolist()
    points = table(layout, "nanoparticles").query("not excluded")
    assert 2 * ripley["pair_count"].max() <= len(points) * (len(points) - 1)
    assert (table(layout, "nanoparticles")["pattern_note"] == "excluded by hand").sum() == 1
    assert "Excluded nuclei" in layout.report.read_text()
    assert acquisition_state(copy.folder).state == "complete"
    for kind in ("nuclei", "nanoparticles"):
        names = [entry.id for entry in Journal(layout.journal(kind)).effective()]
        correct_labels(copy.name, copy.results_root, kind, undo=names, execution=ALONE)
    for path, content in before.items():
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(BytesIO(content)))


def test_without_prefect_the_results_are_the_same(copy: Acquisition, tmp_path: Path) -> None:
    layout = Layout(copy.folder)
    other = copy.model_copy(update={"results_root": tmp_path / "other"})
    shutil.copytree(copy.folder, other.folder)
    edits = [
        {"operation": "delete", "object": point_in(layout, "cells", int(table(layout, "cells").index[0]))}
    ]
    correct(copy, "cells", edits)
    append_edits(Layout(other.folder), "cells", parse_edits(map(json.dumps, edits)))
    done = run_after_corrections(Layout(other.folder), "cells", ALONE, without_prefect=True)
    assert {"spatial", "output"} <= set(done)
    for path in sorted(layout.tables.rglob("*.parquet")):
        own = other.folder / path.relative_to(copy.folder)
        pd.testing.assert_frame_equal(pd.read_parquet(own), pd.read_parquet(path), check_exact=True)
    states = [
        [(step.title, step.state) for step in acquisition_state(each).steps]
        for each in (copy.folder, other.folder)
    ]
    assert states[0] == states[1]
    steps = [
        [
            (step["step"], step["version"], step["device"])
            for step in read_json(Layout(each.folder).provenance)["stages"]
        ]
        for each in (copy, other)
    ]
    assert steps[0] == steps[1]


def test_the_flow_imports_labels_once(
    copy: Acquisition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(copy.folder)
    stored = open_array(layout, "registered/labels/cells")
    one, other = table(layout, "cells").index[:2].tolist()
    np.save(tmp_path / "edited.npy", np.where(stored[:] == one, 0, stored[:]))
    monkeypatch.setattr(
        "flows.corrected_run.names_of_run", lambda source="": lambda draft: f"{source}{draft.line}"
    )
    given = ImportParameters(file=str(tmp_path / "edited.npy"))
    for _ in range(2):
        correct(copy, "cells", [], imported=given, author="Ada", measure=False)
    (entry,) = Journal(layout.journal("cells")).entries()
    assert (entry.id, entry.operation.operation, entry.author) == ("import 1", "delete", "Ada")
    assert not (open_array(layout, "registered/labels/cells")[:] == one).any()
    with pytest.raises(ParameterError, match="edits or undo beside the import"):
        correct(copy, "cells", [], imported=given, undo=[entry.id])
    np.save(tmp_path / "whole.npy", np.where(stored[:] == other, 7000, stored[:]))
    whole = ImportParameters(file=str(tmp_path / "whole.npy"), as_labels=True)
    correct(copy, "cells", [], imported=whole, measure=False)
    assert (open_array(layout, "registered/labels/cells")[:] == 7000).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"file": "a.tif", "spacing_nm": [50.0, 10.0]}, "expected three sizes: z, y, x in nm"),
        ({"file": "a.tif", "offset_um": [1.0]}, "expected three numbers"),
        ({"file": "a.tif", "offset_um": [1.0, float("nan"), 1.0]}, "finite number"),
        ({"file": "a.tif", "spacing_nm": [50.0, 10.0, float("inf")]}, "finite number"),
        (
            {"file": "a.tif", "as_labels": True, "offset_um": [1.0, 2.0, 3.0]},
            "takes voxel size and offset from the file",
        ),
        ({"exact": True}, "name the label file"),
        ({"path": "a.tif"}, "Extra inputs"),
    ],
)
def test_parameters_of_an_import_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ImportParameters.model_validate(given)


def test_the_form_of_the_flow_describes_the_import() -> None:
    schema = parameter_schema(correct_labels).model_dump()
    fields = schema["definitions"]["ImportParameters"]["properties"]
    assert all(field["description"] for field in fields.values())
    assert "imported" in schema["properties"]


def test_a_retried_run_adds_its_edits_once(copy: Acquisition, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(copy.folder)
    first = int(table(layout, "cells").index[0])
    edits = [{"operation": "delete", "object": point_in(layout, "cells", first)}]
    monkeypatch.setattr("flows.corrected_run.names_of_run", lambda: lambda draft: f"run-{draft.line}")
    for _ in range(2):
        correct(copy, "cells", edits, measure=False)
    assert [entry.id for entry in Journal(layout.journal("cells")).entries()] == ["run-1"]


def test_a_change_by_hand_on_top_of_corrections_is_never_lost(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    one, other, third = table(layout, "cells").index[:3].tolist()
    delete = [{"operation": "delete", "object": point_in(layout, "cells", own)} for own in (one, other)]
    correct(copy, "cells", delete[:1], measure=False)
    states = {state.path: state.state for state in verify_results(layout.folder)}
    assert states["volume.zarr/registered/labels/cells_automatic"] == "sound"
    array = zarr.open_array(layout.volume / "registered/labels/cells/0", mode="r+")
    array[:] = np.where(array[:] == third, other, array[:])
    line = layout.journal("cells").read_text()
    with pytest.raises(ChangedArtifactError, match="was changed after it was computed"):
        undo_operations(layout, "cells", 1)
    adopt(layout.folder, "registered/labels/cells", author="Ada")
    with pytest.raises(CorrectionError, match=r"adopted by Ada .* --recompute .* labels import"):
        undo_operations(layout, "cells", 1)
    with pytest.raises(CorrectionError, match="another correction would lose it"):
        correct(copy, "cells", delete[1:], measure=False)
    assert layout.journal("cells").read_text() == line
    accept = {"operation": "accept", "object": point_in(layout, "cells", other)}
    correct(copy, "cells", [accept], measure=False)
    assert open_array(layout, "registered/labels/cells").details["adopted"]["author"] == "Ada"


def test_labels_as_computed_can_be_adopted_beside_corrected_ones(
    copy: Acquisition, parameters: PipelineParameters
) -> None:
    layout = Layout(copy.folder)
    one, other, third = table(layout, "cells").index[:3].tolist()
    correct(
        copy,
        "cells",
        [{"operation": "delete", "object": point_in(layout, "cells", one)}],
        measure=False,
    )
    automatic = "registered/labels/cells_automatic"
    array = zarr.open_array(layout.volume / automatic / "0", mode="r+")
    array[:] = np.where(array[:] == third, other, array[:])
    adopt(layout.folder, automatic, author="Ada")
    correct_labels(copy.name, copy.results_root, "cells", measure=False, execution=ALONE)
    assert not np.isin(open_array(layout, "registered/labels/cells")[:], [one, third]).any()
    assert third not in open_array(layout, automatic)[:]
    # A run that would replace them is refused before its first step.
    other = parameters.model_dump()
    other["segmentation"]["cells"]["flow_spacing_nm"] = 200.0
    flows = find_discarded(layout, "flows/cells")
    with pytest.raises(ChangedArtifactError, match="cells_automatic holds a change by hand"):
        process_acquisition(copy, PipelineParameters.model_validate(other), ALONE)
    assert flows is not None
    assert find_discarded(layout, "flows/cells") == flows


def test_a_journal_that_was_removed_is_noticed(copy: Acquisition, parameters: PipelineParameters) -> None:
    layout = Layout(copy.folder)
    first = int(table(layout, "cells").index[0])
    edits = [{"operation": "delete", "object": point_in(layout, "cells", first)}]
    correct(copy, "cells", edits, measure=False)
    layout.journal("cells").unlink()
    with pytest.raises(CorrectionError, match=r"holds 1 corrections .* line 1, delete: .* --recompute"):
        process_acquisition(copy, parameters, ALONE, stop_after="segmentation")
    assert not (open_array(layout, "registered/labels/cells")[:] == first).any()
    recompute(layout.folder, "registered/labels/cells")
    process_acquisition(copy, parameters, ALONE, stop_after="segmentation")
    assert (open_array(layout, "registered/labels/cells")[:] == first).any()


def test_nothing_is_written_to_the_journal_while_a_table_was_changed(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    edits = [
        {"operation": "delete", "object": point_in(layout, "cells", int(table(layout, "cells").index[0]))}
    ]
    place = layout.tables / "nuclei.parquet"
    pd.read_parquet(place).to_parquet(place)
    with pytest.raises(ChangedArtifactError, match=r"nuclei\.parquet was changed"):
        correct(copy, "cells", edits)
    assert not layout.journal("cells").exists()


def test_edits_that_do_not_fit_change_nothing(copy: Acquisition) -> None:
    layout = Layout(copy.folder)
    before = layout.report.stat().st_mtime_ns
    edits = [{"operation": "delete", "object": {"point_um": [1e3, 1e3, 1e3]}}]
    with pytest.raises(CorrectionError, match="line 1, delete: the point lies outside the volume"):
        correct(copy, "cells", edits)
    assert not layout.journal("cells").exists()
    assert layout.report.stat().st_mtime_ns == before


def test_the_command_line_applies_lists_exports_and_undoes(
    copy: Acquisition, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(copy.folder)
    first = int(table(layout, "cells").index[0])
    file, place = tmp_path / "edits.jsonl", ["--results-root", str(copy.results_root)]
    file.write_text(json.dumps({"operation": "delete", "object": point_in(layout, "cells", first)}) + "\n")
    given = [
        "labels",
        "apply",
        copy.name,
        str(file),
        "--kind",
        "cells",
        *place,
        "--no-measure",
        "--author",
        "Ada",
    ]
    assert main(given) == 0
    assert f"delete: {first} -> background" in capsys.readouterr().out
    assert not (open_array(layout, "registered/labels/cells")[:] == first).any()
    assert first in table(layout, "cells").index
    assert main(["labels", "log", copy.name, "--json", *place]) == 0
    (row,) = json.loads(capsys.readouterr().out)["cells"]
    assert (row["state"], row["author"], row["before"], row["after"]) == ("applied", "Ada", [first], [])
    out = tmp_path / "cells.jsonl"
    assert (
        main(["labels", "export", copy.name, "--kind", "cells", "--journal", "--out", str(out), *place]) == 0
    )
    assert main(["labels", "apply", copy.name, str(out), "--kind", "cells", "--no-measure", *place]) == 0
    assert "skipped: 1 operations" in capsys.readouterr().out
    assert main(["labels", "apply", copy.name, str(file), "--kind", "cells", *place]) == 1
    assert "line 1, delete: no object is at the point" in capsys.readouterr().err
    assert main(["labels", "apply", copy.name, str(tmp_path / "none"), "--kind", "cells", *place]) == 2
    assert main(["labels", "undo", copy.name, "2", "--kind", "cells", *place]) == 1
    assert main(["labels", "undo", copy.name, "--kind", "cells", "--no-measure", *place]) == 0
    assert (open_array(layout, "registered/labels/cells")[:] == first).any()
    journal = layout.journal("cells")
    journal.write_text(journal.read_text()[:-20])
    assert main(["labels", "undo", copy.name, "--kind", "cells", *place]) == 1
    assert "cut off in the middle" in capsys.readouterr().err
    assert main(["labels", "log", copy.name, "--repair", *place]) == 0
