"""Growth of an object from its brightest voxel, in a crop of the volume; numba kernels on the CPU."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.selection import median, select_smallest

FREE, TAKEN, INSIDE, RIM, SHELL = 0, 1, 2, 3, 4
_ROUNDS = 4
_SETTLED = 0.03
_FEWEST_SHELL = 8
# Quantile of a body's inner voxels that stands for its level: outer slices are filled in part only.
_LEVEL_QUANTILE = 0.7
# ... and of the voxels of a body too small to have inner ones.
_BRIGHTEST, _FEWEST_INNER = 0.9, 3


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def grow_body(
    image: Any,
    seed: Any,
    fraction: float,
    start: float,
    marks: Any,
    region: Any,
    others: Any,
    rim_rows: Any,
    shell_rows: Any,
    inside_volume: Any,
) -> Any:
    """Grow the body of a seed until its level and that of its surroundings settle.

    Parameters
    ----------
    image : (Z, Y, X) ndarray of float32
    seed : (3,) ndarray of int32
    fraction
        The outline lies at this fraction of the height of the level above the surroundings.
    start
        Level of the surroundings to begin with.
    marks : (Z, Y, X) ndarray of uint8
        Only free voxels are taken; they are free again afterwards.
    region, others : (image.size, 3) ndarray of int32
        Take the voxels of the body, and those of its rim.
    rim_rows, shell_rows : (N, 3) ndarray of int32
        From `rows_within`.
    inside_volume : (3, 2) ndarray of bool
        True for the faces of the crop that lie inside the volume.

    Returns
    -------
    count, rim_count, level, surroundings, isolated
        Numbers of voxels; levels; False if the body reaches a face inside the volume, or nothing darker surrounds it.
    """
    level, surroundings = float(image[seed[0], seed[1], seed[2]]), start
    count, rim_count, isolated = 0, 0, True
    for _ in range(_ROUNDS):
        half = surroundings + fraction * (level - surroundings)
        count = grow(image, half, seed, marks, region)
        isolated = not _leaves(region, count, image.shape, inside_volume)
        inner = _inner_level(image, region, count, marks)
        rim_count = _surround(marks, region, count, rim_rows, RIM, others, 0)
        shell_end = _surround(marks, region, count, shell_rows, SHELL, others, rim_count)
        around_it, darker = _darker_level(image, others, rim_count, shell_end, half)
        release(marks, others, shell_end, FREE)
        release(marks, region, count, FREE)
        if darker < _FEWEST_SHELL:
            isolated = isolated and shell_end - rim_count < _FEWEST_SHELL
            break
        settled = abs(inner + around_it - level - surroundings) / 2 < _SETTLED * max(inner - around_it, 1e-6)
        level, surroundings = inner, around_it
        if settled or not isolated:
            break
    return count, rim_count, level, surroundings, isolated


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
                    if marks[k, j, i] != FREE or image[k, j, i] <= level:
                        continue
                    corner = abs(k - z) + abs(j - y) + abs(i - x) == 3
                    if corner:
                        continue
                    marks[k, j, i] = INSIDE
                    region[count, 0], region[count, 1], region[count, 2] = k, j, i
                    count += 1
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _surround(marks: Any, region: Any, count: int, rows: Any, mark: int, found: Any, number: int) -> int:
    """Mark the free voxels around a region, and append them to the `number` found; returns their new number.

    Each run of voxels along x marks the rows around it: the same voxels as around each of its voxels.
    """
    depth, height, width = marks.shape
    for n in range(count):
        z, y, x = region[n, 0], region[n, 1], region[n, 2]
        if x > 0 and marks[z, y, x - 1] == INSIDE:
            continue
        end = x + 1
        while end < width and marks[z, y, end] == INSIDE:
            end += 1
        for m in range(len(rows)):
            k, j = z + rows[m, 0], y + rows[m, 1]
            if k < 0 or k >= depth or j < 0 or j >= height:
                continue
            for i in range(max(0, x - rows[m, 2]), min(width, end + rows[m, 2])):
                if marks[k, j, i] == FREE:
                    marks[k, j, i] = mark
                    found[number, 0], found[number, 1], found[number, 2] = k, j, i
                    number += 1
    return number


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def median_outside(image: Any, region: Any) -> Any:
    """Return the median of the voxels outside a region (bool), or of all if there is none."""
    values, count = np.empty(image.size, np.float32), 0
    for z in range(image.shape[0]):
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                values[count] = image[z, y, x]
                count += not region[z, y, x]
    if not count:
        values, count = image.copy().reshape(-1), image.size
    return median(values[:count])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def open_slices(mask: Any) -> Any:
    """Open a mask by three by three pixels in each slice; the mask has a rim of one free voxel."""
    depth, height, width = mask.shape
    out = np.zeros(mask.shape, np.bool_)
    for z in range(depth):
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                filled = mask[z, y, x]
                if not filled:
                    continue
                for j in range(y - 1, y + 2):
                    for i in range(x - 1, x + 2):
                        filled = filled and mask[z, j, i]
                if filled:
                    out[z, y - 1 : y + 2, x - 1 : x + 2] = True
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def release(marks: Any, voxels: Any, count: int, mark: int) -> None:
    """Set the marks of voxels."""
    for n in range(count):
        marks[voxels[n, 0], voxels[n, 1], voxels[n, 2]] = mark


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def next_free(marks: Any, voxels: Any, start: int) -> int:
    """Return the number of the first voxel, from `start` on, that is free; the number of voxels if there is none."""
    while start < len(voxels) and marks[voxels[start, 0], voxels[start, 1], voxels[start, 2]] != FREE:
        start += 1
    return start


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _darker_level(image: Any, voxels: Any, first: int, last: int, half: float) -> Any:
    """Return the median of the voxels that are darker than `half`, and their number."""
    values, darker = np.empty(last - first, np.float32), 0
    for n in range(first, last):
        value = image[voxels[n, 0], voxels[n, 1], voxels[n, 2]]
        if value < np.float32(half):
            values[darker] = value
            darker += 1
    if darker < _FEWEST_SHELL:
        return 0.0, darker
    return median(values[:darker]), darker


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _inner_level(image: Any, region: Any, count: int, marks: Any) -> Any:
    """Estimate the level inside a body from the voxels whose neighbours in the plane belong to it, else from its brightest."""
    height, width = image.shape[1:]
    values, inner = np.empty(count, np.float32), 0
    for n in range(count):
        z, y, x = region[n, 0], region[n, 1], region[n, 2]
        enclosed = True
        for j in range(max(0, y - 1), min(height, y + 2)):
            for i in range(max(0, x - 1), min(width, x + 2)):
                enclosed = enclosed and marks[z, j, i] == INSIDE
        if enclosed:
            values[inner] = image[z, y, x]
            inner += 1
    if inner >= _FEWEST_INNER:
        return _quantile(values[:inner], _LEVEL_QUANTILE)
    for n in range(count):
        values[n] = image[region[n, 0], region[n, 1], region[n, 2]]
    return _quantile(values, _BRIGHTEST)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _quantile(values: Any, part: float) -> Any:
    """Return a value that a part of the values do not exceed."""
    place = int(part * (len(values) - 1) + 0.5)
    return float(select_smallest(values, place))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _leaves(voxels: Any, count: int, shape: Any, inside_volume: Any) -> bool:
    """Return whether a body reaches a face of the crop that lies inside the volume."""
    for n in range(count):
        for axis in range(3):
            place = voxels[n, axis]
            if (place == 0 and inside_volume[axis, 0]) or (
                place == shape[axis] - 1 and inside_volume[axis, 1]
            ):
                return True
    return False


def rows_within(radius_px: float, slices: int) -> NDArray[np.int32]:
    """List the rows (N, 3) within a radius in the plane and a number of slices: offsets along z and y, and half length."""
    reach = int(np.floor(radius_px))
    grid = np.mgrid[-slices : slices + 1, -reach : reach + 1].reshape(2, -1).T
    half = np.floor(np.sqrt(radius_px**2 - grid[:, 1] ** 2) + 1e-9)
    return np.ascontiguousarray(np.column_stack([grid, half]).astype(np.int32))
