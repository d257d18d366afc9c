"""Objects that the prediction splits, and objects that it merges."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.label_overlaps import Contingency
from spherovem_core.segmentation.evaluation.matching import Matching


@dataclass(frozen=True)
class SplitsAndMerges:
    """Split and merged objects of a table; arrays in the order of the table's labels.

    Attributes
    ----------
    pieces : (N,) ndarray of int64
        Number of predicted objects that are pieces of a true object; from 2 on it was split.
    merged : (N,) ndarray of bool
        True for a true object that was merged with another.
    parts : (M,) ndarray of int64
        Number of true objects that are parts of a predicted one; from 2 on it merges them.
    fragment : (M,) ndarray of bool
        True for a predicted object that is a piece of a split one.
    """

    pieces: NDArray[np.int64]
    merged: NDArray[np.bool_]
    parts: NDArray[np.int64]
    fragment: NDArray[np.bool_]


def find_splits_and_merges(table: Contingency, matching: Matching, min_fraction: float) -> SplitsAndMerges:
    """Find split and merged objects.

    A predicted object is a piece of the true object that contains more than half of it, and a true object is a part
    of the predicted one that contains more than half of it. A piece or part must make up at least `min_fraction`
    of the whole, so that specks split and merge nothing. Objects that do not count in the matching do not count here.
    """
    rows, columns = table.rows, table.columns
    true_size, predicted_size = table.true.sizes[rows], table.predicted.sizes[columns]
    counts = matching.true_counts[rows] & matching.predicted_counts[columns]
    is_piece = counts & (2 * table.voxels > predicted_size) & (table.voxels >= min_fraction * true_size)
    is_part = counts & (2 * table.voxels > true_size) & (table.voxels >= min_fraction * predicted_size)
    pieces = np.bincount(rows[is_piece], minlength=len(table.true.labels))
    parts = np.bincount(columns[is_part], minlength=len(table.predicted.labels))
    merged = np.zeros(len(table.true.labels), bool)
    merged[rows[is_part & (parts[columns] > 1)]] = True
    fragment = np.zeros(len(table.predicted.labels), bool)
    fragment[columns[is_piece & (pieces[rows] > 1)]] = True
    return SplitsAndMerges(pieces, merged, parts, fragment)
