"""``spherovem labels import``: what it shows, asks and refuses; the run that follows is left out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_scenes import SPACING, as_itk_snap, as_npy, cells, write_labels

from deployments.command_line.labels.arguments import RunAfterwards
from deployments.command_line.main import main
from spherovem_core.corrections import Delete, Journal, Merge
from spherovem_core.store import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return write_labels(tmp_path / "results" / "spheroid", cells())


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """Return a file in which cell 5 was deleted and another one merged, as ITK-SNAP writes it."""
    labels = cells()
    first, second, third = np.unique(labels)[[1, 3, 6]]
    labels[labels == third] = second
    labels[labels == first] = 0
    return as_itk_snap(labels, SPACING, tmp_path)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the runs that would follow."""
    found: list[str] = []
    monkeypatch.setattr(RunAfterwards, "run_flow", lambda self, layout, execution: found.append(self.kind))
    return found


def run(layout: Layout, file: Path, *options: str) -> int:
    root = str(layout.folder.parent)
    return main(
        [
            "labels",
            "import",
            "spheroid",
            str(file),
            "--kind",
            "cells",
            "--results-root",
            root,
            "--no-measure",
            *options,
        ]
    )


def test_dry_run_shows_the_differences_and_changes_nothing(
    layout: Layout, edited: Path, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(layout, edited, "--dry-run") == 0
    shown = capsys.readouterr().out
    counts = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if len(line.split()) == 3}
    assert counts["kept"] == [str(len(np.unique(cells())) - 4), "0"]
    assert counts["merged"][0] == "2"
    assert counts["gone"][0] == "1"
    assert "operations: 1 delete, 1 merge" in shown
    assert "level 0 of the labels (20 x 10 x 10 nm)" in shown
    assert runs == []
    assert not layout.journal("cells").exists()


def test_import_is_recorded_and_run(layout: Layout, edited: Path, runs: list[str]) -> None:
    assert run(layout, edited, "--yes", "--author", "Ada", "--reason", "seen in ITK-SNAP") == 0
    entries = Journal(layout.journal("cells")).entries()
    assert [type(entry.operation) for entry in entries] == [Delete, Merge]
    assert {(entry.author, entry.reason) for entry in entries} == {
        ("Ada", "seen in ITK-SNAP (import of cells.nii.gz)")
    }
    assert runs == ["cells"]


def test_without_a_terminal_yes_is_needed(
    layout: Layout, edited: Path, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(layout, edited) == 2
    assert "nothing was changed: give --yes" in capsys.readouterr().err
    assert not layout.journal("cells").exists()


@pytest.mark.parametrize(("answer", "lines"), [("y", 2), ("n", 0), ("", 0)])
def test_on_a_terminal_it_asks(
    layout: Layout, edited: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch, answer: str, lines: int
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            raise OSError

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert run(layout, edited) == 0
    assert len(Journal(layout.journal("cells")).entries()) == lines
    assert len(runs) == bool(lines)


def test_equal_labels_need_no_word_and_no_run(
    layout: Layout, tmp_path: Path, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(layout, as_npy(cells(), SPACING, tmp_path)) == 0
    assert "operations: none" in capsys.readouterr().out
    assert runs == []
    assert not layout.journal("cells").exists()


def test_json_holds_every_change(layout: Layout, edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(layout, edited, "--dry-run", "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"changed": 0, "merged": 1, "split": 0, "new": 0, "gone": 1}
    assert found["operations"] == ["delete", "merge"]
    assert [change["fate"] for change in found["changes"]] == ["merged", "gone"]
    assert found["kept_count"] == len(np.unique(cells())) - 4


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--spacing-nm", "20", "10"), 2, "--spacing-nm: got 20 10"),
        (("--offset-um", "20", "10"), 2, "--offset-um: got 20 10"),
        (("--spacing-nm", "20", "10", "10", "--offset-um", "50", "0", "0"), 1, "lies outside of the volume"),
        (("--as-labels", "--spacing-nm", "20", "10", "10"), 2, "--as-labels takes voxel size and offset"),
    ],
)
def test_bad_options_end_in_one_message(
    layout: Layout,
    edited: Path,
    options: tuple[str, ...],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(layout, edited, "--yes", *options) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1


def test_labels_of_another_acquisition_are_refused(
    layout: Layout, tmp_path: Path, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    mirrored = as_npy(cells()[:, ::-1, ::-1], SPACING, tmp_path)
    assert run(layout, mirrored, "--yes") == 1
    assert "look like labels of another acquisition" in capsys.readouterr().err
    assert not layout.journal("cells").exists()
    assert runs == []
