"""Grey openings of an image by rectangles; numba kernels on the CPU.

Rows are filtered by windows of doubling width, columns by running extrema of blocks of rows (van Herk 1992): the cost of a pixel
hardly depends on the side. The values are those of ``cv2.MORPH_OPEN``, which takes about twice as long.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_HIGHEST = 65535


def open_by_rectangles(image: NDArray[np.uint16], sides: Sequence[tuple[int, int]]) -> NDArray[np.uint16]:
    """Open an image by rectangles; outside of it are the values of its border.

    Parameters
    ----------
    image : (Y, X) ndarray of uint16
    sides
        Odd sides (down, across) of each rectangle in pixels.

    Returns
    -------
    (rectangles, Y, X) ndarray of uint16
    """
    image = np.ascontiguousarray(image)
    out = np.empty((len(sides), *image.shape), np.uint16)
    for opened, (down, across) in zip(out, sides, strict=True):
        _open(image, down // 2, across // 2, opened)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _open(image: Any, down: int, across: int, out: Any) -> None:
    """Open by a rectangle of these half sides."""
    eroded = np.empty_like(image)
    buffers = np.empty((2, image.shape[1] + 2 * across), np.uint16)
    for y in range(image.shape[0]):
        _extreme_of_row(image[y], across, True, buffers, eroded[y])
    _extremes_down(eroded, down, True, out)
    _extremes_down(out, down, False, eroded)
    for y in range(image.shape[0]):
        _extreme_of_row(eroded[y], across, False, buffers, out[y])


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _merge(one: Any, other: Any, lowest: bool, out: Any) -> None:
    """Write the lower, or the higher, of two rows."""
    if lowest:
        for x in range(len(out)):
            out[x] = one[x] if one[x] < other[x] else other[x]
    else:
        for x in range(len(out)):
            out[x] = one[x] if one[x] > other[x] else other[x]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _extreme_of_row(row: Any, half: int, lowest: bool, buffers: Any, out: Any) -> None:
    """Write the lowest, or the highest, value within `half` pixels of each pixel of a row."""
    width, length = 1, len(row) + 2 * half
    here, there = 0, 1
    outside = np.uint16(_HIGHEST if lowest else 0)
    buffers[here, :half] = outside
    buffers[here, half : half + len(row)] = row
    buffers[here, half + len(row) : length] = outside
    # buffers[here, x] is the extreme of the pixels x to x + width - 1.
    while 2 * width <= 2 * half + 1:
        rest = length - 2 * width + 1
        _merge(buffers[here, :rest], buffers[here, width : width + rest], lowest, buffers[there, :rest])
        width *= 2
        here, there = there, here
    more = 2 * half + 1 - width
    _merge(buffers[here, : len(row)], buffers[here, more : more + len(row)], lowest, out)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _extremes_down(image: Any, half: int, lowest: bool, out: Any) -> None:
    """Write the lowest, or the highest, value within `half` rows of each pixel of an image."""
    height, width = image.shape
    side = 2 * half + 1
    # Row y of `out` is the extreme of rows y - half to y + half: the end of one block of `side` rows and the begin of the next.
    tail, head = np.empty((side, width), np.uint16), np.empty(width, np.uint16)
    for start in range(-half, height, side):
        # `tail[n]` is the extreme of rows start + n to the end of the block.
        for n in range(side - 1, -1, -1):
            row = min(max(start + n, 0), height - 1)
            if n == side - 1:
                tail[n] = image[row]
            else:
                _merge(tail[n + 1], image[row], lowest, tail[n])
        for n in range(side):
            y = start + n + half
            if y >= height:
                break
            if n == 0:
                out[y] = tail[0]
                continue
            row = min(start + side + n - 1, height - 1)
            if n == 1:
                head[:] = image[row]
            else:
                _merge(head, image[row], lowest, head)
            _merge(tail[n], head, lowest, out[y])
