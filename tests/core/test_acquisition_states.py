"""Progress of an acquisition, read from its results folder."""

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zarr
from results_scenes import SHAPE, array_writer, contents, digest, table, write_blocks, write_results

from spherovem_core.errors import ParameterError
from spherovem_core.status import acquisition_state, acquisition_states, is_results_folder
from spherovem_core.store import Layout, Ledger, noting_failure, write_table
from spherovem_core.store.markers import written_fraction

HOLDER = """
import fcntl, pathlib, sys
path = pathlib.Path(sys.argv[1]); path.parent.mkdir(parents=True, exist_ok=True)
file = path.open("a+"); fcntl.lockf(file, fcntl.LOCK_EX); print("held", flush=True); sys.stdin.read()
"""


@contextmanager
def held_by_another_process(*paths: Path) -> Iterator[None]:
    """Hold locks as a run does; a lock of this process would not be seen by it."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for path in paths
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
        yield
    finally:
        for process in processes:
            process.communicate()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return write_results(tmp_path / "spheroid 1")


def states(layout: Layout) -> dict[str, str]:
    return {step.title: step.state for step in acquisition_state(layout.folder).steps}


def test_a_finished_acquisition_is_complete(layout: Layout) -> None:
    state = acquisition_state(layout.folder)
    assert state.state == "complete"
    assert state.stages_complete == len(state.stages) == 8
    assert len(state.steps) == 16
    assert (state.step, state.fraction, state.error) == (None, None, None)
    assert {stage.seconds for stage in state.steps} == {1.5}
    assert state.last == max(stage.finished[:19] for stage in state.steps if stage.finished) + state.last[19:]
    json.dumps(state.document(), allow_nan=False)


def test_a_partial_array_shows_the_fraction_of_its_ledger(tmp_path: Path) -> None:
    layout = write_results(tmp_path / "a", until="ingest")
    values = contents()["denoised"]
    writer = array_writer(layout, "denoised", *values, digest("denoising"))
    assert written_fraction(layout.volume / "denoised/0") == 0
    write_blocks(writer, values[1], fraction=0.25)
    assert written_fraction(layout.volume / "denoised/0") == 0.25
    state = acquisition_state(layout.folder)
    assert (state.state, state.step, state.fraction, state.stages_complete) == (
        "partial",
        "denoising",
        0.25,
        1,
    )
    assert written_fraction(layout.volume / "raw/0") is None
    assert written_fraction(layout.volume / "nowhere/0") is None


def test_a_torn_line_of_a_ledger_does_not_count(tmp_path: Path) -> None:
    layout = write_results(tmp_path / "a", until="ingest")
    values = contents()["denoised"]
    write_blocks(array_writer(layout, "denoised", *values, "d"), values[1], fraction=0.5)
    ledger = layout.volume / "denoised/0/.ledger"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:-9])
    assert written_fraction(layout.volume / "denoised/0") == pytest.approx(0.5 - 1 / SHAPE[0])
    assert ledger.read_bytes() == whole[:-9]


def test_a_provisional_array_counts_as_half_of_its_step(tmp_path: Path) -> None:
    layout = write_results(tmp_path / "a", until="flows_nuclei")
    content, values = contents()["registered/labels/cells"]
    provisional = Layout(layout.provisional("labels-cells"))
    writer = array_writer(provisional, "labels-cells", content, values, "d")
    write_blocks(writer, values)
    state = acquisition_state(layout.folder)
    assert (state.step, state.fraction) == ("masks cells", 0.5)


def test_a_ledger_alone_makes_a_step_partial(tmp_path: Path) -> None:
    layout = write_results(tmp_path / "a", until="denoising")
    Ledger(layout.ledger("registration"), "d")["0-1"] = 1
    state = acquisition_state(layout.folder)
    assert (state.state, state.step, state.fraction) == ("partial", "registration", None)


def test_one_output_of_several_is_partial(layout: Layout) -> None:
    layout.path("tables/stages/registration.parquet").unlink()
    assert states(layout)["registration"] == "partial"
    assert acquisition_state(layout.folder).state == "partial"


def test_a_step_of_an_older_version_and_those_after_it_are_outdated(layout: Layout) -> None:
    marker = layout.volume / "registered/labels/nanoparticles/0/zarr.json"
    node = json.loads(marker.read_text())
    node["attributes"]["spherovem"]["history"][-1]["version"] -= 1
    marker.write_text(json.dumps(node))
    # The older version did not write this table.
    layout.path("tables/other_objects.parquet").unlink()
    found = states(layout)
    assert [name for name, state in found.items() if state == "outdated"] == [
        "nanoparticles",
        "spatial",
        "review nuclei",
        "review nanoparticles",
        "output",
    ]
    assert set(found.values()) == {"complete", "outdated"}
    assert acquisition_state(layout.folder).state == "partial"


def test_a_step_that_lost_a_table_is_unfinished(layout: Layout) -> None:
    layout.path("tables/other_objects.parquet").unlink()
    assert states(layout)["nanoparticles"] == "partial"


def test_steps_after_a_replaced_output_are_outdated(layout: Layout) -> None:
    values = contents()["denoised"]
    writer = array_writer(layout, "denoised", *values, "another digest")
    write_blocks(writer, values[1])
    writer.commit([])
    assert states(layout)["denoising"] == "partial"
    write_table(layout, "tables/stages/denoising.parquet", table("slices"), "another digest")
    found = states(layout)
    assert (found["ingest"], found["denoising"]) == ("complete", "complete")
    later = [state for title, state in found.items() if title not in ("ingest", "denoising")]
    assert set(later) == {"outdated"}
    assert acquisition_state(layout.folder).step == "registration"


def test_a_held_lock_means_running(tmp_path: Path) -> None:
    layout = write_results(tmp_path / "a", until="masks_cells")
    locks = layout.locks / "acquisition.lock", layout.locks / "masks_nuclei-0123abcd.lock"
    with held_by_another_process(*locks):
        state = acquisition_state(layout.folder)
        assert (state.state, state.step) == ("running", "masks nuclei")
        assert [stage.title for stage in state.steps if stage.running] == ["masks nuclei"]
    assert locks[0].exists()
    assert acquisition_state(layout.folder).state == "partial"


@pytest.mark.parametrize(
    "note", ['{"end": "2126-01-01T10:00:00+00:00"}', '{"end": null}', '{"end": "soon"}', "{", None]
)
def test_the_expected_end_is_that_of_the_run_at_work(tmp_path: Path, note: str | None) -> None:
    layout = write_results(tmp_path / "a", until="masks_cells")
    if note is not None:
        layout.expected_end.write_text(note)
    assert acquisition_state(layout.folder).expected_end is None
    with held_by_another_process(layout.locks / "acquisition.lock"):
        expected = "2126-01-01T10:00:00+00:00" if note is not None and "2126" in note else None
        assert acquisition_state(layout.folder).expected_end == expected


def test_reading_a_state_takes_no_lock(layout: Layout) -> None:
    lock = layout.locks / "acquisition.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    acquisition_state(layout.folder)
    with lock.open("a+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert lock.read_bytes() == b""


def test_a_failure_is_noted_and_forgotten(tmp_path: Path) -> None:
    layout = write_results(tmp_path / "a", until="flows_cells")
    with pytest.raises(ParameterError), noting_failure(layout, "flows nuclei"):
        raise ParameterError("flow_spacing_nm is 0; give a positive number")
    state = acquisition_state(layout.folder)
    assert (state.state, state.step) == ("failed", "flows nuclei")
    assert state.error == "flow_spacing_nm is 0; give a positive number"
    with noting_failure(layout, "flows nuclei"):
        pass
    assert acquisition_state(layout.folder).state == "partial"
    with pytest.raises(ZeroDivisionError), noting_failure(layout, "x"):
        _ = 1 // 0
    assert acquisition_state(layout.folder).error == "ZeroDivisionError: integer division or modulo by zero"


def test_a_rejected_acquisition_says_why(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bad")
    layout.folder.mkdir()
    layout.rejection.write_text(json.dumps({"reasons": ["slice_3.tif: truncated", "no voxel size"]}))
    state = acquisition_state(layout.folder)
    assert state.state == "rejected"
    assert state.error == "slice_3.tif: truncated; no voxel size"


def test_other_folders_are_left_out(tmp_path: Path) -> None:
    write_results(tmp_path / "b", until="ingest")
    Layout(tmp_path / "a").ensure_writable()
    (tmp_path / "acquisitions" / "slices").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    assert [(state.name, state.state) for state in acquisition_states(tmp_path)] == [
        ("a", "absent"),
        ("b", "partial"),
    ]
    assert not is_results_folder(tmp_path / "acquisitions")


def test_the_volume_of_another_program_is_no_result(tmp_path: Path) -> None:
    write_results(tmp_path / "own", until="ingest")
    shutil.copytree(Layout(tmp_path / "own").volume, tmp_path / "copied" / "volume.zarr")
    zarr.create_array(tmp_path / "foreign" / "volume.zarr" / "0", shape=(4, 8, 8), dtype="uint8")
    assert [is_results_folder(tmp_path / name) for name in ("own", "copied", "foreign")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("damage", ["{", "[]", "null", '{"attributes": {"spherovem": 1}}'])
def test_a_damaged_marker_is_absent(tmp_path: Path, damage: str) -> None:
    layout = write_results(tmp_path / "a", until="ingest")
    layout.path("volume.zarr/raw/0/zarr.json").write_text(damage)
    assert states(layout)["ingest"] == "partial"
    layout.path("tables/stages/slices.parquet").write_bytes(b"PAR1")
    assert states(layout)["ingest"] == "absent"


def test_reading_a_state_writes_nothing(layout: Layout) -> None:
    before = {path: path.stat().st_mtime_ns for path in layout.folder.rglob("*")}
    acquisition_state(layout.folder)
    assert {path: path.stat().st_mtime_ns for path in layout.folder.rglob("*")} == before
