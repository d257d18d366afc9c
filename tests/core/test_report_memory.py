"""Pictures of earlier reports: a report that takes them over has the same bytes as one that is drawn in full."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_scenes import CHAPTERS, finished, provenance

from spherovem_core.output import build_report
from spherovem_core.report import ReportInputs
from spherovem_core.report.memory import PictureMemory, drawing_digest, remember_panel, remembering_pictures
from spherovem_core.report.page import Panel
from spherovem_core.store import Ledger


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return finished(tmp_path_factory.mktemp("results"), image_px=120)


PROVENANCE = provenance()
DRAWN = [chapter for chapter in CHAPTERS if chapter.title in ("Slices", "Cells and nuclei", "Shape")]


def remembering(inputs: ReportInputs, entries: Any) -> tuple[str, PictureMemory]:
    memory = PictureMemory(entries)
    with remembering_pictures(memory):
        return build_report(inputs, PROVENANCE, DRAWN), memory


def test_reports_with_and_without_a_memory_have_the_same_bytes(inputs: ReportInputs, tmp_path: Path) -> None:
    first, drawn = remembering(inputs, Ledger(tmp_path / "pictures", "code"))
    again, taken = remembering(inputs, Ledger(tmp_path / "pictures", "code"))
    assert first == again == build_report(inputs, PROVENANCE, DRAWN)
    assert drawn.drawn > 20
    assert (taken.drawn, taken.used <= drawn.used) == (0, True)


def test_pictures_of_what_changed_are_drawn_again(inputs: ReportInputs) -> None:
    entries: dict[str, Any] = {}
    remembering(inputs, entries)
    cells = inputs.tables["cells"].iloc[1:].reset_index(drop=True)
    cells = cells.assign(volume_um3=cells["volume_um3"] * 1.5)
    changed = replace(inputs, tables={**inputs.tables, "cells": cells})
    found, memory = remembering(changed, entries)
    assert found == build_report(changed, PROVENANCE, DRAWN)
    assert 0 < memory.drawn < memory.taken_over


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((np.zeros(4, np.uint8),), (np.zeros((2, 2), np.uint8),)),
        ((np.zeros(4, np.int8),), (np.zeros(4, np.uint8),)),
        ((np.arange(4), "a"), (np.arange(4), "b")),
        ((1.0,), (1,)),
        (({"x": 1, "y": 2},), ({"y": 2, "x": 1},)),
    ],
)
def test_other_arguments_are_another_panel(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    calls = []

    @remember_panel
    def draw(*arguments: Any) -> Panel:
        calls.append(arguments)
        return Panel("", len(calls), 1)  # type: ignore[arg-type]

    with remembering_pictures(PictureMemory({})):
        assert [draw(*a).width_px for a in (first, second, first)] == [1, 2, 1]
    assert len({draw(*first).width_px, draw(*first).width_px}) == 2


def test_the_memory_is_bound_to_the_code_that_draws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = drawing_digest()
    assert before == drawing_digest()
    (tmp_path / "memory.py").write_text("other code")
    monkeypatch.setattr("spherovem_core.report.memory.__file__", str(tmp_path / "memory.py"))
    assert drawing_digest() != before
