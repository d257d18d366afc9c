"""Largest rectangle that every warped slice covers, computed from the maps alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import RegistrationError
from spherovem_core.registration.affine import Matrix, invert

EDGE_TOLERANCE_PX = 1e-6


class Rectangle(NamedTuple):
    """Half-open pixel ranges of the reference frame; they can begin below zero."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0


def largest_common_rectangle(transforms: Matrix, shape: Sequence[int]) -> Rectangle:
    """Find the largest axis-aligned rectangle of pixels that lie inside every slice.

    A pixel lies inside a slice if the map sends it between the centres of the outermost pixels of that slice. The pixels
    inside all slices form a convex polygon: each row of it is one interval, and the interval common to two rows lies
    inside all rows between them. So only the pair of rows must be chosen, which is done exactly.

    Parameters
    ----------
    transforms : (n, 2, 3) ndarray
        Reference to slice coordinates.
    shape : (Y, X)
        Shape of a slice.

    Returns
    -------
    Rectangle

    Raises
    ------
    RegistrationError
        If no pixel lies inside every slice.
    """
    maps = np.asarray(transforms, dtype=np.float64)
    first_row, low, high = _row_intervals(maps, shape)
    widths = high - low + 1
    usable = np.flatnonzero(widths > 0)
    if usable.size == 0:
        raise RegistrationError(
            f"the {len(maps)} aligned slices have no pixel in common, so at least one is misplaced by the size of a slice; "
            "look at the shifts in the slices table, lower max_shift_fraction or name the bad slices"
        )
    start = int(usable[0])
    low, high = low[start : usable[-1] + 1], high[start : usable[-1] + 1]
    top, bottom, left, right = _largest(low, high)
    return Rectangle(first_row + start + top, first_row + start + bottom + 1, left, right + 1)


def _row_intervals(maps: Matrix, shape: Sequence[int]) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Find the first and last column inside every slice, for each row that can have any."""
    corners = np.array([[y, x, 1.0] for y in (0, shape[-2] - 1) for x in (0, shape[-1] - 1)])
    rows = (invert(maps) @ corners.T)[:, 0]
    first, last = int(np.floor(rows.min(1).max())), int(np.ceil(rows.max(1).min()))
    y = np.arange(first, max(first, last) + 1, dtype=np.float64)
    low, high = np.full(len(y), -np.inf), np.full(len(y), np.inf)
    for matrix in maps:
        for axis in range(2):
            down, along, shift = matrix[axis]
            a, b = (
                -EDGE_TOLERANCE_PX - shift - down * y,
                shape[axis] - 1 + EDGE_TOLERANCE_PX - shift - down * y,
            )
            if abs(along) < 1e-12:
                outside = (a > 0.0) | (b < 0.0)
                low[outside], high[outside] = np.inf, -np.inf
            else:
                low = np.maximum(low, np.minimum(a / along, b / along))
                high = np.minimum(high, np.maximum(a / along, b / along))
    empty = ~(low <= high)
    low[empty], high[empty] = 0.0, -1.0
    return first, np.ceil(low).astype(np.int64), np.floor(high).astype(np.int64)


def _largest(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """Find the rows and columns, ends included, of the largest rectangle between convex bounds."""
    best, found = 0, (0, 0, int(low[0]), int(high[0]))
    count, widest = len(low), int((high - low).max()) + 1
    for top in range(count):
        if (count - top) * widest <= best:
            break
        left, right = np.maximum(low[top:], low[top]), np.minimum(high[top:], high[top])
        areas = np.maximum(right - left + 1, 0) * np.arange(1, count - top + 1)
        k = int(areas.argmax())
        if areas[k] > best:
            best, found = int(areas[k]), (top, top + k, int(left[k]), int(right[k]))
    return found
