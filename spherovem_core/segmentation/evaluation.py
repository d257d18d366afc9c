"""How well predicted instances agree with true ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ParameterError, ShapeMismatchError


@dataclass(frozen=True)
class LabelMatch:
    """Result of `match_labels`.

    Attributes
    ----------
    precision, recall, f1
        Shares of predicted objects that are right, of true objects that were found, and their harmonic mean;
        1 where there was nothing to find and nothing was found.
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

    Above an IoU of 0.5 an object has at most one partner, so no assignment problem arises.

    Parameters
    ----------
    truth, predicted : (Z, Y, X) or (Y, X) ndarray of int
        Instance labels, 0 is background; labels need not be contiguous.
    iou
        Smallest intersection over union of a match, 0.5 to 1. At 0.5 exactly two candidates can tie; the
        smaller predicted label is taken.
    min_voxels
        Objects with fewer voxels count neither for nor against: neither small true objects, which the border
        may have cut down, nor small predictions, nor what was predicted for a small true object.

    Returns
    -------
    LabelMatch

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    ParameterError
        If `iou` is below 0.5 or above 1.
    """
    if truth.shape != predicted.shape:
        raise ShapeMismatchError(
            f"truth has shape {truth.shape} and prediction {predicted.shape}; resample one onto the other first"
        )
    if not 0.5 <= iou <= 1:
        raise ParameterError(f"iou is {iou}; matches are unique only from 0.5 to 1")
    true_labels, true_sizes, true_index = _sizes(truth)
    labels, sizes, index = _sizes(predicted)
    pairs, overlaps = np.unique(
        (true_index.astype(np.int64) * len(labels) + index).ravel(), return_counts=True
    )
    rows, columns = np.divmod(pairs, len(labels))
    ratio = overlaps / (true_sizes[rows] + sizes[columns] - overlaps)
    hit = (ratio >= iou) & (true_labels[rows] > 0) & (labels[columns] > 0)
    rows, columns, ratio = rows[hit], columns[hit], ratio[hit]
    _, first = np.unique(rows, return_index=True)
    rows, columns, ratio = rows[first], columns[first], ratio[first]
    _, first = np.unique(columns, return_index=True)
    first.sort()
    rows, columns, ratio = rows[first], columns[first], ratio[first]
    counted = true_sizes[rows] >= min_voxels
    found = int(counted.sum())
    true_count = int(((true_labels > 0) & (true_sizes >= min_voxels)).sum())
    large = (labels > 0) & (sizes >= min_voxels)
    large[columns] = counted
    return LabelMatch(
        *_scores(found, true_count, int(large.sum())),
        matches=np.stack([true_labels[rows], labels[columns]], axis=1)[counted],
        ious=ratio[counted],
        volume_errors=(sizes[columns] / true_sizes[rows] - 1.0)[counted],
    )


def _sizes(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp]]:
    """Labels that occur, their voxel counts, and the place of each voxel's label among them."""
    found, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return found.astype(np.int64), counts.astype(np.int64), index.reshape(labels.shape)


def _scores(found: int, true_count: int, predicted_count: int) -> tuple[float, float, float]:
    if true_count == predicted_count == 0:
        return 1.0, 1.0, 1.0
    precision = found / predicted_count if predicted_count else 0.0
    recall = found / true_count if true_count else 0.0
    return precision, recall, 2 * found / (true_count + predicted_count)
