"""Distance to the nearest voxel outside a mask, followed up to a reach, in compiled loops that vectorise along x."""

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def distance_within(mask: Any, spacing: Any, reach: Any) -> Any:
    """Measure the distance from each voxel of a mask to the nearest voxel outside of it, but no further than the reach.

    Squared distance separates by axis; along each the minimum over the rows within reach is taken directly. Beyond the array
    there is nothing outside. What is further away than the reach never counts, so that any array around a voxel that covers the
    reach gives its distance bit for bit. Runs on the CPU.

    Parameters
    ----------
    mask : (Z, Y, X) C-contiguous ndarray of bool
    spacing : (3,) ndarray of float64
        Voxel size; distances have its unit.
    reach : float32

    Returns
    -------
    (Z, Y, X) ndarray of float32
        0 outside the mask, at most `reach`.
    """
    depth, height, width = mask.shape
    far = np.float32(reach * reach)
    rows = np.empty(mask.shape, np.float32)
    step = np.float32(spacing[2])
    for z in range(depth):
        for y in range(height):
            since = np.float32(1e15)
            for x in range(width):
                since = since + step if mask[z, y, x] else np.float32(0)
                rows[z, y, x] = since
            since = np.float32(1e15)
            for x in range(width - 1, -1, -1):
                since = min(rows[z, y, x], since + step)
                rows[z, y, x] = min(since * since, far)
    planes = np.empty_like(rows)
    for z in range(depth):
        for y in range(height):
            _lower(rows[z], y, np.float32(spacing[1]), reach, planes[z, y])
    for y in range(height):
        for z in range(depth):
            _lower(planes[:, y], z, np.float32(spacing[0]), reach, rows[z, y])
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                rows[z, y, x] = np.sqrt(rows[z, y, x])
    return rows


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def _lower(rows: Any, place: int, step: Any, reach: Any, best: Any) -> None:
    """Take the minimum over the rows within reach of their squared distances plus that from their place to this one."""
    width = rows.shape[1]
    for x in range(width):
        best[x] = rows[place, x]
    gap = 1
    while gap * step < reach:
        square = np.float32((gap * step) * (gap * step))
        if place - gap >= 0 and place + gap < len(rows):
            before, after = rows[place - gap], rows[place + gap]
            for x in range(width):
                best[x] = min(best[x], min(before[x], after[x]) + square)
        elif place - gap >= 0:
            before = rows[place - gap]
            for x in range(width):
                best[x] = min(best[x], before[x] + square)
        elif place + gap < len(rows):
            after = rows[place + gap]
            for x in range(width):
                best[x] = min(best[x], after[x] + square)
        gap += 1
