"""Histograms of a slice: of its tiles, and of the differences in which only noise is left."""

import itertools
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.histograms import count_intensities


def count_tiles(image: NDArray[Any], across: int) -> NDArray[np.int64]:
    """Count the voxels at each intensity in each of `across` x `across` tiles of a slice (Y, X); returns (tiles, levels)."""
    rows, columns = (np.linspace(0, n, across + 1).astype(int) for n in image.shape)
    return np.stack(
        [
            count_intensities(image[y0:y1, x0:x1])
            for y0, y1 in itertools.pairwise(rows)
            for x0, x1 in itertools.pairwise(columns)
        ]
    )


def count_twists(image: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.int64]:
    """Count the absolute differences across the diagonals of all 2 x 2 pixels, in which slopes cancel.

    Returns
    -------
    (differences,) ndarray of int64
        Number of 2 x 2 pixels by |a - b - c + d|, from 0 to twice the largest intensity.
    """
    counts = np.zeros((4, 2 * int(np.iinfo(image.dtype).max) + 1), np.uint32)
    _count_twists(image, counts)
    return np.asarray(counts.sum(axis=0, dtype=np.int64))


@njit(cache=True, nogil=True)
def _count_twists(image, counts):  # type: ignore[no-untyped-def]
    # Four tables, because in one table equal neighbours would wait for each other's increment.
    for y in range(image.shape[0] - 1):
        upper, lower = image[y], image[y + 1]
        left = np.int64(lower[0]) - np.int64(upper[0])
        for x in range(1, image.shape[1]):
            right = np.int64(lower[x]) - np.int64(upper[x])
            counts[x & 3, abs(right - left)] += 1
            left = right
