"""Reach of seeds: the highest seed near each voxel; numba kernels on the CPU."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.blocks import Block

# OpenCV dilates at a constant cost, painting around each seed costs the area of the ellipse; it is as fast when it paints each
# pixel this many times.
_DENSE = 8.0


def highest_near(
    contrast: NDArray[np.uint16], level: int, kernel: NDArray[np.uint8], column: Block
) -> NDArray[np.uint16] | None:
    """Find the highest seed within an ellipse around each pixel of a part of a slice.

    Parameters
    ----------
    contrast : (Y, X) ndarray of uint16
        Contrast of the slice; seeds have `level` or more.
    kernel : (2 down + 1, 2 across + 1) ndarray of uint8
        Ellipse from `cv2.getStructuringElement`.
    column
        The part, with a halo as wide as the ellipse.

    Returns
    -------
    ndarray of uint16, or None
        0 where no seed is near; None where that is everywhere.
    """
    (rows, columns), (y, x) = column.core, column.outer
    count = int(_count_seeds(contrast, level, (y.start, y.stop), (x.start, x.stop)))
    if not count:
        return None
    if count * float(kernel.sum()) > _DENSE * (y.stop - y.start) * (x.stop - x.start):
        import cv2

        part = contrast[column.outer]
        return np.asarray(cv2.dilate(np.where(part >= level, part, np.uint16(0)), kernel)[column.inner])
    out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint16)
    half = kernel.sum(axis=1, dtype=np.int64) // 2
    _paint_seeds(contrast, level, half, (y.start, y.stop), (x.start, x.stop), rows.start, columns.start, out)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_seeds(contrast: Any, level: int, rows: Any, columns: Any) -> Any:
    # Rows are cut out first: numba computes several pixels at once only where it knows that they are adjacent.
    count, least = 0, np.uint16(level)
    for y in range(rows[0], rows[1]):
        row: Any = contrast[y, columns[0] : columns[1]]
        here: Any = np.int32(0)
        for x in range(len(row)):
            here += np.int32(row[x] >= least)
        count += here
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _paint_seeds(
    contrast: Any, level: int, half: Any, rows: Any, columns: Any, row: int, column: int, out: Any
) -> None:
    """Paint the ellipse, whose rows have these half widths, around each seed; the result begins at (row, column)."""
    down = len(half) // 2
    for y in range(rows[0], rows[1]):
        own = contrast[y, columns[0] : columns[1]]
        for n in range(len(own)):
            value, x = own[n], n + columns[0]
            if value < level:
                continue
            for j in range(max(0, y - down - row), min(out.shape[0], y + down + 1 - row)):
                wide = half[j + row - y + down]
                for i in range(max(0, x - wide - column), min(out.shape[1], x + wide + 1 - column)):
                    out[j, i] = max(out[j, i], value)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mark_candidates(contrast: Any, highest: Any, row: int, column: int, fraction: float, out: Any) -> None:
    """Mark the voxels of a part of a slice that have a fraction of the contrast of the highest seed near them.

    Parameters
    ----------
    contrast : (Y, X) ndarray of uint16
        Contrast of the slice.
    highest : (slices, y, x) ndarray of uint16
        From `highest_near`, for the slices in which seeds are sought.
    row, column
        Where the part begins in the slice.
    fraction : float32
    out : (Y, X) ndarray of uint8
        Takes the marks.
    """
    near = np.empty(highest.shape[2], np.uint16)
    for y in range(highest.shape[1]):
        near[:] = 0
        for z in range(len(highest)):
            there = highest[z, y]
            for x in range(len(near)):
                near[x] = max(near[x], there[x])
        own, marks = contrast[row + y, column : column + len(near)], out[row + y, column : column + len(near)]
        for x in range(len(near)):
            marks[x] = np.uint8((near[x] > 0) & (np.float32(own[x]) > fraction * np.float32(near[x])))
