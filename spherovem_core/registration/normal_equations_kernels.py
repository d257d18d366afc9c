"""Compiled loops over the pixels of a pair of slices.

Rows are streamed in order. Along a row both coordinates of a warped pixel are linear, so the overlap is one interval of each row,
and the moving slice is read in runs of neighbouring pixels. Sums are formed in float32 over up to `CHUNK` pixels of a row and in
float64 over these. At 1024² pixels a warp takes 0.6 to 1.8 ms, as the slices are in the cache or not, the moments 0.2 ms and the
sums of the normal equations 0.9 to 1.2 ms.
"""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.compiled_loops import compiled

CHUNK = 1024

Image = NDArray[np.float32]
Intervals = NDArray[np.int64]

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
# With Numba's own errors, a division would raise an exception, and its loop would not be vectorised.


@compiled  # type: ignore[untyped-decorator]
def warp(image: Image, matrix: Matrix, intervals: Intervals, margin: int, out: Image) -> None:
    """Sample an image at ``matrix @ (y, x, 1)`` in the interval of each row of `out`; outside, the edge is repeated.

    With a margin of 1, the neighbours of all pixels of the intervals are sampled too.
    """
    rows, columns = out.shape
    for y in range(rows):
        first, last = columns, 0
        for near in range(max(y - margin, 0), min(y + margin + 1, rows)):
            if intervals[near, 0] < intervals[near, 1]:
                first = min(first, intervals[near, 0] - margin)
                last = max(last, intervals[near, 1] + margin)
        first, last = max(first, 0), min(last, columns)
        if first < last:
            start_y = matrix[0, 0] * y + matrix[0, 1] * first + matrix[0, 2]
            start_x = matrix[1, 0] * y + matrix[1, 1] * first + matrix[1, 2]
            sample_row(image, start_y, matrix[0, 1], start_x, matrix[1, 1] - 1.0, out[y, first:last])


@compiled  # type: ignore[untyped-decorator]
def sample_row(
    image: Image, start_y: float, step_y: float, start_x: float, stretch: float, out: Image
) -> None:
    """Sample at ``(start_y + step_y k, start_x + k + stretch k)`` for each k.

    As long as neither coordinate passes a pixel, the samples lie between two runs of neighbouring pixels.
    """
    rows, columns = image.shape
    count = len(out)
    k = 0
    while k < count:
        y, x = start_y + step_y * k, start_x + stretch * k
        row, shift = int(np.floor(y)), int(np.floor(x))
        stop = min(_run_end(y - row, step_y, k, count), _run_end(x - shift, stretch, k, count))
        left = shift + k
        if 0 <= row < rows - 1 and 0 <= left < columns - 1:
            stop = min(stop, columns - 1 - shift)
            length = stop - k
            _sample_run(
                image[row, left : left + length + 1],
                image[row + 1, left : left + length + 1],
                np.float32(y - row),
                np.float32(step_y),
                np.float32(x - shift),
                np.float32(stretch),
                out[k:stop],
            )
        else:
            if 0 <= row < rows - 1 and left < 0:
                stop = min(stop, -shift)
            for j in range(k, stop):
                out[j] = _sample_at_edge(
                    image, start_y + step_y * j, start_x + stretch * j + j, rows, columns
                )
        k = stop


@compiled  # type: ignore[untyped-decorator]
def _run_end(fraction: float, step: float, k: int, count: int) -> int:
    """Find the first number above k at which a coordinate with this fraction at k reaches the next pixel."""
    left = count - k
    if step > 0.0 and step * left > 1.0 - fraction:
        return k + max(1, int(np.ceil((1.0 - fraction) / step)))
    if step < 0.0 and -step * left > fraction:
        return k + int(np.floor(fraction / -step)) + 1
    return count


@compiled  # type: ignore[untyped-decorator]
def _sample_run(
    above: Image, below: Image, y: float, step_y: float, x: float, step_x: float, out: Image
) -> None:
    """Interpolate between two runs of pixels, at fractions that grow along the run."""
    for k in range(len(out)):
        along, down = x + step_x * np.float32(k), y + step_y * np.float32(k)
        top = above[k] + along * (above[k + 1] - above[k])
        bottom = below[k] + along * (below[k + 1] - below[k])
        out[k] = top + down * (bottom - top)


@compiled  # type: ignore[untyped-decorator]
def _sample_at_edge(image: Image, y: float, x: float, rows: int, columns: int) -> np.float32:
    y, x = min(max(y, 0.0), rows - 1.0), min(max(x, 0.0), columns - 1.0)
    row, column = int(y), int(x)
    down, along = np.float32(y - row), np.float32(x - column)
    below, right = min(row + 1, rows - 1), min(column + 1, columns - 1)
    top = image[row, column] + along * (image[row, right] - image[row, column])
    bottom = image[below, column] + along * (image[below, right] - image[below, column])
    value: np.float32 = top + down * (bottom - top)
    return value


@compiled  # type: ignore[untyped-decorator]
def moments(
    fixed: Image, moving: Image, weight: Image, other: Image, intervals: Intervals, sums: NDArray[np.float64]
) -> None:
    """Sum weights, slices, squares and the product with the product of two weights, in the order of `Moments`.

    A weight of one row stands for all rows.
    """
    for y in range(len(fixed)):
        w, v = weight[min(y, len(weight) - 1)], other[min(y, len(other) - 1)]
        for first in range(intervals[y, 0], intervals[y, 1], CHUNK):
            last = min(first + CHUNK, intervals[y, 1])
            part = _chunk_moments(fixed[y, first:last], moving[y, first:last], w[first:last], v[first:last])
            for k in range(6):
                sums[k] += part[k]


@compiled  # type: ignore[untyped-decorator]
def _chunk_moments(fixed: Image, moving: Image, weight: Image, other: Image) -> tuple[np.float32, ...]:
    total = f = m = ff = mm = fm = _ZERO
    for k in range(len(fixed)):
        w = weight[k] * other[k]
        wf, wm = w * fixed[k], w * moving[k]
        total += w
        f += wf
        m += wm
        ff += wf * fixed[k]
        mm += wm * moving[k]
        fm += wf * moving[k]
    return total, f, m, ff, mm, fm


@compiled  # type: ignore[untyped-decorator]
def sum_weights(weight: Image, intervals: Intervals) -> float:
    """Sum a weight over the intervals."""
    total = 0.0
    for y in range(len(weight)):
        for first in range(intervals[y, 0], intervals[y, 1], CHUNK):
            part = _ZERO
            for value in weight[y, first : min(first + CHUNK, intervals[y, 1])]:
                part += value
            total += float(part)
    return total


@compiled  # type: ignore[untyped-decorator]
def sum_normal(
    fixed: Image,
    moving: Image,
    weight: Image,
    intervals: Intervals,
    match: NDArray[np.float32],
    outlier: Image,
    down: NDArray[np.float64],
    along: NDArray[np.float32],
    products: NDArray[np.float64],
    gradients: NDArray[np.float64],
) -> tuple[float, float]:
    """Renew the weights of outliers, 1 outside the overlap, and sum what `NormalSums` holds; return its first two.

    Parameters
    ----------
    fixed, moving, weight
        The fixed slice, the warped one, and the weight of each pixel; a weight of one row stands for all rows.
    intervals
        First pixel of the overlap in each row, and the one after its last.
    match
        Gain and offset of the moving slice, and the reciprocal of the scale of the residual.
    outlier
        Is overwritten.
    down, along
        Centred coordinates of rows and columns.
    products, gradients
        (3, 3, 3) and (2, 2, 2) sums that are added to.
    """
    rows, columns = fixed.shape
    total, common = 0.0, 0.0
    for y in range(rows):
        begin, end = intervals[y, 0], max(intervals[y, 0], intervals[y, 1])
        outlier[y, :begin] = _ONE
        outlier[y, end:] = _ONE
        w = weight[min(y, len(weight) - 1)]
        for start in range(begin, end, CHUNK):
            stop = min(start + CHUNK, end)
            total += _weigh_chunk(
                fixed[y, start:stop], moving[y, start:stop], w[start:stop], match, outlier[y, start:stop]
            )
            first, last = max(start, 1), min(stop, columns - 1)
            if 0 < y < rows - 1 and first < last:
                part = _sum_chunk(
                    fixed[y - 1, first:last],
                    fixed[y, first - 1 : last + 1],
                    fixed[y + 1, first:last],
                    moving[y - 1, first:last],
                    moving[y, first - 1 : last + 1],
                    moving[y + 1, first:last],
                    w[first:last],
                    outlier[y, first:last],
                    match,
                    along[first:last],
                )
                common += part[0]
                power = 1.0
                for i in range(3):
                    for k in range(9):
                        products[k // 3, i, k % 3] += power * part[1 + k]
                    for k in range(4):
                        if i < 2:
                            gradients[k // 2, i, k % 2] += power * part[10 + k]
                    power *= down[y]
    return total, common


@compiled  # type: ignore[untyped-decorator]
def _weigh_chunk(
    fixed: Image, moving: Image, weight: Image, match: NDArray[np.float32], outlier: Image
) -> np.float32:
    gain, offset, inverse = match[0], match[1], match[2]
    total = _ZERO
    for k in range(len(fixed)):
        residual = (gain * moving[k] + offset - fixed[k]) * inverse
        outlier[k] = _ONE / (_ONE + residual * residual)
        total += weight[k] * outlier[k]
    return total


@compiled  # type: ignore[untyped-decorator]
def _sum_chunk(
    fixed_above: Image,
    fixed: Image,
    fixed_below: Image,
    moving_above: Image,
    moving: Image,
    moving_below: Image,
    weight: Image,
    outlier: Image,
    match: NDArray[np.float32],
    along: Image,
) -> tuple[np.float32, ...]:
    """Sum over a chunk of a row; `fixed` and `moving` have one more pixel on each side.

    The sums are the common part, three powers of x for each of gy gy, gy gx, gx gx, and two powers for each gradient.
    """
    gain, offset = match[0], match[1]
    common = yy0 = yy1 = yy2 = yx0 = yx1 = yx2 = xx0 = xx1 = xx2 = y0 = y1 = x0 = x1 = _ZERO
    for k in range(len(weight)):
        x = along[k]
        w = weight[k] * outlier[k] * outlier[k]
        residual = w * (gain * moving[k + 1] + offset - fixed[k + 1])
        gy, gx = _HALF * (fixed_below[k] - fixed_above[k]), _HALF * (fixed[k + 2] - fixed[k])
        wy, wx = w * gy, w * gx
        common += wy * (moving_below[k] - moving_above[k]) + wx * (moving[k + 2] - moving[k])
        yy, yx, xx, ry, rx = wy * gy, wy * gx, wx * gx, residual * gy, residual * gx
        yy0 += yy
        yy1 += yy * x
        yy2 += yy * x * x
        yx0 += yx
        yx1 += yx * x
        yx2 += yx * x * x
        xx0 += xx
        xx1 += xx * x
        xx2 += xx * x * x
        y0 += ry
        y1 += ry * x
        x0 += rx
        x1 += rx * x
    return _HALF * common, yy0, yy1, yy2, yx0, yx1, yx2, xx0, xx1, xx2, y0, y1, x0, x1


@compiled  # type: ignore[untyped-decorator]
def sum_tiles(
    fixed: Image,
    moving: Image,
    weight: Image,
    intervals: Intervals,
    match: NDArray[np.float32],
    outlier: Image,
    down: NDArray[np.float64],
    along: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """Add the gradients of `sum_normal` to those of each tile: (tiles, tiles, 2, 2, 2); the weights of outliers are read."""
    rows, columns = fixed.shape
    tiles = len(sums)
    for y in range(1, rows - 1):
        w = weight[min(y, len(weight) - 1)]
        for tile in range(tiles):
            first = max(intervals[y, 0], -(-tile * columns // tiles), 1)
            last = min(intervals[y, 1], -(-(tile + 1) * columns // tiles), columns - 1)
            for start in range(first, last, CHUNK):
                stop = min(start + CHUNK, last)
                part = _sum_gradients(
                    fixed[y - 1, start:stop],
                    fixed[y, start - 1 : stop + 1],
                    fixed[y + 1, start:stop],
                    moving[y, start:stop],
                    w[start:stop],
                    outlier[y, start:stop],
                    match,
                    along[start:stop],
                )
                for k in range(4):
                    sums[y * tiles // rows, tile, k // 2, 0, k % 2] += part[k]
                    sums[y * tiles // rows, tile, k // 2, 1, k % 2] += part[k] * down[y]


@compiled  # type: ignore[untyped-decorator]
def _sum_gradients(
    above: Image,
    fixed: Image,
    below: Image,
    moving: Image,
    weight: Image,
    outlier: Image,
    match: NDArray[np.float32],
    along: Image,
) -> tuple[np.float32, ...]:
    gain, offset = match[0], match[1]
    y0 = y1 = x0 = x1 = _ZERO
    for k in range(len(weight)):
        residual = weight[k] * outlier[k] * outlier[k] * (gain * moving[k] + offset - fixed[k + 1])
        ry = residual * _HALF * (below[k] - above[k])
        rx = residual * _HALF * (fixed[k + 2] - fixed[k])
        y0 += ry
        y1 += ry * along[k]
        x0 += rx
        x1 += rx * along[k]
    return y0, y1, x0, x1
