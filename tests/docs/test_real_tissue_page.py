"""The page of real tissue: rows of several runs, kept beside it."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT, benchmarks_on_path

TABLES = ROOT / "docs" / "validation"


@pytest.fixture(scope="module")
def pages() -> Any:
    with benchmarks_on_path():
        yield importlib.import_module("_real_tissue_page")


def row(method: str, split: str = "first", slices: int = 20, f1: float = 0.5) -> dict[str, Any]:
    size = {"volume_low_um3": 0.1, "volume_high_um3": None, "true_count": 3, "recall": 1.0, "f1": f1}
    scores = {"F1": f1, "recall": 0.8, "VI split": 0.5, "VI merge": 0.4, "VI": 0.9}
    scores |= {"VI of cuts": 0.1, "F1 in 2D": 0.7}
    named = {"split": split, "slices": slices, "seed": 0, "network": "phantom-compact", "epochs": "auto"}
    return {**named, "method": method, "scores": scores, "sizes": [size]}


def test_rows_of_several_runs_are_kept_and_those_of_the_same_run_replaced(pages: Any, tmp_path: Path) -> None:
    pages.add_rows(tmp_path, [row("learned"), row("today"), row("learned", slices=5)])
    rows = pages.add_rows(tmp_path, [row("learned", f1=0.65), row("baseline", "last")])
    assert [(one["split"], one["slices"], one["method"]) for one in rows] == [
        ("first", 20, "today"), ("first", 20, "learned"), ("first", 5, "learned"), ("last", 20, "baseline"),
    ]  # fmt: skip
    text = pages.page(rows, False)
    figures = "**0.65** | **0.80** | 0.50 | 0.40 | **0.90** | 0.10 | 0.70"
    assert f"| first | 20 | 0 | auto | learned | {figures} |  |" in text
    assert "| first | 20 | 0 | 1.00 / 0.65 (3) |" in text
    assert ".png" not in text


def test_the_page_is_that_of_the_kept_rows(pages: Any) -> None:
    rows = json.loads((TABLES / pages.ROWS).read_text())
    assert {one["split"] for one in rows} == {"first", "last"}
    assert pages.page(rows, (TABLES / pages.PICTURE).is_file()) == (TABLES / pages.PAGE).read_text()


def test_the_picture_has_a_column_for_each_result(pages: Any) -> None:
    labels = np.zeros((6, 20, 30), np.uint16)
    labels[2:, 5:15, 5:25] = 1
    drawn = pages.picture(
        np.full(labels.shape, 100, np.uint8), labels, {"today": labels, "learned": 0 * labels}
    )
    assert drawn.shape == (2 * 20 + 8 + 2 * 6, 2 * 2 * 30 + 8, 3)
