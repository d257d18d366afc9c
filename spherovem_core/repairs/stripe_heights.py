"""The stripes of one width in a part of a slice: whether distant rows agree on them, how high they are, and how they fade."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from spherovem_core.utils.accelerator import Accelerator

APART_ROWS = 64
"""Rows between two parts that are compared; with wide stripes more."""
LEAST_FREE = 8
"""Stripes of a width that fit side by side into the columns that are free of edges."""
SMOOTH_SEGMENTS = 1.0
"""Segments, as a standard deviation, over which the fading of stripes is smoothed."""
ROBUST_PASSES = 3
"""Passes of a regression that gives bright objects little weight."""
LEAST_PRODUCT = 0.25
"""Mean product of the relative heights of two parts, at least; less would make certain what the parts do not show."""
SURE = 12.0
"""Standard errors of the agreement from which the fading of one width tells about wider ones."""
LEAST_FADING = 0.2
"""Standard deviation of the relative height along the stripes from which they fade."""
LEAST_WEIGHT = 1e-3


@dataclass
class Fading:
    """Relative height of the stripes in each segment, as the widths tell that are certain.

    Attributes
    ----------
    along : (segments,) array
        1 in all segments as long as no width fades.
    information
        Precision of `along`, in units of the variance of the heights.
    """

    along: NDArray[np.float32]
    information: float = 0.0

    def add(self, along: NDArray[np.float32], heights: Any, width: float) -> None:
        """Add what one width tells, with the weight of its variance and of its independent values."""
        information = float((heights * heights).sum()) / width
        total = self.information + information
        if total > 0:
            self.along = ((self.information * self.along + information * along) / total).astype(np.float32)
        self.information = total


def find_agreement(
    values: Any, width: float, rows: float, xp: Any, along: NDArray[np.float32] | None = None
) -> tuple[float, float, float]:
    """Return the mean covariance across columns of segments that lie apart, its standard errors, and its share.

    The share is that of the variance of a segment. With the relative height `along` of the stripes, the covariance is that of
    stripes of full height which fits best.
    """
    if values.shape[1] < 2 * width * LEAST_FREE:
        return 0.0, 0.0, 0.0
    limit = 3 * xp.median(xp.abs(values), axis=1, keepdims=True) * 1.4826
    clipped = xp.clip(values, -limit, limit)
    covariances = clipped @ clipped.T / values.shape[1]
    products = np.ones((len(values),) * 2) if along is None else np.outer(along, along)
    products = np.where(_apart(len(values), width, rows), products, 0)
    count = float((products**2).sum())
    if not count > 0:
        return 0.0, 0.0, 0.0
    mean = float((xp.asarray(products) * covariances).sum()) / count
    variance = float(xp.diagonal(covariances).mean())
    independent = values.shape[1] / (2 * width)
    error = variance * np.sqrt(2 / count / independent)
    return (mean, mean / error, mean / variance) if error > 0 else (mean, 0.0, 0.0)


def median_along(values: Any, along: NDArray[np.float32], xp: Any) -> Any:
    """Return the heights (columns,) whose product with `along` fits the segments (segments, columns) with the least deviation.

    The median of the segments where their relative height is the same in all, else that of their quotients by `along`, each of
    which counts with the weight `along`.
    """
    if np.ptp(along) == 0:
        return xp.median(values, axis=0)
    weights = xp.asarray(np.maximum(along, LEAST_WEIGHT))
    quotients = values / weights[:, None]
    order = xp.argsort(quotients, axis=0)
    sums = xp.cumsum(weights[order], axis=0)
    half = xp.argmax(sums >= sums[-1] / 2, axis=0)
    return xp.take_along_axis(xp.take_along_axis(quotients, order, axis=0), half[None], axis=0)[0]


def _apart(count: int, width: float, rows: float) -> NDArray[np.bool_]:
    """Return which pairs of segments lie so far apart that only stripes are the same in both."""
    number = np.arange(count)
    found: NDArray[np.bool_] = np.abs(number[:, None] - number) * rows >= max(APART_ROWS, 4 * width)
    return found


def agreement_after_fading(along: NDArray[np.float32], width: float, rows: float) -> float:
    """Return the mean product of the relative heights of two segments that lie apart, `LEAST_PRODUCT` at least."""
    return max(float(np.outer(along, along)[_apart(len(along), width, rows)].mean()), LEAST_PRODUCT)


def find_heights(values: Any, middle: Any, covariance: float, width: float, accelerator: Accelerator) -> Any:
    """Return the median along the stripes, `middle`, by the fraction of its local variance that is not error, (columns,)."""
    xp = accelerator.xp
    error = xp.median(xp.abs(values - middle), axis=0) ** 2
    # Errors of the median follow the scatter of the segments; their size follows from what the agreement leaves.
    mean_error = max(float((middle**2).mean()) - covariance, 0.0)
    reach = int(8 * width) | 1
    local = accelerator.ndi.uniform_filter1d(middle**2, reach, mode="mirror")
    error = accelerator.ndi.uniform_filter1d(error, reach, mode="mirror")
    error = error * (mean_error / max(float(error.mean()), 1e-12))
    return (middle * xp.clip(1 - error / xp.maximum(local, 1e-12), 0, 1)).astype(xp.float32)


def find_fading(values: Any, heights: Any, width: float, accelerator: Accelerator) -> NDArray[np.float32]:
    """Return by how much the stripes of one width are higher in each segment than in the middle of all, (segments,).

    All stripes of a width fade together, as they do below an edge: a regression of each segment on `heights`, smoothed over
    segments, of which that fraction of the variance is taken that is not error.
    """
    xp = accelerator.xp
    total = float((heights * heights).sum())
    if total <= 0:
        return np.ones(len(values), np.float32)
    ratio = values @ heights / total
    for _ in range(ROBUST_PASSES):
        rest = values - ratio[:, None] * heights
        limit = 2 * xp.median(xp.abs(rest), axis=1, keepdims=True) * 1.4826
        rest = xp.clip(rest, -limit, limit)
        ratio = ratio + rest @ heights / total
    # Values next to each other are alike over the width, and a Gaussian window averages over about 3.5 standard deviations.
    error = float((rest**2).mean()) * 2 * width / total / (2 * np.sqrt(np.pi) * SMOOTH_SEGMENTS)
    change = gaussian_filter1d(accelerator.to_host(ratio), SMOOTH_SEGMENTS, mode="nearest") - 1
    share = max(0.0, 1 - error / max(float((change**2).mean()), 1e-12))
    along: NDArray[np.float32] = np.maximum(1 + share * change, 0).astype(np.float32)
    return along
