"""Heights of a smoothed slice above what surrounds each pixel; numba kernels on the CPU."""

import math
from typing import Any

import numpy as np
from numba import njit

from spherovem_core.nanoparticles.selection import median_of_integers


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def heights_above(
    smooth: Any, opened: Any, levels: Any, first_row: int, height: int, boost: Any, out: Any
) -> None:
    """Write the heights of a part of a slice above each of its openings, of which the widest comes last.

    Parameters
    ----------
    smooth : (Y, X) ndarray of uint16
        Smoothed intensities of the part.
    opened : (openings, Y, X) ndarray of uint16
        Its openings.
    levels : (tiles, X) ndarray of float32
        Levels of the slice's rows of tiles, interpolated along x. Between the middles of the tiles they are interpolated along
        y, and at their place the widest opening is at least as high.
    first_row, height
        First row of the part in the slice, and rows of the slice.
    boost : float32
        The height above a narrow opening counts up to this factor of that above the widest one.
    out : (openings, Y, X) ndarray of uint16
        Takes the heights; 0 where the slice is not above.
    """
    scale, last = len(levels) / height, len(levels) - 1
    widest = len(opened) - 1
    for y in range(smooth.shape[0]):
        at = np.float32((first_row + y + 0.5) * scale - 0.5)
        row = math.floor(at)
        part = np.float32(at - np.float32(row))
        upper, lower = levels[min(max(row, 0), last)], levels[min(max(row + 1, 0), last)]
        for x in range(smooth.shape[1]):
            level = np.int32(upper[x] * (np.float32(1.0) - part) + lower[x] * part)
            out[widest, y, x] = max(np.int32(smooth[y, x]) - max(np.int32(opened[widest, y, x]), level), 0)
        for n in range(widest):
            for x in range(smooth.shape[1]):
                limit = min(np.rint(np.float32(out[widest, y, x]) * boost), np.float32(65535.0))
                above = max(np.int32(smooth[y, x]) - np.int32(opened[n, y, x]), 0)
                out[n, y, x] = min(above, np.int32(limit))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def highest(heights: Any, factors: Any) -> Any:
    """Find the highest of the heights (openings, Y, X), each times its factor (float32); returns (Y, X)."""
    out = np.empty(heights.shape[1:], np.uint16)
    for y in range(out.shape[0]):
        out[y] = 0
        for n in range(heights.shape[0]):
            for x in range(out.shape[1]):
                scaled = min(np.float32(heights[n, y, x]) * factors[n], np.float32(65535.0))
                out[y, x] = max(np.int32(out[y, x]), np.int32(scaled))
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def count_maxima(heights: Any, dilated: Any, step: float, bins: int) -> Any:
    """Count the maxima of a slice by their height.

    Parameters
    ----------
    heights, dilated : (Y, X) ndarray of uint16
        Heights, and the highest near each pixel: a maximum is not 0 and equal to it.
    step
        Width of a bin; the last one also counts what is higher.
    bins
        Number of bins.
    """
    counts, maxima = np.zeros(bins, np.int64), np.empty(heights.shape[1] + 1, heights.dtype)
    for y in range(heights.shape[0]):
        number = 0
        # Without a branch: whether a pixel is a maximum cannot be foreseen.
        for x in range(heights.shape[1]):
            value = heights[y, x]
            maxima[number] = value
            number += int(value == dilated[y, x]) & int(value > 0)
        for n in range(number):
            counts[min(int(maxima[n] / step), bins - 1)] += 1
    return counts


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def tile_medians(image: Any, rows: int, columns: int) -> Any:
    """Compute the medians, as float32, of the tiles of so many rows and columns into which an image (Y, X) is cut."""
    down, across = image.shape[0] // rows, image.shape[1] // columns
    out = np.empty((down, across), np.float32)
    for j in range(down):
        for i in range(across):
            keys = np.empty(rows * columns, np.uint32)
            for y in range(rows):
                for x in range(columns):
                    keys[y * columns + x] = image[j * rows + y, i * columns + x]
            out[j, i] = median_of_integers(keys)
    return out
