"""Adoption, discarding and verification of changed results."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from results_scenes import cells, digest, write_results

from spherovem_core.errors import (
    ChangedArtifactError,
    IncompleteArtifactError,
    ParameterError,
    StoreNotWritableError,
)
from spherovem_core.integrity import adopt, recompute, record_results, verify_results
from spherovem_core.parameters import PipelineParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.steps.nanoparticles import MIXTURE
from spherovem_core.steps.registration import MOTION, REGISTERED
from spherovem_core.steps.spatial import RADIAL
from spherovem_core.store import (
    Layout,
    find_array,
    find_table,
    open_array,
    read_table,
    table_digest,
    table_history,
    write_table,
)
from spherovem_core.store.adoptions import effective_digest
from spherovem_core.store.markers import holding_lock
from spherovem_core.store.nodes import ATTRIBUTE
from spherovem_core.store.pyramid import downsample
from spherovem_core.store.shard_record import RECORD
from spherovem_core.workflow.artifacts import find_outputs

CELLS = "registered/labels/cells"
TABLE = "tables/stages/shape-cells.parquet"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return write_results(tmp_path / "results" / "spheroid")


def states(layout: Layout) -> dict[str, str]:
    """Return the results that are not sound."""
    return {state.path: state.state for state in verify_results(layout.folder) if state.state != "sound"}


def edit(layout: Layout, group: str = CELLS) -> np.ndarray:
    """Give label 1 the number 9, and remove the other."""
    array = zarr.open_array(layout.volume / group / "0", mode="r+")
    values = np.asarray(array[:])
    values = np.where(values == 1, 9, 0).astype(values.dtype)
    array[:] = values
    return values


def test_a_finished_folder_is_sound(layout: Layout) -> None:
    assert states(layout) == {}


def test_tables_of_named_kinds_are_checked_too(layout: Layout) -> None:
    parameters = PipelineParameters.model_validate({"segmentation": {"others": {"vacuoles": "/v.tif"}}})
    layout.provenance.write_text(json.dumps({"parameters": parameters.model_dump(mode="json")}))
    pd.DataFrame({"label": [1]}).to_parquet(layout.tables / "vacuoles.parquet")
    assert states(layout)["tables/vacuoles.parquet"] == "changed"


def test_adopted_labels_have_another_digest_and_new_levels(layout: Layout) -> None:
    values = edit(layout)
    assert states(layout) == {f"volume.zarr/{CELLS}": "changed"}
    done = adopt(layout.folder, CELLS, author="Ada", reason="2 is debris")
    stored = open_array(layout, CELLS)
    assert np.array_equal(stored[:], values)
    assert stored.own_digest == digest("masks_cells")
    assert (
        stored.digest
        == effective_digest(digest("masks_cells"), [{"adopted": done.marker}])
        != stored.own_digest
    )
    levels = len(stored.details["level_factors"])
    assert levels > 1
    step = tuple(np.array(stored.details["level_factors"][1]))
    assert np.array_equal(open_array(layout, CELLS, 1)[:], downsample(values, step, "label"))
    entry = stored.history[-1]
    assert (entry["step"], entry["inputs"]) == ("adoption", [digest("masks_cells")])
    assert entry["parameters"] == {
        "path": f"volume.zarr/{CELLS}",
        "author": "Ada",
        "reason": "2 is debris",
        "content_before": done.before,
        "content_after": done.after,
    }
    found = find_array(layout, CELLS, digest("masks_cells"))
    assert found is not None
    assert found.digest == stored.digest
    assert states(layout) == {}


def test_an_adopted_result_is_not_replaced(layout: Layout) -> None:
    from spherovem_core.store.protection import refuse_to_replace

    edit(layout)
    adopt(layout.folder, CELLS, author="Ada", reason="checked")
    with pytest.raises(ChangedArtifactError, match=r"adopted by Ada on .*: checked.*--recompute"):
        refuse_to_replace(layout, REGISTERED.group)
    recompute(layout.folder, CELLS)
    refuse_to_replace(layout, REGISTERED.group)
    assert not (layout.volume / CELLS / "0").exists()


def test_a_second_edit_is_adopted_as_well(layout: Layout) -> None:
    edit(layout)
    first = adopt(layout.folder, CELLS)
    zarr.open_array(layout.volume / CELLS / "0", mode="r+")[0, :20] = 5
    with pytest.raises(ChangedArtifactError, match="was changed"):
        open_array(layout, CELLS)
    second = adopt(layout.folder, f"volume.zarr/{CELLS}/0")
    assert second.before == first.after != second.after
    assert [entry["step"] for entry in open_array(layout, CELLS).history][-2:] == ["adoption", "adoption"]


def test_labels_in_a_file_that_zarr_removed_are_adopted(layout: Layout) -> None:
    zarr.open_array(layout.volume / CELLS / "0", mode="r+")[:, :64, :64] = 0
    assert not (layout.volume / CELLS / "0/c/0/0/0").exists()
    assert states(layout) == {f"volume.zarr/{CELLS}": "changed"}
    adopt(layout.folder, CELLS)
    wanted = cells()
    wanted[:, :64, :64] = 0
    assert np.array_equal(open_array(layout, CELLS)[:], wanted)
    assert states(layout) == {}


def test_the_digest_of_a_step_counts_the_adoption_of_any_output(layout: Layout) -> None:
    frame = read_table(layout, MOTION.path)
    frame.assign(shift_y_px=0.0).to_parquet(layout.path(MOTION.path))
    adopt(layout.folder, MOTION.path)
    found = find_outputs(layout, (REGISTERED, MOTION), digest("registration"))
    assert found is not None
    assert found.path == REGISTERED.path
    assert found.digest == table_digest(layout, MOTION.path) != digest("registration")
    assert open_array(layout, "registered").digest == digest("registration")


@pytest.mark.parametrize("damage", ["shape", "type", "other program", "torn"])
def test_what_cannot_be_adopted_is_refused(layout: Layout, damage: str) -> None:
    folder = layout.volume / CELLS / "0"
    node = json.loads((folder / "zarr.json").read_text())
    if damage == "shape":
        (folder / "zarr.json").write_text(json.dumps({**node, "shape": [12, 160, 139]}))
    elif damage == "type":
        (folder / "zarr.json").write_text(json.dumps({**node, "data_type": "int32"}))
    elif damage == "other program":
        zarr.create_array(folder, data=cells().astype(np.int64), overwrite=True)
    else:
        (folder / "c/0/1/1").write_bytes((folder / "c/0/1/1").read_bytes()[:50])
    with pytest.raises(ChangedArtifactError, match=r"cannot be (adopted|read).*--recompute"):
        adopt(layout.folder, CELLS)
    assert states(layout)[f"volume.zarr/{CELLS}"] in ("changed", "damaged")
    recompute(layout.folder, CELLS)
    with pytest.raises(IncompleteArtifactError):
        open_array(layout, CELLS)


def test_an_array_over_the_group_is_set_aside(layout: Layout) -> None:
    shutil.rmtree(layout.volume / CELLS)
    zarr.create_array(layout.volume / CELLS, data=cells())
    assert states(layout) == {f"volume.zarr/{CELLS}": "changed"}
    with pytest.raises(ChangedArtifactError, match="cannot be adopted"):
        adopt(layout.folder, CELLS)
    recompute(layout.folder, CELLS)
    assert states(layout) == {}
    (aside,) = (layout.folder / "set-aside/volume.zarr/registered/labels").iterdir()
    assert np.array_equal(zarr.open_array(aside, mode="r")[:], cells())


def test_there_is_nothing_to_adopt(layout: Layout) -> None:
    for path in (CELLS, "tables/cells.parquet"):
        with pytest.raises(ParameterError, match="nothing to adopt"):
            adopt(layout.folder, path)
    with pytest.raises(ParameterError, match=r"is no result of a step.*the results are volume.zarr/raw"):
        adopt(layout.folder, "tables/sells.parquet")


def test_a_run_holds_the_results(layout: Layout) -> None:
    edit(layout)
    script = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'a+b'); fcntl.lockf(file, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    layout.locks.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(layout.locks / "acquisition.lock")], stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        run.stdout.readline()
        for attempt in (adopt, recompute):
            with pytest.raises(StoreNotWritableError, match="is being processed"):
                attempt(layout.folder, CELLS)
        run.kill()
    adopt(layout.folder, CELLS)
    with holding_lock(layout.locks / "acquisition.lock") as free:
        assert free


@pytest.mark.parametrize("moment", ["_read_all", "build_from_finest", "record_files", "complete_array"])
def test_a_kill_during_adoption_leaves_a_change_that_can_be_adopted(layout: Layout, moment: str) -> None:
    """The process dies when it has done the named part; of `complete_array`, when it has not."""
    values = edit(layout)
    script = (
        "import os, signal, sys; from pathlib import Path; from spherovem_core.integrity import adopt, adopt_arrays\n"
        f"part = adopt_arrays.{moment}\n"
        "def die(*given):\n"
        f"    done = None if {moment!r} == 'complete_array' else part(*given)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"adopt_arrays.{moment} = die\n"
        f"adopt(Path(sys.argv[1]), {CELLS!r})"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", script, str(layout.folder)], env=environment, check=False)
    assert run.returncode == -signal.SIGKILL
    with pytest.raises(ChangedArtifactError, match="was changed"):
        find_array(layout, CELLS, digest("masks_cells"))
    adopt(layout.folder, CELLS)
    assert np.array_equal(open_array(layout, CELLS)[:], values)
    assert states(layout) == {}


def test_an_adopted_table_has_its_metadata_again(layout: Layout) -> None:
    frame = read_table(layout, TABLE)
    frame[frame["label"] == 1].assign(volume_um3=2.0).to_parquet(layout.path(TABLE))
    assert states(layout) == {TABLE: "changed"}
    done = adopt(layout.folder, TABLE, author="Ada", reason="weighed")
    again = read_table(layout, TABLE)
    assert list(again["volume_um3"]) == [2.0]
    assert list(again.columns) == list(frame.columns)
    assert (again.dtypes == frame.dtypes).all()
    assert table_digest(layout, TABLE) == effective_digest(digest("shape_cells"), [{"adopted": done.marker}])
    assert [entry["step"] for entry in table_history(layout, TABLE)] == ["shape_cells", "adoption"]
    assert find_table(layout, TABLE, digest("shape_cells")) is not None
    with pytest.raises(ChangedArtifactError, match=r"adopted by Ada on .*weighed"):
        write_table(layout, TABLE, frame, "new")
    assert states(layout) == {}


def test_a_kill_during_the_adoption_of_a_table_leaves_it_changed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spherovem_core.store import file_records

    read_table(layout, TABLE).assign(volume_um3=2.0).to_parquet(layout.path(TABLE))
    with monkeypatch.context() as killed:
        killed.setattr(file_records, "save_record", lambda *given: sys.exit("killed"))
        with pytest.raises(SystemExit):
            adopt(layout.folder, TABLE)
    with pytest.raises(ChangedArtifactError, match="was changed"):
        read_table(layout, TABLE)
    adopt(layout.folder, TABLE)
    assert (read_table(layout, TABLE)["volume_um3"] == 2.0).all()
    assert [entry["step"] for entry in table_history(layout, TABLE)] == ["shape_cells", "adoption"]


def test_a_table_with_a_named_index_keeps_it_as_a_column(layout: Layout) -> None:
    frame = read_table(layout, TABLE)
    frame.set_index("label").to_parquet(layout.path(TABLE))
    adopt(layout.folder, TABLE)
    assert list(read_table(layout, TABLE)["label"]) == [1, 70_001]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="volume_um3"), "lost the columns volume_um3"),
        (lambda frame: frame.assign(volume_um3="large"), "values of another type"),
        (lambda frame: frame.assign(label=1), "holds a label twice"),
    ],
)
def test_a_table_that_others_cannot_read_is_not_adopted(layout: Layout, change: object, message: str) -> None:
    frame: pd.DataFrame = change(read_table(layout, TABLE))  # type: ignore[operator]
    frame.to_parquet(layout.path(TABLE))
    with pytest.raises(ChangedArtifactError, match=message):
        adopt(layout.folder, TABLE)
    assert recompute(layout.folder, TABLE).startswith(f"{TABLE} is now set-aside/tables/stages/shape-cells.")
    assert find_table(layout, TABLE, digest("shape_cells")) is None
    assert len(list((layout.folder / "set-aside/tables/stages").iterdir())) == 1


def test_a_document_is_adopted(layout: Layout) -> None:
    document = json.loads(layout.mixture.read_text())
    layout.mixture.write_text(json.dumps({"limit": 3}))
    adopt(layout.folder, MIXTURE.path)
    adopted = json.loads(layout.mixture.read_text())
    assert adopted["limit"] == 3
    assert adopted["fingerprint"] == document["fingerprint"]
    assert adopted["history"][-1]["step"] == "adoption"
    assert states(layout) == {}


def test_the_report_is_adopted(layout: Layout) -> None:
    layout.report.write_text("<html>mine</html>")
    assert states(layout) == {"report.html": "changed"}
    adopt(layout.folder, "report.html")
    assert states(layout) == {}


def test_only_the_coarser_levels_are_built_again(layout: Layout) -> None:
    zarr.open_array(layout.volume / CELLS / "1", mode="r+")[:, :40] = 3
    assert states(layout) == {f"volume.zarr/{CELLS}": "changed"}
    with pytest.raises(ParameterError, match="built again from the finest by --recompute"):
        adopt(layout.folder, CELLS)
    assert "coarser levels were built again" in recompute(layout.folder, CELLS)
    assert states(layout) == {}
    assert open_array(layout, CELLS).digest == digest("masks_cells")


def test_older_results_are_recorded_as_they_are(layout: Layout) -> None:
    shutil.rmtree(layout.checksums)
    for path in layout.volume.rglob("zarr.json"):
        node = json.loads(path.read_text())
        marker = node.get("attributes", {}).get(ATTRIBUTE)
        if marker:
            for name in ("content", "checksum", "levels"):
                marker.pop(name, None)
            path.write_text(json.dumps(node))
            (path.parent / RECORD).unlink()
    assert set(states(layout).values()) == {"unrecorded"}
    assert find_array(layout, CELLS, digest("masks_cells")) is not None
    recorded = record_results(layout.folder)
    assert len(recorded) == sum(len(step.outputs) for step in PIPELINE.steps)
    assert states(layout) == {}
    assert record_results(layout.folder) == []
    edit(layout)
    assert states(layout) == {f"volume.zarr/{CELLS}": "changed"}


def test_every_kind_of_fault_is_told_apart(layout: Layout) -> None:
    (layout.volume / "raw/0/c/3/0/0").unlink()
    cut = layout.volume / "denoised/0/c/4/0/0"
    cut.write_bytes(cut.read_bytes()[:-7])
    edit(layout)
    layout.path("tables/slices.parquet").write_bytes(b"PAR1")
    shutil.rmtree(layout.volume / "distance_to_nucleus")
    (layout.volume / "specimen/0/zarr.json").write_text("{")
    assert states(layout) == {
        "volume.zarr/raw": "missing",
        "volume.zarr/denoised": "damaged",
        f"volume.zarr/{CELLS}": "changed",
        "volume.zarr/specimen": "changed",
        "volume.zarr/distance_to_nucleus": "missing",
        "tables/slices.parquet": "damaged",
    }


def test_a_table_of_another_program_is_changed_also_without_a_record(layout: Layout) -> None:
    """Its digest is known from another output of its step, where there is one."""
    shutil.rmtree(layout.checksums)
    for path in (TABLE, RADIAL.path):
        read_table(layout, path).to_parquet(layout.path(path))
        assert states(layout)[path] == "changed"
    with pytest.raises(ChangedArtifactError, match=r"nothing tells which step.*--recompute"):
        adopt(layout.folder, TABLE)
    recompute(layout.folder, TABLE)
    adopt(layout.folder, RADIAL.path)
    assert find_table(layout, RADIAL.path, digest("spatial")) is not None


def write_under_the_same_time(path: Path, content: bytes) -> None:
    found = path.stat()
    assert found.st_size == len(content)
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_a_change_under_the_same_time_is_adopted(layout: Layout) -> None:
    shard = layout.volume / CELLS / "0/c/0/0/0"
    found, written = shard.stat(), shard.read_bytes()
    array = zarr.open_array(layout.volume / CELLS / "0", mode="r+")
    block = np.asarray(array[:, :64, :64])
    for label in range(2, 200):
        array[:, :64, :64] = np.where(block == 1, label, block).astype(block.dtype)
        changed = shard.read_bytes()
        if len(changed) == len(written):
            break
    shard.write_bytes(written)
    os.utime(shard, ns=(found.st_atime_ns, found.st_mtime_ns))
    before = layout.path("report.html").read_bytes()
    assert states(layout) == {}
    write_under_the_same_time(shard, changed)
    write_under_the_same_time(layout.path("report.html"), before[:-1] + b"!")
    assert set(states(layout).values()) == {"changed"}
    adopt(layout.folder, CELLS)
    adopt(layout.folder, "report.html")
    assert states(layout) == {}


def test_bytes_changed_under_the_same_time_are_found(layout: Layout) -> None:
    path = layout.volume / "raw/0/c/3/0/0"
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    write_under_the_same_time(path, content)
    assert open_array(layout, "raw").digest == digest("ingest")
    assert states(layout) == {"volume.zarr/raw": "changed"}
