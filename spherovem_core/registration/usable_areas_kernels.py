"""Compiled comparison of neighbourhoods of two slices: one pass over the compared pixels, without the interpreter lock."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.compiled_loops import compiled

Image = NDArray[np.float32]


@compiled  # type: ignore[untyped-decorator]
def compare(
    fixed: Image, moving: Image, matrix: NDArray[np.float64], stride: int, cell: int, out: Image
) -> None:
    """Average products of two slices over cells, at their estimated motion and at zero shift.

    Parameters
    ----------
    fixed, moving : (Y, X) ndarray of float32
    matrix : (2, 3) ndarray
        Estimated motion, fixed to moving.
    stride, cell
        Rows and columns from one compared pixel to the next; compared pixels along the side of a cell.
    out : (7, Y', X') ndarray of float32
        Means over the cell of ab, aa and bb at the motion, of the pixels inside the moving slice, and of ab, aa and bb at
        zero shift. Outside the moving slice, products at the motion count as 0.
    """
    rows, columns = -(-fixed.shape[0] // stride), -(-fixed.shape[1] // stride)
    bottom, right = moving.shape[0] - 1, moving.shape[1] - 1
    total = np.zeros(7, np.float32)
    for cell_y in range(out.shape[1]):
        first_y, last_y = cell_y * cell, min((cell_y + 1) * cell, rows)
        for cell_x in range(out.shape[2]):
            first_x, last_x = cell_x * cell, min((cell_x + 1) * cell, columns)
            total[:] = np.float32(0.0)
            for row in range(first_y, last_y):
                for column in range(first_x, last_x):
                    y, x = row * stride, column * stride
                    a, still = fixed[y, x], moving[y, x]
                    total[4] += a * still
                    total[5] += a * a
                    total[6] += still * still
                    at_y = matrix[0, 0] * y + matrix[0, 1] * x + matrix[0, 2]
                    at_x = matrix[1, 0] * y + matrix[1, 1] * x + matrix[1, 2]
                    if not (0.0 <= at_y <= bottom and 0.0 <= at_x <= right):
                        continue
                    above, left = min(int(at_y), bottom - 1), min(int(at_x), right - 1)
                    above, left = max(above, 0), max(left, 0)
                    below, beside = min(above + 1, bottom), min(left + 1, right)
                    down, along = np.float32(at_y - above), np.float32(at_x - left)
                    upper = moving[above, left] + along * (moving[above, beside] - moving[above, left])
                    lower = moving[below, left] + along * (moving[below, beside] - moving[below, left])
                    b = upper + down * (lower - upper)
                    total[0] += a * b
                    total[1] += a * a
                    total[2] += b * b
                    total[3] += np.float32(1.0)
            count = np.float32((last_y - first_y) * (last_x - first_x))
            for k in range(7):
                out[k, cell_y, cell_x] = total[k] / count


@compiled  # type: ignore[untyped-decorator]
def smooth_cells(cells: Image, rounds: int) -> None:
    """Average 3 x 3 cells with binomial weights several times, in place; edges are repeated."""
    rows, columns = cells.shape
    half, quarter = np.float32(0.5), np.float32(0.25)
    down = np.empty_like(cells)
    for _ in range(rounds):
        for y in range(rows):
            above, row, below = cells[max(y - 1, 0)], cells[y], cells[min(y + 1, rows - 1)]
            for x in range(columns):
                down[y, x] = quarter * (above[x] + below[x]) + half * row[x]
        for y in range(rows):
            row = down[y]
            for x in range(1, columns - 1):
                cells[y, x] = quarter * (row[x - 1] + row[x + 1]) + half * row[x]
            for x in (0, columns - 1):
                cells[y, x] = quarter * (row[max(x - 1, 0)] + row[min(x + 1, columns - 1)]) + half * row[x]
