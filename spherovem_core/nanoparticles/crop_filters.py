"""Filters of small volumes, with the bits of SciPy's at a fraction of their time; numba kernels on the CPU."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

F = TypeVar("F", np.float32, np.float64)


def gaussian(volume: NDArray[F], sigmas: Sequence[float], truncate: float) -> NDArray[F]:
    """Average with a Gaussian; the volume is reflected at its faces.

    Parameters
    ----------
    volume : (Z, Y, X) ndarray of float32 or float64
    sigmas
        Standard deviation along each axis, in voxels.
    truncate
        The filter ends at this many standard deviations.
    """
    volume = np.ascontiguousarray(volume)
    depth, width = volume.shape[0], volume.shape[2]
    for axis, sigma in enumerate(sigmas):
        if sigma <= 1e-15:
            continue
        weights = _weights(float(sigma), truncate)
        out = np.empty_like(volume)
        if axis == 0:
            _average_rows(volume.reshape(1, depth, -1), weights, out.reshape(1, depth, -1))
        elif axis == 1:
            _average_rows(volume, weights, out)
        else:
            _average_columns(volume.reshape(-1, width), weights, out.reshape(-1, width))
        volume = out
    return volume


def _weights(sigma: float, truncate: float) -> NDArray[np.float64]:
    """Return the weights from the middle outwards."""
    radius = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    return np.ascontiguousarray((weights / weights.sum())[radius:])


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _reflected(n: int, length: int) -> int:
    n %= 2 * length
    return min(n, 2 * length - 1 - n)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _average_rows(volume: Any, weights: Any, out: Any) -> None:
    """Average along the middle axis, from the farthest pair of rows to the nearest."""
    length, width = volume.shape[1:]
    total = np.empty(width, np.float64)
    for z in range(volume.shape[0]):
        for y in range(length):
            middle = volume[z, y]
            for x in range(width):
                total[x] = np.float64(middle[x]) * weights[0]
            for away in range(len(weights) - 1, 0, -1):
                one, other = volume[z, _reflected(y - away, length)], volume[z, _reflected(y + away, length)]
                weight = weights[away]
                for x in range(width):
                    total[x] += (np.float64(one[x]) + np.float64(other[x])) * weight
            row = out[z, y]
            for x in range(width):
                row[x] = total[x]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _average_columns(image: Any, weights: Any, out: Any) -> None:
    """Average along the last axis, from the farthest pair of columns to the nearest."""
    width, radius = image.shape[1], len(weights) - 1
    wide, total = np.empty(width + 2 * radius, np.float64), np.empty(width, np.float64)
    for y in range(image.shape[0]):
        for x in range(-radius, width + radius):
            wide[x + radius] = image[y, _reflected(x, width)]
        for x in range(width):
            total[x] = wide[x + radius] * weights[0]
        for away in range(radius, 0, -1):
            one, other = (
                wide[radius - away : radius - away + width],
                wide[radius + away : radius + away + width],
            )
            weight = weights[away]
            for x in range(width):
                total[x] += (one[x] + other[x]) * weight
        row = out[y]
        for x in range(width):
            row[x] = total[x]


def widened(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Widen a mask by so many voxels that share a face."""
    mask = np.ascontiguousarray(mask)
    for _ in range(steps):
        out = np.empty_like(mask)
        _widen(mask, out)
        mask = out
    return mask


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _widen(mask: Any, out: Any) -> None:
    depth, height, width = mask.shape
    for z in range(depth):
        for y in range(height):
            own, row = mask[z, y], out[z, y]
            for x in range(width):
                row[x] = own[x]
            for x in range(width - 1):
                row[x] |= own[x + 1]
            for x in range(1, width):
                row[x] |= own[x - 1]
            for n in range(4):
                k, j = z + (n == 0) - (n == 1), y + (n == 2) - (n == 3)
                if 0 <= k < depth and 0 <= j < height:
                    other = mask[k, j]
                    for x in range(width):
                        row[x] |= other[x]
