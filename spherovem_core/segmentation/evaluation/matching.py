"""Matching of true and predicted objects by intersection over union, and the scores from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ParameterError
from spherovem_core.label_overlaps import Contingency, count_overlaps


@dataclass(frozen=True)
class Matching:
    """Matched objects of a table.

    Attributes
    ----------
    pairs : (N,) ndarray of intp
        Indices of the matched pairs in the table, in the order of the true labels.
    true_counts, predicted_counts : ndarray of bool
        True for each true and predicted label of the table that counts; a pair counts if its true object does.
    """

    pairs: NDArray[np.intp]
    true_counts: NDArray[np.bool_]
    predicted_counts: NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Numbers of objects that were found, invented and missed.

    Attributes
    ----------
    true_positives, false_positives, false_negatives
        Matched pairs, predictions without a partner, true objects without one.
    iou_sum
        Sum of the matched pairs' intersections over union.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    iou_sum: float

    @property
    def precision(self) -> float:
        """Fraction of the predicted objects that are right; 1 if there are neither true nor predicted objects."""
        return self._fraction(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Fraction of the true objects that were found; 1 if there are neither true nor predicted objects."""
        return self._fraction(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, TP / (TP + FP/2 + FN/2)."""
        return self._fraction(self.true_positives, self._half)

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN), by the name of ``cellpose.metrics``; not the area under a curve."""
        return self._fraction(self.true_positives, self._all)

    @property
    def panoptic_quality(self) -> float:
        """Sum of the matches' IoU over TP + FP/2 + FN/2 (Kirillov et al. 2019, "Panoptic Segmentation", CVPR)."""
        return self._fraction(self.iou_sum, self._half)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the matches, the panoptic quality over F1; NaN without a match."""
        return self.iou_sum / self.true_positives if self.true_positives else float("nan")

    @property
    def _all(self) -> int:
        return self.true_positives + self.false_positives + self.false_negatives

    @property
    def _half(self) -> float:
        return self.true_positives + (self.false_positives + self.false_negatives) / 2

    def _fraction(self, part: float, whole: float) -> float:
        if self._all == 0:
            return 1.0
        return part / whole if whole else 0.0


@dataclass(frozen=True)
class LabelMatch:
    """Result of `match_labels`.

    Attributes
    ----------
    precision, recall, f1
        Fraction of predicted objects that are right, of true objects that were found, and their harmonic mean;
        1 if there are neither true nor predicted objects.
    matches : (N, 2) ndarray of int64
        Labels (true, predicted) of matched pairs, in the order of the true labels.
    ious : (N,) ndarray of float64
        Intersection over union of each pair.
    volume_errors : (N,) ndarray of float64
        Predicted over true voxel count, minus 1, of each pair.
    """

    precision: float
    recall: float
    f1: float
    matches: NDArray[np.int64]
    ious: NDArray[np.float64]
    volume_errors: NDArray[np.float64]

    @property
    def median_volume_error(self) -> float:
        """Median of the absolute volume errors; NaN without a match."""
        return float(np.median(np.abs(self.volume_errors))) if len(self.volume_errors) else float("nan")


def match_labels(
    truth: NDArray[np.integer[Any]],
    predicted: NDArray[np.integer[Any]],
    iou: float = 0.5,
    min_voxels: int = 0,
) -> LabelMatch:
    """Match true and predicted instances by intersection over union.

    Above an IoU of 0.5 an object has at most one partner, so there is no assignment problem.

    Parameters
    ----------
    truth, predicted : (Z, Y, X) or (Y, X) ndarray of int
        Instance labels, 0 is background; labels need not be contiguous.
    iou
        Smallest intersection over union of a match, 0.5 to 1. At 0.5 exactly two candidates can tie; the
        smaller predicted label is taken.
    min_voxels
        Objects with fewer voxels do not count: small true objects, which the border may have cut, small
        predictions, and predictions matched to a small true object.

    Returns
    -------
    LabelMatch

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    ParameterError
        If `iou` is below 0.5 or above 1, or the arrays hold no integers.
    """
    table = count_overlaps(truth, predicted)
    matching = match_objects(table, iou, min_voxels)
    scores = count_scores(table, matching)
    rows, columns = table.rows[matching.pairs], table.columns[matching.pairs]
    return LabelMatch(
        scores.precision,
        scores.recall,
        scores.f1,
        matches=np.stack([table.true.labels[rows], table.predicted.labels[columns]], axis=1),
        ious=table.iou[matching.pairs],
        volume_errors=table.predicted.sizes[columns] / table.true.sizes[rows] - 1.0,
    )


def match_objects(table: Contingency, iou: float, min_voxels: int = 0) -> Matching:
    """Match the objects of a table; parameters and errors as in `match_labels`."""
    if not 0.5 <= iou <= 1:
        raise ParameterError(f"iou is {iou}; matches are unique only from 0.5 to 1")
    pairs = np.flatnonzero(table.on_objects & (table.iou >= iou))
    for side in (table.rows, table.columns):
        _, first = np.unique(side[pairs], return_index=True)
        pairs = pairs[np.sort(first)]
    large = table.true.sizes[table.rows[pairs]] >= min_voxels
    predicted_counts = (table.predicted.labels > 0) & (table.predicted.sizes >= min_voxels)
    predicted_counts[table.columns[pairs]] = large
    true_counts = (table.true.labels > 0) & (table.true.sizes >= min_voxels)
    return Matching(pairs[large], true_counts, predicted_counts)


def count_scores(table: Contingency, matching: Matching) -> Scores:
    """Count found, missed and invented objects."""
    found = len(matching.pairs)
    return Scores(
        found,
        int(matching.predicted_counts.sum()) - found,
        int(matching.true_counts.sum()) - found,
        float(table.iou[matching.pairs].sum()),
    )
