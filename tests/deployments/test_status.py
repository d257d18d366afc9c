"""``spherovem status`` prints tables for people and JSON for programs."""

import json
import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import zarr
from results_scenes import write_results

from deployments.command_line.acquisition_tables import acquisitions_table, steps_table
from deployments.command_line.main import main
from deployments.command_line.text_tables import readable_bytes, text_table
from spherovem_core.errors import ParameterError
from spherovem_core.status import acquisition_state
from spherovem_core.store import Layout, noting_failure


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one finished, one unfinished, one failed and one rejected acquisition, and a folder of slices."""
    root = tmp_path_factory.mktemp("root") / "results"
    write_results(root / "finished one")
    write_results(root / "half", until="registration")
    failed = write_results(root / "failed", until="ingest")
    with pytest.raises(ParameterError), noting_failure(failed, "denoising"):
        raise ParameterError("epochs is 0; give a positive number\nand more")
    rejected = Layout(root / "rejected")
    rejected.folder.mkdir()
    rejected.rejection.write_text(json.dumps({"reasons": ["no voxel size"]}))
    (root / "acquisitions").mkdir()
    return root


def test_acquisitions_are_listed_with_state_and_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(root)]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "ACQUISITION",
        "STATE",
        "STAGES",
        "AT",
        "STEP",
        "DONE",
        "LEFT",
        "LAST",
        "CHANGE",
        "ERROR",
    ]
    assert [line.split()[0] for line in lines[:4]] == ["failed", "finished", "half", "rejected"]
    assert "epochs is 0; give a positive number" in lines[0]
    assert "and more" not in lines[0]
    assert "8/8" in lines[1]
    assert "3/8" in lines[2]
    assert "flows cells" in lines[2]
    assert "no voxel size" in lines[3]
    assert lines[-1] == "1 complete, 1 failed, 1 partial, 1 rejected"


def test_json_holds_every_acquisition_and_step(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(root), "--json"]) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)["acquisitions"]}
    assert {name: each["state"] for name, each in found.items()} == {
        "finished one": "complete",
        "half": "partial",
        "failed": "failed",
        "rejected": "rejected",
    }
    assert found["half"]["stages_complete"] == 3
    assert found["failed"]["step"] == "denoising"
    assert found["failed"]["error"].endswith("and more")
    assert [step["title"] for step in found["half"]["steps"]][:3] == ["ingest", "denoising", "registration"]
    assert Path(found["half"]["folder"]) == root / "half"


def test_one_acquisition_is_shown_step_by_step(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(root / "failed")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("failed: failed, 1 of 8 stages\n")
    assert "error in denoising: epochs is 0" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["denoising", "denoising", "absent"] in lines
    assert next(line for line in lines if line[:1] == ["ingest"])[2] == "complete"


def test_the_time_left_of_a_run_is_shown(root: Path) -> None:
    end = datetime.now().astimezone() + timedelta(seconds=3600.5)
    state = replace(acquisition_state(root / "half"), state="running", expected_end=end.isoformat())
    assert "1 h 00 min" in acquisitions_table([state]).splitlines()[1]
    assert steps_table(state).startswith("half: running, 3 of 8 stages, 1 h 00 min")
    late = replace(state, expected_end="2026-01-01T00:00:00+00:00")
    assert ", 0.0 s left" in steps_table(late).splitlines()[0]


def test_the_results_root_may_come_from_the_settings(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert "set SPHEROVEM_RESULTS_ROOT" in capsys.readouterr().err
    monkeypatch.setenv("SPHEROVEM_RESULTS_ROOT", str(root))
    assert main(["status"]) == 0
    assert "finished one" in capsys.readouterr().out
    assert main(["status", str(root / "nowhere")]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_an_empty_results_root_has_no_acquisitions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no acquisitions in {tmp_path}\n"


def test_status_opens_no_array(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        shutil.copytree(root / "half", tmp_path / f"copy {number:03d}", copy_function=os.link)

    def opened(*arguments: object, **options: object) -> None:
        raise AssertionError("an array was opened")

    monkeypatch.setattr(zarr, "open_array", opened)
    assert main(["status", str(tmp_path)]) == 0
    assert "40 partial" in capsys.readouterr().out


def test_a_table_is_whole_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    rows = [["a", "1"], ["long name", "22"], ["[b]:x:", "x" * 300]]
    assert text_table(["N", "V"], rows, right=(1,)).splitlines() == [
        f"N          {'V':>300}",
        f"a          {'1':>300}",
        f"long name  {'22':>300}",
        f"[b]:x:     {'x' * 300}",
    ]


def test_cells_are_shortened_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = text_table(["N", "V"], [["a", "1"], ["a very long name", "22"]], right=(1,)).splitlines()
    assert max(map(len, lines)) == 12
    assert lines[2].startswith("a very")
    assert lines[2].endswith("22")
    assert "…" in lines[2]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1536, "1.54 kB"),
        (999_600, "1 MB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_bytes_are_readable(count: int, text: str) -> None:
    assert readable_bytes(count) == text
