"""Commands on results of another format: one message that names the remedy."""

import json
import tarfile
from pathlib import Path

import pytest

from deployments.command_line.main import main

FROZEN = Path(__file__).parents[1] / "data" / "results-format-1.tar.xz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A results folder as spherovem 0.1 left it."""
    with tarfile.open(FROZEN) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "tiny"


def commands(folder: Path) -> list[list[str]]:
    source = str(folder.parent / "acquisitions/tiny")
    return [
        ["report", str(folder)],
        ["view", str(folder)],
        ["inspect", str(folder)],
        ["export", str(folder), "--tables", "--out", str(folder.parent / "out")],
        ["cut-slices", str(folder), str(folder.parent / "slices")],
        ["process", source, "--results-root", str(folder.parent), "--network", "phantom-compact"],
    ]


@pytest.mark.parametrize("number", range(6))
def test_old_results_are_refused_with_the_remedy(
    old: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(commands(old)[number]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"run 'spherovem migrate {old}' once" in error


@pytest.mark.parametrize("number", range(6))
def test_newer_results_are_refused_with_the_remedy(
    old: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (old / "format.json").write_text('{"format": 3}')
    assert main(commands(old)[number]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "format 3" in error
    assert "install the version that wrote them" in error


def test_status_lists_old_results_with_the_remedy(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(old.parent), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["acquisitions"]
    assert "spherovem migrate" in found["error"]


def test_migrated_results_are_reported_and_say_what_a_run_computes(
    old: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = str(old.parent / "acquisitions/tiny")
    assert main(["migrate", str(old), "--source", source, "--trust-source"]) == 0
    kept = capsys.readouterr().out
    assert "kept 9 steps" in kept
    assert "the next run computes: specimen, nanoparticles" in kept
    assert main(["migrate", str(old)]) == 0
    assert "of the present format already" in capsys.readouterr().out
    assert main(["report", str(old)]) == 0
    assert main(["status", str(old)]) == 0
    assert "partial, 2 of 8 stages" in capsys.readouterr().out


def test_a_source_that_moved_is_asked_for(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", str(old), "--source", str(old.parent / "absent")]) == 2
    assert "does not exist" in capsys.readouterr().err
    provenance = json.loads((old / "provenance.json").read_text())
    provenance["source"] = str(old.parent / "absent")
    (old / "provenance.json").write_text(json.dumps(provenance))
    assert main(["migrate", str(old)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--source" in error
    assert main(["migrate", str(old), "--without-source"]) == 0


def test_parameters_of_another_version_are_not_blamed_on_the_command(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["migrate", str(old), "--without-source"])
    provenance = json.loads((old / "provenance.json").read_text())
    provenance["parameters"]["shape"]["novelty"] = 1
    (old / "provenance.json").write_text(json.dumps(provenance))
    capsys.readouterr()
    assert main(["report", str(old)]) == 1
    error = capsys.readouterr().err
    assert "provenance.json holds parameters that this version does not know" in error
    assert "shape.novelty" in error
