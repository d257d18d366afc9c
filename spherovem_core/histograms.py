"""Histograms of intensities, and the quantiles that follow from them."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def count_intensities(image: NDArray[Any]) -> NDArray[np.int64]:
    """Count the voxels at each intensity.

    Runs on the CPU (numba) and releases the GIL; it is several times as fast as `numpy.bincount`.

    Parameters
    ----------
    image : ndarray of uint8 or uint16
        Up to 2³⁴ voxels, of any shape.

    Returns
    -------
    (256,) or (65536,) ndarray of int64
        Voxels of each intensity.
    """
    levels = int(np.iinfo(image.dtype).max) + 1
    # Several tables, because in one table equal neighbours would wait for each other's increment; two of 65536 counts are what
    # a core's own cache holds.
    counts = np.zeros((4 if levels == 256 else 2, levels), np.uint32)
    _count_rows(image if image.ndim == 2 else image.reshape(1, -1), counts)
    return np.asarray(counts.sum(axis=0, dtype=np.int64))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_rows(image: Any, counts: Any) -> None:
    rows, columns = image.shape
    whole, third, fourth = columns // 4 * 4, 2 % len(counts), 3 % len(counts)
    for y in range(rows):
        row = image[y]
        for x in range(0, whole, 4):
            counts[0, row[x]] += 1
            counts[1, row[x + 1]] += 1
            counts[third, row[x + 2]] += 1
            counts[fourth, row[x + 3]] += 1
        for x in range(whole, columns):
            counts[0, row[x]] += 1


def percentile_of_counts(counts: NDArray[np.int64], percent: float) -> float:
    """Compute the percentile of whole numbers from their counts, as `numpy.percentile` does from the numbers themselves.

    Parameters
    ----------
    counts : (levels,) ndarray of int64
        Voxels at each intensity, at least one in all.
    percent
        0 to 100; between two voxels the percentile is interpolated linearly.
    """
    cumulative = np.cumsum(counts)
    last = int(cumulative[-1]) - 1
    rank = last * percent / 100.0
    low = int(rank)
    below, above = np.searchsorted(cumulative, [low, min(low + 1, last)], side="right")
    return float(below + (above - below) * (rank - low))


def quantiles_of_bins(counts: NDArray[np.integer], probabilities: Sequence[float]) -> NDArray[np.float64]:
    """Compute quantiles of a histogram in units of bins, with the counts of a bin spread evenly over it.

    Parameters
    ----------
    counts : (bins,) ndarray
        Bin k reaches from k - 0.5 to k + 0.5.
    probabilities
        Each 0 to 1.
    """
    return np.asarray(_quantiles(np.asarray(counts), np.asarray(probabilities, np.float64)))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _quantiles(counts: Any, probabilities: Any) -> Any:
    total, last = 0, -1
    for k in range(len(counts)):
        total += counts[k]
        if counts[k] > 0:
            last = k
    # The upper end of the last bin that is not empty, for what lies at or beyond the total.
    out = np.full(len(probabilities), last + 0.5)
    for n in range(len(probabilities)):
        target, below = probabilities[n] * total, 0.0
        for k in range(len(counts)):
            if below + counts[k] > target:
                out[n] = k - 0.5 + max(target - below, 0.0) / counts[k]
                break
            below += counts[k]
    return out


def map_counts(
    counts: NDArray[np.integer], gain: float, offset: float, inner_edges: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Move a histogram to another intensity scale, with the counts of a bin spread evenly over its image.

    Parameters
    ----------
    counts : (bins,) ndarray
        Bin k reaches from k - 0.5 to k + 0.5.
    gain, offset
        Intensity k of the old scale is ``gain * k + offset`` on the new one.
    inner_edges : (new bins - 1,) ndarray
        Rising borders between the new bins; counts beyond them fall into the first and the last bin.

    Returns
    -------
    (new bins,) ndarray of float64
        With the sum of `counts`.
    """
    edges = np.arange(len(counts) + 1) - 0.5
    cumulative = np.concatenate([[0], np.cumsum(counts, dtype=np.float64)])
    below = np.interp(inner_edges, gain * edges + offset, cumulative)
    return np.asarray(np.diff(below, prepend=0.0, append=cumulative[-1]))
