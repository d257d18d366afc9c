"""Reach of seeds: the highest seed near each voxel; numba kernels on the CPU."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# OpenCV dilates at a constant cost, painting around each seed costs the area of the ellipse; it is as fast when it paints each
# pixel this many times.
_DENSE = 8.0


def highest_near(
    part: NDArray[np.uint16], level: int, kernel: NDArray[np.uint8], inner: tuple[slice, slice]
) -> NDArray[np.uint16] | None:
    """Find the highest seed within an ellipse around each pixel of a slice.

    Parameters
    ----------
    part : (Y, X) ndarray of uint16
        Contrast; seeds have `level` or more.
    kernel : (2 down + 1, 2 across + 1) ndarray of uint8
        Ellipse from `cv2.getStructuringElement`.
    inner
        Rows and columns of the result within `part`.

    Returns
    -------
    ndarray of uint16, or None
        0 where no seed is near; None where that is everywhere.
    """
    rows, columns = inner
    count = int(_count_seeds(part, level))
    if not count:
        return None
    if count * float(kernel.sum()) > _DENSE * part.size:
        import cv2

        return np.asarray(cv2.dilate(np.where(part >= level, part, np.uint16(0)), kernel)[inner])
    out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint16)
    _paint_seeds(part, level, kernel.sum(axis=1, dtype=np.int64) // 2, rows.start, columns.start, out)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_seeds(part: Any, level: int) -> Any:
    count = 0
    for y in range(part.shape[0]):
        for x in range(part.shape[1]):
            count += part[y, x] >= level
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _paint_seeds(part: Any, level: int, half: Any, row: int, column: int, out: Any) -> None:
    """Paint the ellipse, whose rows have these half widths, around each seed; the result begins at (row, column) of the part."""
    down = len(half) // 2
    for y in range(part.shape[0]):
        for x in range(part.shape[1]):
            value = part[y, x]
            if value < level:
                continue
            for j in range(max(0, y - down - row), min(out.shape[0], y + down + 1 - row)):
                wide = half[j + row - y + down]
                for i in range(max(0, x - wide - column), min(out.shape[1], x + wide + 1 - column)):
                    out[j, i] = max(out[j, i], value)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mark_candidates(contrast: Any, highest: Any, fraction: float, out: Any) -> None:
    """Mark the voxels that have a fraction of the contrast of the highest seed near them.

    Parameters
    ----------
    contrast : (Y, X) ndarray of uint16
        Contrast of a slice.
    highest : (slices, Y, X) ndarray of uint16
        From `highest_near`, for the slices in which seeds are sought.
    fraction : float32
    out : (Y, X) ndarray of uint8
        Takes the marks.
    """
    near = np.empty(contrast.shape[1], np.uint16)
    for y in range(contrast.shape[0]):
        near[:] = 0
        for z in range(len(highest)):
            for x in range(contrast.shape[1]):
                near[x] = max(near[x], highest[z, y, x])
        for x in range(contrast.shape[1]):
            out[y, x] = near[x] > 0 and np.float32(contrast[y, x]) > fraction * np.float32(near[x])
