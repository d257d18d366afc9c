"""Evaluations as JSON documents, which have no NaN."""

import math
from typing import Any

import pandas as pd

from spherovem_core.segmentation.evaluation.summary import Evaluation


def as_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures and thresholds of an evaluation."""
    return {"figures": without_nan(evaluation.figures), "thresholds": as_rows(evaluation.thresholds)}


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON objects."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def without_nan(figures: dict[str, float]) -> dict[str, float | None]:
    """Return figures with None in place of NaN."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
