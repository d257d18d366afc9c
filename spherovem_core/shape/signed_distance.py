"""Signed distance to a label's surface from its smoothed occupancy.

Smoothing the occupancy of a half-space with a Gaussian of width s gives the normal distribution of the
distance over s, so that minus s times the normal quantile of the smoothed occupancy is the signed distance: exact at a flat
surface, nearly linear through any other, and free of the half-voxel steps of a distance transform. What
curvature adds to it is known in closed form and taken off again (see `spherovem_core.shape.surface`).
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from spherovem_core.shape.occupancy import Grid

# Gaussian tails beyond this many widths are cut off (2e-4 of the weight).
TAIL = 3.7
# The signed distance is held at this many widths: the surface's stencils reach 2.5 cells, a cell is at most
# one width.
BAND = 3.0


def signed_distance(occupancy: NDArray[np.float32], grid: Grid, smoothing_nm: float) -> NDArray[np.float32]:
    """Signed distance in nm to the half level of a smoothed occupancy, negative inside.

    Parameters
    ----------
    occupancy : (Z, Y, X) ndarray of float32
        Share of each cell that the label takes. It is overwritten.
    grid
        Its grid.
    smoothing_nm
        Standard deviation of the Gaussian, what the cells average over their voxels included; 0.7 cells or more.

    Returns
    -------
    (Z, Y, X) ndarray of float32
        Held at ``±BAND * smoothing_nm`` away from the surface. Runs on the CPU (numba).
    """
    source, target = occupancy, np.zeros_like(occupancy)
    for axis, width in enumerate(smoothing_widths(grid, smoothing_nm)):
        weights = gaussian_weights(width)
        if axis == 2:
            _smooth_rows(source, weights, target)
        else:
            _smooth_across(source, weights, axis, target)
        source, target = target, source
    _to_distance(source, (smoothing_nm * _QUANTILES).astype(np.float32))
    return source


def smoothing_widths(grid: Grid, smoothing_nm: float) -> list[float]:
    """Standard deviations in cells along z, y, x that are left to smooth after what the cells average already."""
    wanted = (smoothing_nm / np.array(grid.spacing_nm)) ** 2 - grid.averaging_variance
    widths: list[float] = np.sqrt(np.maximum(wanted, 0.0)).tolist()
    return widths


def gaussian_weights(width: float) -> NDArray[np.float32]:
    """Weights of a sampled Gaussian of `width` cells: the centre and one side, summing to 1 with the other."""
    offsets = np.arange(int(np.ceil(TAIL * width)) + 1)
    weights = np.exp(-0.5 * (offsets / max(width, 1e-3)) ** 2)
    weights /= 2 * weights.sum() - weights[0]
    return np.asarray(weights, np.float32)


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _smooth_across(source: Any, weights: Any, axis: int, target: Any) -> None:
    """Smooth along z (axis 0) or y (axis 1), four whole rows at a time; empty rows are passed over."""
    depth, height, width = source.shape
    filled = np.zeros((depth, height), np.bool_)
    for z in range(depth):
        for y in range(height):
            row = source[z, y]
            largest = np.float32(0)
            for x in range(width):
                largest = max(largest, row[x])
            filled[z, y] = largest > 0
    length = depth if axis == 0 else height
    reach = len(weights) - 1
    place = np.zeros(2 * reach + 4, np.int64)
    weight = np.zeros(2 * reach + 4, np.float32)
    for z in range(depth):
        for y in range(height):
            here = z if axis == 0 else y
            n = 0
            for k in range(max(0, here - reach), min(length, here + reach + 1)):
                if filled[k, y] if axis == 0 else filled[z, k]:
                    place[n], weight[n] = k, weights[abs(k - here)]
                    n += 1
            weight[n : n + 3] = 0
            place[n : n + 3] = here
            out = target[z, y]
            out[:] = 0
            for i in range(0, n, 4):
                a, b = _row(source, axis, z, y, place[i]), _row(source, axis, z, y, place[i + 1])
                c, d = _row(source, axis, z, y, place[i + 2]), _row(source, axis, z, y, place[i + 3])
                wa, wb, wc, wd = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
                for x in range(width):
                    out[x] += wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _row(source: Any, axis: int, z: int, y: int, place: int) -> Any:
    return source[place, y] if axis == 0 else source[z, place]


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _smooth_rows(source: Any, weights: Any, target: Any) -> None:
    depth, height, width = source.shape
    reach = len(weights) - 1
    padded = np.zeros(width + 2 * reach, np.float32)
    for z in range(depth):
        for y in range(height):
            row, out = source[z, y], target[z, y]
            largest = np.float32(0)
            for x in range(width):
                largest = max(largest, row[x])
                padded[reach + x] = row[x]
            if largest == 0:
                out[:] = 0
                continue
            for x in range(width):
                out[x] = weights[0] * row[x]
            for k in range(1, reach + 1):
                # Views, so that no index is below zero: the compiler then takes many voxels at once.
                weight, left, right = weights[k], padded[reach - k :], padded[reach + k :]
                for x in range(width):
                    out[x] += weight * (left[x] + right[x])


def quantile_table() -> NDArray[np.float32]:
    """Signed distance, in widths, at equal steps of the smoothed occupancy from 0 to 1.

    Between two of the 8192 steps a straight line is within 2e-6 widths at two widths from the surface.
    """
    share = np.linspace(0, 1, 8193)
    # Adding 0 leaves no minus zero: signs are told by the sign bit.
    return np.clip(-ndtri(share), -BAND, BAND).astype(np.float32) + np.float32(0)


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _to_distance(values: Any, table: Any) -> None:
    """Turn smoothed occupancy into signed distance in place."""
    steps = np.float32(len(table) - 1)
    flat = values.reshape(-1)
    for i in range(len(flat)):
        place = min(max(flat[i], np.float32(0)), np.float32(0.99999)) * steps
        k = np.int32(place)
        flat[i] = table[k] + (place - np.float32(k)) * (table[k + 1] - table[k])


_QUANTILES = quantile_table()
