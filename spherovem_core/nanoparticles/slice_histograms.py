"""Histograms of one slice: of its voxels, of the means of small squares, and of voxels by the brightest square near them.

The kernels are numba functions that release the GIL; they have no GPU counterpart and run on the CPU.
"""

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


@njit(cache=True, nogil=True)
def _average_squares(image, side, unit, means):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    sums = np.empty(columns, np.uint32)
    for j in range(means.shape[0]):
        sums[:] = 0
        stop = min((j + 1) * side, rows)
        for y in range(j * side, stop):
            row = image[y]
            for x in range(columns):
                sums[x] += row[x]
        height = stop - j * side
        for i in range(means.shape[1]):
            last = min((i + 1) * side, columns)
            total = 0.0
            for x in range(i * side, last):
                total += sums[x]
            means[j, i] = int(unit * total / (height * (last - i * side)))


def square_means(image: NDArray[Any], side: int) -> NDArray[np.uint16]:
    """Average a slice over squares of `side` voxels; the squares at the far borders may be smaller.

    Parameters
    ----------
    image : (Y, X) ndarray of uint8 or uint16

    Returns
    -------
    (Y / side, X / side) ndarray of uint16
        Means in units of `mean_unit(image.dtype)`, rounded down.
    """
    means = np.empty([-(-n // side) for n in image.shape], np.uint16)
    _average_squares(image, side, 1 / mean_unit(image.dtype), means)
    return means


def mean_unit(dtype: np.dtype[Any]) -> float:
    """Return the unit of `square_means`, chosen so that 16 bits hold the range of the image."""
    return 1 / 256 if dtype == np.uint8 else 1.0


@njit(cache=True, nogil=True)
def _count_jointly(image, index, levels, side, counts):  # type: ignore[no-untyped-def]
    # Neighbouring squares mostly have one level: they are counted together, in two tables for the reason above.
    rows, columns = image.shape
    for y in range(rows):
        line = levels[y // side]
        row = image[y]
        first = 0
        while first < line.size:
            last = first + 1
            while last < line.size and line[last] == line[first]:
                last += 1
            even, odd = counts[0, line[first]], counts[1, line[first]]
            x, stop = first * side, min(last * side, columns)
            while x + 1 < stop:
                even[index[row[x]]] += 1
                odd[index[row[x + 1]]] += 1
                x += 2
            if x < stop:
                even[index[row[x]]] += 1
            first = last


def count_by_level(
    image: NDArray[Any],
    index: NDArray[np.uint16],
    levels: NDArray[np.uint8],
    side: int,
    shape: tuple[int, int],
) -> NDArray[np.uint32]:
    """Count voxels by the level of their square and by their intensity bin.

    Parameters
    ----------
    image : (Y, X) ndarray of uint8 or uint16
    index : (levels of the image type,) ndarray
        Bin of each intensity.
    levels : (Y / side, X / side) ndarray
        Level of each square.
    shape
        Number of levels and of bins.
    """
    counts = np.zeros((2, *shape), np.uint32)
    _count_jointly(image, index, levels, side, counts)
    return np.asarray(counts.sum(axis=0, dtype=np.uint32))


def spread_maximum(levels: NDArray[Any], reach: int, axis: int) -> NDArray[Any]:
    """Compute the maximum over `reach` neighbours on either side along an axis, in steps that double."""
    covered = 0
    while covered < reach:
        # A longer step would leave gaps next to the border, which has neighbours on one side only.
        step = min(reach - covered, covered + 1)
        source = np.moveaxis(levels, axis, 0)
        levels = levels.copy()
        target = np.moveaxis(levels, axis, 0)
        np.maximum(target[step:], source[:-step], out=target[step:])
        np.maximum(target[:-step], source[step:], out=target[:-step])
        covered += step
    return levels
