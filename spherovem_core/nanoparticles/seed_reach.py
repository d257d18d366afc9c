"""Reach of seeds: the highest seed near each voxel, and the voxels that have a part of its contrast; numba kernels on the CPU.

The seeds of a cylinder around each voxel are those of its slices, the highest of which is painted first, within an ellipse.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

CANDIDATE, SEED = 1, 2


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def paint_seeds(packed: Any, level: int, rows: Any, columns: Any, out: Any) -> None:
    """Raise the pixels of slices to the seeds of one slice.

    Parameters
    ----------
    packed
        Tuple of `PackedSlice`.
    level
        Seeds have this contrast or more.
    rows, columns
        First and last row and column, half-open, of the part of the slice.
    out : (slices, rows, columns) ndarray of uint16
        The slices that the seeds reach.
    """
    side = packed.tile
    for j in range(rows[0] // side, (rows[1] - 1) // side + 1):
        for i in range(columns[0] // side, (columns[1] - 1) // side + 1):
            tile = (j - packed.first[0]) * packed.across + i - packed.first[1]
            for n in range(packed.starts[tile], packed.starts[tile + 1]):
                value = packed.values[n]
                if value < level:
                    continue
                y = j * side + np.int64(packed.places[n]) // side - rows[0]
                x = i * side + np.int64(packed.places[n]) % side - columns[0]
                if y < 0 or y >= out.shape[1] or x < 0 or x >= out.shape[2]:
                    continue
                for z in range(out.shape[0]):
                    if out[z, y, x] < value:
                        out[z, y, x] = value


def ellipse_rows(reach: tuple[int, int]) -> NDArray[np.int64]:
    """Return half the width of each row of an ellipse of 2 down + 1 rows (OpenCV's) from its middle row on."""
    import cv2

    down, across = reach
    kernel = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * across + 1, 2 * down + 1)))
    return np.asarray(kernel.sum(axis=1, dtype=np.int64)[down:] // 2)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def spread_seeds(seeds: Any, half: Any, top: int, left: int, out: Any) -> bool:
    """Write the highest seed within an ellipse around each pixel of a part of a slice; returns False without any seed.

    Parameters
    ----------
    seeds : (rows, columns) ndarray of uint16
        Seeds, 0 elsewhere, in the part with a margin.
    half : (down + 1,) ndarray of int64
        From `ellipse_rows`.
    top, left
        Where the part begins in `seeds`.
    out : (Y, X) ndarray of uint16
        Takes the part.
    """
    out[:] = 0
    some, length, widest = False, seeds.shape[1], half[0]
    near, wider = np.zeros(length + 2 * widest, np.uint16), np.zeros(length + 2 * widest, np.uint16)
    for y in range(seeds.shape[0]):
        own = seeds[y]
        first, last = _ends(own)
        if first > last:
            continue
        some = True
        near[:], wider[:] = 0, 0
        near[widest + first : widest + last + 1] = own[first : last + 1]
        width = 0
        # From the narrowest row of the ellipse to the widest: each is as wide as the one before and a little more.
        for away in range(len(half) - 1, -1, -1):
            while width < half[away]:
                step = min(half[away] - width, 2 * width + 1)
                start, stop = widest + first - width - step, widest + last + width + step + 1
                _widen(near, step, start, stop, wider)
                near, wider = wider, near
                width += step
            begin, end = max(first - width, left), min(last + width + 1, left + out.shape[1])
            if begin >= end:
                continue
            for side in range(1 if away == 0 else 2):
                row = y - top + (away if side == 0 else -away)
                if 0 <= row < out.shape[0]:
                    _raise(out[row, begin - left : end - left], near[widest + begin : widest + end])
    return some


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _ends(row: Any) -> Any:
    """Return the first and the last place that is not 0."""
    first, last = 0, len(row) - 1
    while first <= last and row[first] == 0:
        first += 1
    while last > first and row[last] == 0:
        last -= 1
    return first, last


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _widen(near: Any, step: int, start: int, stop: int, out: Any) -> None:
    """Write the highest of each place and of those `step` to the left and to the right; nothing lies beyond the ends."""
    length = len(near)
    start, stop = max(start, 0), min(stop, length)
    for x in range(start, min(start + step, stop)):
        left = near[x - step] if x >= step else np.uint16(0)
        right = near[x + step] if x + step < length else np.uint16(0)
        out[x] = max(near[x], left, right)
    for x in range(max(stop - step, start + step), stop):
        left = near[x - step] if x >= step else np.uint16(0)
        right = near[x + step] if x + step < length else np.uint16(0)
        out[x] = max(near[x], left, right)
    first, count = start + step, stop - start - 2 * step
    if count > 0:
        middle, left_of, right_of = (
            near[first : first + count],
            near[start : start + count],
            near[first + step : first + step + count],
        )
        row = out[first : first + count]
        for x in range(count):
            value = middle[x] if middle[x] > left_of[x] else left_of[x]
            row[x] = value if value > right_of[x] else right_of[x]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _raise(row: Any, other: Any) -> None:
    for x in range(len(row)):
        row[x] = row[x] if row[x] > other[x] else other[x]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mark_candidates(
    packed: Any, level: int, fraction: Any, near: Any, rows: Any, columns: Any, out: Any
) -> int:
    """Write the pixels of a part of a slice that have a fraction of the contrast of the highest seed near them.

    Parameters
    ----------
    packed
        Tuple of `PackedSlice`.
    level
        Seeds have this contrast or more.
    fraction : float32
    near : (Y, X) ndarray of uint16
        From `spread_seeds`.
    rows, columns
        First and last row and column, half-open, of the part in the slice: whole tiles.
    out : (N,) ndarray of uint32
        Takes the places, ``2 * (y * X + x)``, and 1 more for seeds.

    Returns
    -------
    int
        Number of candidates.
    """
    side = packed.tile
    count = 0
    for j in range(rows[0] // side, (rows[1] - 1) // side + 1):
        for i in range(columns[0] // side, (columns[1] - 1) // side + 1):
            tile = (j - packed.first[0]) * packed.across + i - packed.first[1]
            for n in range(packed.starts[tile], packed.starts[tile + 1]):
                y = j * side + np.int64(packed.places[n]) // side - rows[0]
                x = i * side + np.int64(packed.places[n]) % side - columns[0]
                highest = near[y, x]
                if highest > 0 and np.float32(packed.values[n]) > fraction * np.float32(highest):
                    out[count] = 2 * (y * near.shape[1] + x) + int(packed.values[n] >= level)
                    count += 1
    return count


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def paint_candidates(places: Any, out: Any) -> None:
    """Paint the places from `mark_candidates` into the part (Y, X) of a slice that they lie in."""
    width = out.shape[1]
    for n in range(len(places)):
        place = places[n] // 2
        out[place // width, place % width] = SEED if places[n] % 2 else CANDIDATE
