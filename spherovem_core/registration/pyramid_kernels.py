"""Compiled filters of slices on the CPU: each streams a slice once, on one thread, without the interpreter lock."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.compiled_loops import compiled

Image = NDArray[np.float32]

_ONE = np.float32(1.0)


@compiled  # type: ignore[untyped-decorator]
def smooth(image: Image, out: Image) -> None:
    """Convolve with the binomial kernel (1 4 6 4 1) / 16 along both axes; edges are repeated."""
    rows, columns = image.shape
    padded = np.empty(columns + 4, np.float32)
    for y in range(rows):
        _add_five(
            image[max(y - 2, 0)],
            image[max(y - 1, 0)],
            image[y],
            image[min(y + 1, rows - 1)],
            image[min(y + 2, rows - 1)],
            padded[2 : columns + 2],
        )
        padded[:2] = padded[2]
        padded[columns + 2 :] = padded[columns + 1]
        _add_five(padded[:-4], padded[1:-3], padded[2:-2], padded[3:-1], padded[4:], out[y])


@compiled  # type: ignore[untyped-decorator]
def _add_five(a: Image, b: Image, c: Image, d: Image, e: Image, out: Image) -> None:
    outer, near, middle = np.float32(1.0 / 16.0), np.float32(4.0 / 16.0), np.float32(6.0 / 16.0)
    for x in range(len(out)):
        out[x] = outer * (a[x] + e[x]) + near * (b[x] + d[x]) + middle * c[x]


@compiled  # type: ignore[untyped-decorator]
def halve(image: Image, out: Image) -> None:
    """Average 2 x 2 pixels; an odd last row or column is left out."""
    quarter = np.float32(0.25)
    for y in range(out.shape[0]):
        upper, lower, row = image[2 * y], image[2 * y + 1], out[y]
        for x in range(len(row)):
            row[x] = quarter * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1])


@compiled  # type: ignore[untyped-decorator]
def block_means(image: Image, side: int, means: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
    """Average the pixels of square blocks and their squares; rows and columns left over are left out."""
    for y in range(means.shape[0] * side):
        for block in range(means.shape[1]):
            total = square = 0.0
            for value in image[y, block * side : (block + 1) * side]:
                wide = np.float64(value)
                total += wide
                square += wide * wide
            means[y // side, block] += total / side**2
            squares[y // side, block] += square / side**2


@compiled  # type: ignore[untyped-decorator]
def subtract_and_scale(image: Image, side: int, means: Image, gains: Image) -> None:
    """Subtract the means of blocks from the pixels and multiply by their gains, both interpolated, in place."""
    columns = image.shape[1]
    count_y, count_x = means.shape
    mean, gain = np.empty(count_x, np.float32), np.empty(count_x, np.float32)
    for y in range(image.shape[0]):
        place = min(max((y + 0.5) / side - 0.5, 0.0), count_y - 1.0)
        above = int(place)
        below, part = min(above + 1, count_y - 1), np.float32(place - above)
        for block in range(count_x):
            mean[block] = means[above, block] + part * (means[below, block] - means[above, block])
            gain[block] = gains[above, block] + part * (gains[below, block] - gains[above, block])
        # Between the centres of two blocks both are linear; before the first and after the last they are constant.
        for block in range(-1, count_x):
            left, right = max(block, 0), min(block + 1, count_x - 1)
            first = 0 if block < 0 else min(block * side + side // 2, columns)
            last = columns if block == count_x - 1 else min((block + 1) * side + side // 2, columns)
            start = np.float32((first + 0.5) / side - 0.5 - block)
            _subtract_and_scale(
                image[y, first:last],
                mean[left],
                mean[right] - mean[left],
                gain[left],
                gain[right] - gain[left],
                start,
                np.float32(1.0 / side),
            )


@compiled  # type: ignore[untyped-decorator]
def _subtract_and_scale(
    image: Image, mean: float, mean_rise: float, gain: float, gain_rise: float, start: float, step: float
) -> None:
    for x in range(len(image)):
        part = start + step * np.float32(x)
        image[x] = (image[x] - (mean + mean_rise * part)) * (gain + gain_rise * part)
