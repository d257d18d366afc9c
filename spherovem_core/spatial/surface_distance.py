"""Distance from points in a cell to its surface, in compiled loops."""

from typing import Any

import numba
import numpy as np

# Above the voxels of any row, and far below the largest int32.
NONE = np.int32(1 << 30)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def distance_to_surface(cells: Any, label: Any, points: Any, spacing: Any) -> Any:
    """Measure how far points in a cell lie from the nearest voxel outside of it, from voxel centre to voxel centre.

    For every voxel of the box, the nearest voxel outside the cell in its row along x is found in two passes. Each point then
    looks through the rows around it, the nearest first, as long as one may hold a voxel nearer than those found. For some points
    in a cell this costs a fraction of a distance transform, which measures all of its voxels. Runs on the CPU.

    Parameters
    ----------
    cells : (Z, Y, X) ndarray of unsigned integers
        Labels in a box that holds the cell and the voxels next to it. Beyond the box there is no surface.
    label
        Label of the cell.
    points : (N, 3) ndarray of int64
        Voxels of the box.
    spacing : (3,) ndarray of float64
        Voxel size; distances have its unit.

    Returns
    -------
    (N,) ndarray of float64
        NaN for a point outside the cell, and where the cell fills the box.
    """
    gap = _gaps_in_rows(cells, label)
    depth, height, _ = cells.shape
    found = np.full(len(points), np.nan)
    for k in range(len(points)):
        z, y, x = points[k]
        if cells[z, y, x] != label:
            continue
        nearest = np.inf
        for i in range(max(z + 1, depth - z)):
            across_z = (i * spacing[0]) ** 2
            if across_z >= nearest:
                break
            for plane in (z - i, z + i):
                if plane < 0 or plane >= depth:
                    continue
                for j in range(max(y + 1, height - y)):
                    across = across_z + (j * spacing[1]) ** 2
                    if across >= nearest:
                        break
                    for row in (y - j, y + j):
                        if row >= 0 and row < height and gap[plane, row, x] < NONE:
                            nearest = min(nearest, across + (gap[plane, row, x] * spacing[2]) ** 2)
        if nearest < np.inf:
            found[k] = np.sqrt(nearest)
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _gaps_in_rows(cells: Any, label: Any) -> Any:
    """Count the voxels from each voxel to the nearest one along x that is not of the cell; `NONE` in a row without such a one."""
    depth, height, width = cells.shape
    gap = np.empty(cells.shape, np.int32)
    for z in range(depth):
        for y in range(height):
            since = NONE
            for x in range(width):
                since = np.int32(0) if cells[z, y, x] != label else min(since + np.int32(1), NONE)
                gap[z, y, x] = since
            since = NONE
            for x in range(width - 1, -1, -1):
                since = min(gap[z, y, x], since + np.int32(1))
                gap[z, y, x] = since
    return gap
