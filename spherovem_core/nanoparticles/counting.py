"""Histograms of one slice: of its voxels, of small square cells, and of voxels by the brightest cell near them.

The kernels are numba functions that release the GIL; they have no GPU counterpart and run on the CPU.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _count(image, counts):  # type: ignore[no-untyped-def]
    # Four tables, since two equal neighbours would wait for each other's increment in one.
    rows, columns = image.shape
    whole = columns // 4 * 4
    for y in range(rows):
        row = image[y]
        for x in range(0, whole, 4):
            counts[0, row[x]] += 1
            counts[1, row[x + 1]] += 1
            counts[2, row[x + 2]] += 1
            counts[3, row[x + 3]] += 1
        for x in range(whole, columns):
            counts[0, row[x]] += 1


def count_levels(image: NDArray[Any], levels: int) -> NDArray[np.int64]:
    """Count the voxels (Y, X) of a slice at each intensity."""
    counts = np.zeros((4, levels), np.uint32)
    _count(image, counts)
    return np.asarray(counts.sum(axis=0, dtype=np.int64))


@njit(cache=True, nogil=True)
def _grade(image, side, centre, scale, first, per_unit, level_of, grades, levels):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    sums = np.empty(columns, np.uint32)
    for j in range(levels.shape[0]):
        sums[:] = 0
        stop = min((j + 1) * side, rows)
        for y in range(j * side, stop):
            for x in range(columns):
                sums[x] += image[y, x]
        height = stop - j * side
        for i in range(levels.shape[1]):
            last = min((i + 1) * side, columns)
            total = 0.0
            for x in range(i * side, last):
                total += sums[x]
            mean = total / (height * (last - i * side))
            grade = int(((mean - centre) / scale - first) * per_unit)
            grade = min(max(grade, 0), grades.size - 1)
            grades[grade] += 1
            levels[j, i] = level_of[grade]


def grade_cells(
    image: NDArray[Any],
    side: int,
    centre: float,
    scale: float,
    edges: NDArray[np.float64],
    level_of: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Average a slice over squares and grade the means.

    Parameters
    ----------
    image : (Y, X) ndarray of uint8 or uint16
    side
        Side of a square in voxels; those at the far borders may be smaller.
    centre, scale
        A mean m has the value (m - centre) / scale.
    edges : (grades + 1,) ndarray
        Equidistant edges of the grades; values beyond them fall into the first and the last.
    level_of : (grades,) ndarray
        Level of each grade.

    Returns
    -------
    counts : (grades,) ndarray
        Squares of each grade.
    levels : (Y / side, X / side) ndarray
        Level of each square.
    """
    counts = np.zeros(len(edges) - 1, np.int64)
    levels = np.empty([-(-n // side) for n in image.shape], np.uint8)
    _grade(image, side, centre, scale, edges[0], 1 / (edges[1] - edges[0]), level_of, counts, levels)
    return counts, levels


@njit(cache=True, nogil=True)
def _count_jointly(image, index, levels, side, counts):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    for y in range(rows):
        line = levels[y // side]
        row = image[y]
        for i in range(line.size):
            table = counts[line[i]]
            for x in range(i * side, min((i + 1) * side, columns)):
                table[index[row[x]]] += 1


def count_by_level(
    image: NDArray[Any],
    index: NDArray[np.uint16],
    levels: NDArray[np.uint8],
    side: int,
    shape: tuple[int, int],
) -> NDArray[np.uint32]:
    """Count voxels by the level of the cell they lie in and by their intensity bin.

    Parameters
    ----------
    image : (Y, X) ndarray of uint8 or uint16
    index : (levels of the image type,) ndarray
        Bin of each intensity.
    levels : (Y / side, X / side) ndarray
        Level of each cell.
    shape
        Number of cell levels and of bins.
    """
    counts = np.zeros(shape, np.uint32)
    _count_jointly(image, index, levels, side, counts)
    return counts


def spread_maximum(levels: NDArray[np.uint8], reach: int, axis: int) -> NDArray[np.uint8]:
    """Maximum over `reach` neighbours on either side along an axis, in steps that double."""
    covered = 0
    while covered < reach:
        # A longer step would leave gaps next to the border, where there is no neighbour to take from.
        step = min(reach - covered, covered + 1)
        source = np.moveaxis(levels, axis, 0)
        levels = levels.copy()
        target = np.moveaxis(levels, axis, 0)
        np.maximum(target[step:], source[:-step], out=target[step:])
        np.maximum(target[:-step], source[step:], out=target[:-step])
        covered += step
    return levels
