"""Compiled steps between the coarse grids of the stripe filter and the pixels of a slice, on one thread."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.compiled_loops import compiled

Image = NDArray[np.float32]
Places = NDArray[np.int64]


@compiled  # type: ignore[untyped-decorator]
def thin_rows(image: Image, step: int, rows: Places, columns: Places, out: Image) -> None:
    """Average rows with triangular weights about every `step`-th one.

    Parameters
    ----------
    image : (Y, X) ndarray of float32
    step
        Half the base of the triangle, in pixels.
    rows : (Y', 2 step - 1) ndarray of int64
        Rows that are averaged.
    columns : (X',) ndarray of int64
        Column of the slice at each column of the grid.
    out : (Y', X') ndarray of float32
    """
    average = np.empty(image.shape[1], np.float32)
    for y in range(len(rows)):
        average[:] = np.float32(0.0)
        for k in range(rows.shape[1]):
            _add(image[rows[y, k]], np.float32((step - abs(k - step + 1)) / step**2), average)
        for x in range(len(columns)):
            out[y, x] = average[columns[x]]


@compiled  # type: ignore[untyped-decorator]
def _add(row: Image, weight: float, total: Image) -> None:
    for x in range(len(row)):
        total[x] += weight * row[x]


@compiled  # type: ignore[untyped-decorator]
def thin_columns(image: Image, step: int, rows: Places, columns: Places, margin: int, out: Image) -> None:
    """Average columns with triangular weights about every `step`-th one: `thin_rows` of the transposed slice.

    `rows` is (Y',), `columns` (X', 2 step - 1); consecutive elements of `columns` are `step` pixels apart, before
    mirroring, and the first `margin` lie before the slice.
    """
    count = len(columns)
    padded = np.empty((count + 1) * step, np.float32)
    start = step * margin + step - 1
    stop = start + image.shape[1]
    done = np.full(image.shape[0], -1, np.int64)
    for y in range(len(rows)):
        if done[rows[y]] >= 0:
            out[y] = out[done[rows[y]]]
            continue
        done[rows[y]] = y
        row = image[rows[y]]
        for x in range(start):
            padded[x] = row[columns[x // step, x % step]]
        padded[start:stop] = row
        for x in range(stop, count * step):
            padded[x] = row[columns[x // step, x % step]]
        for k in range(step - 1):
            padded[count * step + k] = row[columns[count - 1, step + k]]
        if step == 4:
            _thin_by_four(padded, out[y])
            continue
        for x in range(count):
            total = np.float32(0.0)
            for k in range(2 * step - 1):
                total += np.float32((step - abs(k - step + 1)) / step**2) * padded[x * step + k]
            out[y, x] = total


@compiled  # type: ignore[untyped-decorator]
def _thin_by_four(p: Image, out: Image) -> None:
    two, three, four, unit = np.float32(2.0), np.float32(3.0), np.float32(4.0), np.float32(1.0 / 16.0)
    for x in range(len(out)):
        k = 4 * x
        ends = p[k] + p[k + 6]
        near = three * (p[k + 2] + p[k + 4]) + four * p[k + 3]
        out[x] = unit * (ends + two * (p[k + 1] + p[k + 5]) + near)


@compiled  # type: ignore[untyped-decorator]
def subtract(image: Image, step: int, upright: Image, level: Image) -> None:
    """Subtract two grids from a slice in place, one interpolated between its rows, the other between its columns.

    Parameters
    ----------
    image : (Y, X) ndarray of float32
    step
        Pixels between rows of the first grid, and between columns of the second.
    upright : (ceil(Y / step) + 1, X) ndarray of float32
    level : (Y, ceil(X / step) + 1) ndarray of float32
    """
    rows, columns = image.shape
    left = np.empty(columns, np.float32)
    for y in range(rows):
        part = np.float32((y % step) / step)
        _subtract_between(image[y], upright[y // step], upright[y // step + 1], part, left)
        coarse, row = level[y], image[y]
        whole = columns // step
        if step == 4:
            _subtract_by_four(left, coarse, whole, row)
        else:
            whole = 0
        for x in range(whole * step, columns):
            here = coarse[x // step]
            row[x] = left[x] - (here + np.float32((x % step) / step) * (coarse[x // step + 1] - here))


@compiled  # type: ignore[untyped-decorator]
def _subtract_between(row: Image, above: Image, below: Image, part: float, out: Image) -> None:
    for x in range(len(out)):
        out[x] = row[x] - (above[x] + part * (below[x] - above[x]))


@compiled  # type: ignore[untyped-decorator]
def _subtract_by_four(row: Image, coarse: Image, whole: int, out: Image) -> None:
    quarter, half = np.float32(0.25), np.float32(0.5)
    for x in range(whole):
        k, here = 4 * x, coarse[x]
        rise = quarter * (coarse[x + 1] - here)
        out[k] = row[k] - here
        out[k + 1] = row[k + 1] - (here + rise)
        out[k + 2] = row[k + 2] - (here + half * (coarse[x + 1] - here))
        out[k + 3] = row[k + 3] - (coarse[x + 1] - rise)
