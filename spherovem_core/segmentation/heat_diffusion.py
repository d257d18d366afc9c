"""Heat diffusion within an object, and the directions in which the temperature rises (Cellpose's flows).

Stringer et al. 2021, "Cellpose", Nat. Methods 18. The kernels are compiled and run on the CPU (numba). Cellpose averages
3 x 3 pixels in a section and six neighbours in a volume, hence one kernel for each.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def rising_directions(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors along the gradient of heat, for all but the outermost elements.

    Parameters
    ----------
    heat : (..., Y, X) ndarray of float64
        Temperatures, with a margin of one element on each side.

    Returns
    -------
    (ndim, ...) ndarray of float64
        Components in the order of the axes; zero where the temperature is even.
    """
    inner = slice(1, -1)
    components = []
    for axis in range(heat.ndim):
        after = tuple(slice(2, None) if n == axis else inner for n in range(heat.ndim))
        before = tuple(slice(None, -2) if n == axis else inner for n in range(heat.ndim))
        components.append(heat[after] - heat[before])
    directions = np.stack(components)
    directions /= 1e-60 + np.sqrt((directions**2).sum(axis=0))
    return directions


@njit(cache=True, nogil=True)
def diffuse_in_section(mask, centre_y, centre_x, iterations):  # type: ignore[no-untyped-def]
    """Feed heat in at a pixel of a mask (Y + 2, X + 2), padded by one pixel, and average it over 3 x 3 pixels in each step.

    The centre is given in pixels of the unpadded mask. Heat outside the mask is zero.
    """
    rows, columns = mask.shape
    heat = np.zeros((rows, columns))
    sums = np.zeros((rows, columns))
    for _ in range(iterations):
        heat[centre_y + 1, centre_x + 1] += 1.0
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
    """Feed heat in at one of the points (N, 3) of an object and average it over six neighbours in each step.

    `shape` leaves a margin of one voxel around the points. Heat outside the object is zero.
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
