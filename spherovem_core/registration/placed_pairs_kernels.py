"""Compiled sums over the overlap of two slices as placed: one pass over the rows, on one thread."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.normal_equations_kernels import Image, Intervals, sample_row

# Sums in a fixed order: reordered ones differ in the last digit between a process that compiles and one that loads the cache.
_compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled  # type: ignore[untyped-decorator]
def overlap_sums(
    fixed: Image, moving: Image, matrix: Matrix, intervals: Intervals, sums: NDArray[np.float64]
) -> None:
    """Sum 1, a, b, aa, bb and ab over the pixels of the intervals; b is the moving slice at ``matrix @ (y, x, 1)``."""
    warped = np.empty(fixed.shape[1], np.float32)
    sums[:] = 0.0
    for y in range(fixed.shape[0]):
        first, last = intervals[y]
        if first >= last:
            continue
        start_y = matrix[0, 0] * y + matrix[0, 1] * first + matrix[0, 2]
        start_x = matrix[1, 0] * y + matrix[1, 1] * first + matrix[1, 2]
        sample_row(moving, start_y, matrix[0, 1], start_x, matrix[1, 1] - 1.0, warped[first:last])
        row = _row_sums(fixed[y, first:last], warped[first:last])
        sums[0] += last - first
        for k in range(5):
            sums[k + 1] += row[k]


@_compiled  # type: ignore[untyped-decorator]
def _row_sums(a: Image, b: Image) -> tuple[np.float32, ...]:
    sum_a = sum_b = power_a = power_b = cross = np.float32(0.0)
    for x in range(len(a)):
        sum_a += a[x]
        sum_b += b[x]
        power_a += a[x] * a[x]
        power_b += b[x] * b[x]
        cross += a[x] * b[x]
    return sum_a, sum_b, power_a, power_b, cross
