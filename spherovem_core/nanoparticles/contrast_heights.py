"""Heights of a smoothed slice above what surrounds each pixel; numba kernels on the CPU."""

import math
from typing import Any

import numpy as np
from numba import njit

from spherovem_core.nanoparticles.selection import median_of_integers


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def heights_above(
    smooth: Any, opened: Any, levels: Any, rows: Any, columns: Any, margin: Any, boost: Any, out: Any
) -> None:
    """Write the heights of a part of a slice above each of its openings, of which the widest comes last.

    Parameters
    ----------
    smooth : (Y, X) ndarray of uint16
        Smoothed intensities of the slice.
    opened : (openings, y, x) ndarray of uint16
        Openings of the part with its halo.
    levels : (tiles, X) ndarray of float32
        Levels of the slice's rows of tiles, interpolated along x. Between the middles of the tiles they are interpolated along
        y, and at their place the widest opening is at least as high.
    rows, columns
        First and last row and column, half-open, of the part in the slice.
    margin
        Rows and columns of the halo before the part.
    boost : float32
        The height above a narrow opening counts up to this factor of that above the widest one.
    out : (openings, rows, columns) ndarray of uint16
        Takes the heights of the part; 0 where the slice is not above.
    """
    scale, last = len(levels) / smooth.shape[0], len(levels) - 1
    widest, width = len(opened) - 1, columns[1] - columns[0]
    for y in range(rows[0], rows[1]):
        at = np.float32((y + 0.5) * scale - 0.5)
        row = math.floor(at)
        part = np.float32(at - np.float32(row))
        # Rows are cut out first: numba computes several pixels at once only where it knows that they are adjacent.
        here = slice(columns[0], columns[1])
        upper, lower = levels[min(max(row, 0), last), here], levels[min(max(row + 1, 0), last), here]
        own, own_row = smooth[y, here], y - rows[0] + margin[0]
        there = slice(margin[1], margin[1] + width)
        ground, highest = opened[widest, own_row, there], out[widest, y - rows[0]]
        for x in range(width):
            level = np.int32(upper[x] * (np.float32(1.0) - part) + lower[x] * part)
            highest[x] = max(np.int32(own[x]) - max(np.int32(ground[x]), level), 0)
        for n in range(widest):
            narrow, found = opened[n, own_row, there], out[n, y - rows[0]]
            for x in range(width):
                limit = min(np.rint(np.float32(highest[x]) * boost), np.float32(65535.0))
                found[x] = min(max(np.int32(own[x]) - np.int32(narrow[x]), 0), np.int32(limit))


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
