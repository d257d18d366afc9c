"""Accuracy tables of the documentation: within their limits, and equal to those that the command writes."""

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pages import ROOT, benchmarks_on_path

TABLES = ROOT / "docs" / "validation"
CELL = re.compile(r"([\d.]+|nan) \(([≤≥]) ([\d.e-]+)\)")
STAGES = ("registration", "segmentation", "nanoparticles", "shape", "spatial")
SCENES = ("unkind", "scenes", "noise", "cells")


@pytest.fixture(scope="module")
def validation() -> Any:
    """Import the benchmark as a module, together with those next to it."""
    with benchmarks_on_path():
        module: ModuleType = importlib.import_module("validation")
        yield module


def figures(text: str) -> list[tuple[float, str, float]]:
    return [(float(value), sign, float(limit)) for value, sign, limit in CELL.findall(text)]


def cases(text: str) -> list[str]:
    return re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)[2:]


@pytest.mark.parametrize("name", STAGES)
def test_every_figure_is_within_its_limit(name: str) -> None:
    text = (TABLES / f"{name}.md").read_text()
    found = figures(text)
    assert len(found) >= len(cases(text)) > 0
    assert [f for f in found if not (f[0] <= f[2] if f[1] == "≤" else f[0] >= f[2])] == []


def test_the_page_shows_all_tables() -> None:
    page = (ROOT / "docs" / "validation.md").read_text()
    included = re.findall(r"\{include\} validation/([a-z-]+)\.md", page)
    assert (
        sorted(included)
        == sorted([*STAGES, *SCENES, "demo", "geometry", "real-tissue", "scale"])
        == sorted(path.stem for path in TABLES.glob("*.md") if path.stem != "review")
    )


def test_the_page_of_scenes_shows_every_scene(validation: Any) -> None:
    from _scene_cases import independent_cases, phantom_cases

    kept = cases((TABLES / "scenes.md").read_text())
    wanted = [scene.name for scene in (*phantom_cases(), *independent_cases())]
    assert [name for name in wanted if name not in kept] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", STAGES)
def test_the_command_writes_the_same_table(
    validation: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = validation.main(["--out", str(tmp_path), "--only", name])
    assert code == 0, capsys.readouterr().out
    written, kept = (tmp_path / f"{name}.md").read_text(), (TABLES / f"{name}.md").read_text()
    assert cases(written) == cases(kept)
    assert [limit for _, _, limit in figures(written)] == [limit for _, _, limit in figures(kept)]


@pytest.mark.slow
def test_a_figure_beyond_its_limit_is_named_and_fails(
    validation: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        validation.Row("one", "error", 0.2, 0.1),
        validation.Row("one", "score", float("nan"), 0.9, score=True),
    ]
    stage = validation.StageCases("spatial", "How.", lambda: iter(rows))
    assert validation.main(["--out", str(tmp_path)], (stage,)) == 1
    assert capsys.readouterr().out.count("exceeds its limit") == 2
    assert figures((tmp_path / "spatial.md").read_text())[0] == (0.2, "≤", 0.1)


@pytest.mark.slow
def test_the_demo_becomes_a_table(validation: Any, tmp_path: Path) -> None:
    from deployments.command_line.comparison_table import ROWS

    names = [name for _, keys, _ in ROWS for name in ([keys] if isinstance(keys, str) else keys)]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "comparison.json").write_text(
        json.dumps(dict.fromkeys(names, 0.5) | {"nuclei_f1": None})
    )
    page = validation.demo_page(tmp_path)
    assert page.count("0.500") > 5
    assert "nan" in page
