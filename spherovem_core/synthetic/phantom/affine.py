"""Affine maps of pixel coordinates (y, x, 1), as (2, 3) matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def invert_affine(matrix: Matrix) -> Matrix:
    """Invert a map."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.hstack([linear, -linear @ matrix[:, 2:]])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """Compute the map that applies `inner`, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def about_centre(shift: Matrix, angle: float, stretch: Matrix, shape: tuple[int, int]) -> Matrix:
    """Compose the map that stretches and turns about the centre of a slice, then shifts.

    Parameters
    ----------
    shift : (2,) ndarray
        In pixels along y and x.
    angle : float
        In radians.
    stretch : (2, 2) ndarray
        Deviation of the stretch from the identity.
    shape : tuple of int
        Rows and columns of the slice.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ (np.eye(2) + stretch)
    centre = (np.array(shape) - 1) / 2
    return np.column_stack([linear, centre - linear @ centre + shift])
