"""Evaluations as JSON documents, which have no NaN."""

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from spherovem_core.segmentation.evaluation.summary import Evaluation


def as_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures of an evaluation, those by threshold and by size, and its worst errors."""
    return {
        "figures": without_nan(evaluation.figures),
        "thresholds": as_rows(evaluation.thresholds),
        "sizes": as_rows(evaluation.sizes),
        "worst_errors": [asdict(error) for error in evaluation.worst_errors],
    }


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table of numbers as JSON objects, see `without_nan`."""
    return [
        without_nan({str(name): value for name, value in row.items()}) for row in table.to_dict("records")
    ]


def without_nan(figures: dict[str, float]) -> dict[str, float | None]:
    """Return figures with None in place of NaN and infinity."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
