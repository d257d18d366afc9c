"""Growth of an object from its brightest voxel, in a crop of the volume; numba kernels on the CPU."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FREE, TAKEN, INSIDE, RIM, SHELL = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def grow(image: Any, level: float, seed: Any, marks: Any, region: Any) -> int:
    """Collect the voxels above a level that join a seed through faces or edges.

    Parameters
    ----------
    image : (Z, Y, X) ndarray
    level
        Voxels above it belong to the region.
    seed : (3,) ndarray
    marks : (Z, Y, X) ndarray of uint8
        Only free voxels are taken; those of the region become ``INSIDE``.
    region : (image.size, 3) ndarray of int32
        Takes the voxels.

    Returns
    -------
    int
        Number of voxels.
    """
    depth, height, width = image.shape
    region[0, 0], region[0, 1], region[0, 2] = seed[0], seed[1], seed[2]
    marks[seed[0], seed[1], seed[2]] = INSIDE
    done, count = 0, 1
    while done < count:
        z, y, x = region[done, 0], region[done, 1], region[done, 2]
        done += 1
        for k in range(max(0, z - 1), min(depth, z + 2)):
            for j in range(max(0, y - 1), min(height, y + 2)):
                for i in range(max(0, x - 1), min(width, x + 2)):
                    corner = abs(k - z) + abs(j - y) + abs(i - x) == 3
                    if corner or marks[k, j, i] != FREE or image[k, j, i] <= level:
                        continue
                    marks[k, j, i] = INSIDE
                    region[count, 0], region[count, 1], region[count, 2] = k, j, i
                    count += 1
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def surround(marks: Any, region: Any, count: int, offsets: Any, mark: int, found: Any) -> int:
    """Mark the free voxels at the given offsets from a region's voxels, and collect them; returns their number.

    The voxels of the region are marked ``INSIDE``. A voxel with all its neighbours inside reaches nothing that none of them does,
    as the offsets hold with each one all those that lie nearer along an axis.
    """
    depth, height, width = marks.shape
    number = 0
    for n in range(count):
        z, y, x = region[n, 0], region[n, 1], region[n, 2]
        if (
            0 < z < depth - 1
            and 0 < y < height - 1
            and 0 < x < width - 1
            and marks[z - 1, y, x] == INSIDE
            and marks[z + 1, y, x] == INSIDE
            and marks[z, y - 1, x] == INSIDE
            and marks[z, y + 1, x] == INSIDE
            and marks[z, y, x - 1] == INSIDE
            and marks[z, y, x + 1] == INSIDE
        ):
            continue
        for m in range(len(offsets)):
            k, j, i = z + offsets[m, 0], y + offsets[m, 1], x + offsets[m, 2]
            if 0 <= k < depth and 0 <= j < height and 0 <= i < width and marks[k, j, i] == FREE:
                marks[k, j, i] = mark
                found[number, 0], found[number, 1], found[number, 2] = k, j, i
                number += 1
    return number


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def release(marks: Any, voxels: Any, count: int, mark: int) -> None:
    """Set the marks of voxels."""
    for n in range(count):
        marks[voxels[n, 0], voxels[n, 1], voxels[n, 2]] = mark


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def read(image: Any, voxels: Any, count: int) -> Any:
    """Read the values of voxels."""
    out = np.empty(count, np.float32)
    for n in range(count):
        out[n] = image[voxels[n, 0], voxels[n, 1], voxels[n, 2]]
    return out


def offsets_within(radius_px: float, slices: int) -> NDArray[np.int32]:
    """List the offsets (N, 3) within a radius in the plane and a number of slices, the centre left out."""
    reach = int(np.floor(radius_px))
    grid = np.mgrid[-slices : slices + 1, -reach : reach + 1, -reach : reach + 1].reshape(3, -1).T
    inside = (grid[:, 1] ** 2 + grid[:, 2] ** 2 <= radius_px**2) & (np.abs(grid).sum(axis=1) > 0)
    return np.ascontiguousarray(grid[inside].astype(np.int32))
