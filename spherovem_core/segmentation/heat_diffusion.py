"""Diffusion of heat within an object, as Cellpose defines its flows: in a section and in 3D.

The two kernels average over other neighbours and in another order, and so do the networks that were trained on them: the one
in a section over 3 x 3 pixels, the one in 3D over a voxel and its six neighbours. Both are numba functions that release the
GIL; they run on the CPU.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def diffuse_in_section(mask, source_y, source_x, iterations):  # type: ignore[no-untyped-def]
    """Diffuse heat in a mask of a section that is padded by one pixel.

    Parameters
    ----------
    mask : (Y + 2, X + 2) ndarray of bool
    source_y, source_x
        Pixel of the mask before the padding that takes one unit of heat in each step.
    iterations
        Steps, each an average over 3 x 3 pixels.

    Returns
    -------
    (Y + 2, X + 2) ndarray of float64
        Heat, 0 outside the mask.
    """
    rows, columns = mask.shape
    heat = np.zeros((rows, columns))
    sums = np.zeros((rows, columns))
    for _ in range(iterations):
        heat[source_y + 1, source_x + 1] += 1.0
        for y in range(rows):
            for x in range(1, columns - 1):
                sums[y, x] = heat[y, x - 1] + heat[y, x] + heat[y, x + 1]
        for y in range(1, rows - 1):
            for x in range(1, columns - 1):
                if mask[y, x]:
                    heat[y, x] = (sums[y - 1, x] + sums[y, x] + sums[y + 1, x]) / 9.0
    return heat


@njit(cache=True, nogil=True)
def diffuse_in_volume(points, shape, source, iterations):  # type: ignore[no-untyped-def]
    """Diffuse heat in a body given by its voxels.

    Parameters
    ----------
    points : (N, 3) ndarray of int64
        Voxels z, y, x of the body, none of them in the outermost layer of the array.
    shape
        Of the array.
    source
        Row of the voxel that takes one unit of heat in each step.
    iterations
        Steps, each an average over a voxel and its six neighbours.

    Returns
    -------
    (Z, Y, X) ndarray of float64
        Heat, 0 outside the body.
    """
    heat = np.zeros(shape)
    fresh = np.zeros(len(points))
    sz, sy, sx = points[source]
    for _ in range(iterations):
        heat[sz, sy, sx] += 1.0
        for n in range(len(points)):
            z, y, x = points[n]
            fresh[n] = (
                heat[z, y, x]
                + heat[z - 1, y, x]
                + heat[z + 1, y, x]
                + heat[z, y - 1, x]
                + heat[z, y + 1, x]
                + heat[z, y, x - 1]
                + heat[z, y, x + 1]
            ) / 7.0
        for n in range(len(points)):
            z, y, x = points[n]
            heat[z, y, x] = fresh[n]
    return heat


def unit_gradient(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the direction in which heat rises, by central differences.

    Parameters
    ----------
    heat : ndarray of D axes
        With one layer more on every side than the result.

    Returns
    -------
    (D, ...) ndarray of float64
        Unit vectors; 0 where the heat is level.
    """
    axes: tuple[Any, ...] = tuple(range(heat.ndim))
    inner = (slice(1, -1),) * heat.ndim
    differences = [
        heat[tuple(slice(2, None) if a == axis else inner[a] for a in axes)]
        - heat[tuple(slice(None, -2) if a == axis else inner[a] for a in axes)]
        for axis in axes
    ]
    gradient = np.stack(differences)
    gradient /= 1e-60 + np.sqrt((gradient**2).sum(axis=0))
    return gradient
