"""Affine maps between slices: (2, 3) float64 matrices that act on pixel coordinates (y, x, 1)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

IDENTITY: Matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def homogeneous(matrices: ArrayLike) -> Matrix:
    """Append the row (0, 0, 1): (..., 2, 3) becomes (..., 3, 3)."""
    top = np.asarray(matrices, dtype=np.float64)
    bottom = np.broadcast_to(np.array([0.0, 0.0, 1.0]), (*top.shape[:-2], 1, 3))
    stacked: Matrix = np.concatenate([top, bottom], axis=-2)
    return stacked


def compose(outer: ArrayLike, inner: ArrayLike) -> Matrix:
    """Compose maps: `inner` first, then `outer`; leading axes broadcast."""
    product: Matrix = np.asarray(outer, dtype=np.float64) @ homogeneous(inner)
    return product


def invert(matrices: ArrayLike) -> Matrix:
    """Invert the maps of (..., 2, 3) matrices."""
    inverse = np.linalg.inv(homogeneous(matrices))
    return inverse[..., :2, :].astype(np.float64, copy=False)


def shift_matrix(shift_y: float, shift_x: float) -> Matrix:
    """Make the map that adds (shift_y, shift_x)."""
    return np.array([[1.0, 0.0, shift_y], [0.0, 1.0, shift_x]])


def slice_centre(shape: Sequence[int]) -> NDArray[np.float64]:
    """Compute the coordinates (y, x) of the centre of a (Y, X) slice; they lie between pixels if a side is even."""
    return (np.asarray(shape[-2:], dtype=np.float64) - 1.0) / 2.0


def rotation_matrix(degrees: float, shape: Sequence[int]) -> Matrix:
    """Make a rotation about the centre of a slice, positive from the y axis towards the x axis."""
    angle = np.deg2rad(degrees)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = slice_centre(shape)
    return np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)


def rotation_degrees(matrices: ArrayLike) -> NDArray[np.float64]:
    """Measure the rotation of each map: that of the nearest similarity, with the sign of `rotation_matrix`."""
    m = np.asarray(matrices, dtype=np.float64)
    degrees: NDArray[np.float64] = np.rad2deg(
        np.arctan2(m[..., 1, 0] - m[..., 0, 1], m[..., 0, 0] + m[..., 1, 1])
    )
    return degrees


def centre_shift(matrices: ArrayLike, shape: Sequence[int]) -> NDArray[np.float64]:
    """Measure how far each map moves the centre of the slice: (..., 2) in pixels (y, x)."""
    m = np.asarray(matrices, dtype=np.float64)
    centre = slice_centre(shape)
    shift: NDArray[np.float64] = m @ np.append(centre, 1.0) - centre
    return shift


def nearest_rigid(matrices: ArrayLike, shape: Sequence[int]) -> Matrix:
    """Replace the linear part of each map by the nearest rotation and keep where the centre of the slice goes."""
    m = np.asarray(matrices, dtype=np.float64)
    u, _, vt = np.linalg.svd(m[..., :2])
    rotation = u @ vt
    centre = slice_centre(shape)
    at_centre = m @ np.append(centre, 1.0)
    rigid: Matrix = np.concatenate([rotation, (at_centre - rotation @ centre)[..., None]], -1)
    return rigid


def rms_displacement(difference: ArrayLike, shape: Sequence[int]) -> NDArray[np.float64]:
    """Compute the root mean square of the displacement ``difference @ (y, x, 1)`` over all pixels of a slice.

    The mean square is the square of the displacement of the centre plus the linear part times the variances of the
    coordinates, because y and x are uncorrelated over a slice.

    Parameters
    ----------
    difference : (..., 2, 3) array
        Difference of two maps.
    shape : (Y, X)
        The slice.

    Returns
    -------
    (...) ndarray
        In pixels.
    """
    d = np.asarray(difference, dtype=np.float64)
    at_centre = d @ np.append(slice_centre(shape), 1.0)
    variance = (np.asarray(shape[-2:], dtype=np.float64) ** 2 - 1.0) / 12.0
    mean_square = (at_centre**2).sum(-1) + (d[..., :2] ** 2 * variance).sum((-2, -1))
    rms: NDArray[np.float64] = np.sqrt(mean_square)
    return rms


def scale_coordinates(factor: float) -> Matrix:
    """Make the map from pixel coordinates of a slice binned by `factor` to those of the slice itself."""
    offset = (factor - 1.0) / 2.0
    return np.array([[factor, 0.0, offset], [0.0, factor, offset]])


def to_level(matrices: ArrayLike, factor: float) -> Matrix:
    """Convert full-resolution maps to pixels of slices binned by `factor`."""
    scale = scale_coordinates(factor)
    return compose(invert(scale), compose(matrices, scale))


def from_level(matrices: ArrayLike, factor: float) -> Matrix:
    """Convert maps between binned slices to full-resolution pixels, the inverse of `to_level`."""
    scale = scale_coordinates(factor)
    return compose(scale, compose(matrices, invert(scale)))
