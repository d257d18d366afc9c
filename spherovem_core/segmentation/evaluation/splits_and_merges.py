"""Objects that were cut into pieces, and objects that were run together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.segmentation.evaluation.contingency import Contingency
from spherovem_core.segmentation.evaluation.matching import Matching


@dataclass(frozen=True)
class Confusion:
    """What became of each object of a table; arrays at the places of the table's labels.

    Attributes
    ----------
    pieces : (N,) ndarray of int64
        Predicted objects that are pieces of a true object; 2 or more mean that it was split.
    merged : (N,) ndarray of bool
        Whether a true object was run together with another.
    parts : (M,) ndarray of int64
        True objects that are parts of a predicted one; 2 or more mean that it merges them.
    fragment : (M,) ndarray of bool
        Whether a predicted object is a piece of a split one.
    """

    pieces: NDArray[np.int64]
    merged: NDArray[np.bool_]
    parts: NDArray[np.int64]
    fragment: NDArray[np.bool_]


def confuse(table: Contingency, matching: Matching, min_share: float) -> Confusion:
    """Find split and merged objects.

    A predicted object is a piece of the true object that holds more than half of it, and a true object is a part
    of the predicted one that holds more than half of it, provided that piece or part makes up at least `min_share`
    of the whole: specks and slivers split and merge nothing. Objects that do not count in the
    matching count here neither.
    """
    rows, columns = table.rows, table.columns
    true_size, predicted_size = table.true.sizes[rows], table.predicted.sizes[columns]
    counts = matching.true_counts[rows] & matching.predicted_counts[columns]
    is_piece = counts & (2 * table.voxels > predicted_size) & (table.voxels >= min_share * true_size)
    is_part = counts & (2 * table.voxels > true_size) & (table.voxels >= min_share * predicted_size)
    pieces = np.bincount(rows[is_piece], minlength=len(table.true.labels))
    parts = np.bincount(columns[is_part], minlength=len(table.predicted.labels))
    merged = np.zeros(len(table.true.labels), bool)
    merged[rows[is_part & (parts[columns] > 1)]] = True
    fragment = np.zeros(len(table.predicted.labels), bool)
    fragment[columns[is_piece & (pieces[rows] > 1)]] = True
    return Confusion(pieces, merged, parts, fragment)
