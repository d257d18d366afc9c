"""Slow trend of the maps of a stack, and its removal from the correction."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import IDENTITY, Matrix, centre_shift, compose, invert, slice_centre


def slow_trend(transforms: Matrix, trend_slices: float) -> Matrix:
    """Compute the part of the maps that changes more slowly than `trend_slices`.

    Every element is smoothed along z by local straight lines with Gaussian weights (Cleveland 1979), whose standard
    deviation is a third of `trend_slices`. Lines keep a steady lean unchanged up to the ends of the stack. In a stack of
    fewer than half of `trend_slices` the trend is the median, because a line through a dozen slices follows their jitter
    and not their lean.

    Parameters
    ----------
    transforms : (n, 2, 3) ndarray
        Reference to slice coordinates.
    trend_slices
        Length of the window in slices.

    Returns
    -------
    (n, 2, 3) ndarray
    """
    elements = (transforms - IDENTITY).reshape(len(transforms), 6)
    return IDENTITY + _local_lines(elements, trend_slices).reshape(-1, 2, 3)


def remove_trend(transforms: Matrix, trend_slices: float) -> Matrix:
    """Leave the slow trend of the slices as acquired, so that the maps correct jitter only.

    This assumes that the microscope stage does not drift: a slow change of position is then the lean of the tissue.
    """
    return compose(transforms, invert(slow_trend(transforms, trend_slices)))


def remove_deformation_trend(transforms: Matrix, trend_slices: float, shape: Sequence[int]) -> Matrix:
    """Leave the slow trend of rotation, scale and shear as acquired, and correct the whole shift of the centre.

    Cells that grow and shrink through the stack seem to stretch consecutive slices by about 0.1 %. In a chain that adds up
    to several pixels within a few dozen slices, whereas scale and rotation of a microscope do not drift but only jitter.
    """
    trend = slow_trend(transforms, trend_slices)
    centre = slice_centre(shape)
    linear = trend[..., :2]
    about_centre = np.concatenate([linear, (centre - linear @ centre)[..., None]], axis=-1)
    return compose(transforms, invert(about_centre))


def centre_drift(transforms: Matrix, trend_slices: float, shape: Sequence[int]) -> NDArray[np.float64]:
    """Compute the slow trend of the shift of the centre of the slices: (n, 2) in pixels (y, x)."""
    return _local_lines(centre_shift(transforms, shape), trend_slices)


def _local_lines(values: NDArray[np.float64], trend_slices: float) -> NDArray[np.float64]:
    """Fit a weighted straight line to each neighbourhood of (n, k) values and return its value at the centre.

    Two rounds with the bisquare weights of Cleveland follow the first fit, so that an outlier slice has no influence.
    """
    if len(values) < trend_slices / 2.0:
        return np.broadcast_to(np.median(values, axis=0), values.shape)
    deviation = trend_slices / 3.0
    weights = np.ones_like(values)
    smooth = _weighted_lines(values, weights, deviation)
    for _ in range(2):
        residual = np.abs(values - smooth)
        usual = 6.0 * np.median(residual, axis=0)
        weights = np.clip(1.0 - (residual / np.where(usual > 0.0, usual, np.inf)) ** 2, 1e-6, None) ** 2
        smooth = _weighted_lines(values, weights, deviation)
    return smooth


def _weighted_lines(
    values: NDArray[np.float64], weights: NDArray[np.float64], deviation: float
) -> NDArray[np.float64]:
    count = len(values)
    smooth = np.empty_like(values)
    reach = int(np.ceil(4.0 * deviation))
    for z in range(count):
        near = slice(max(0, z - reach), min(count, z + reach + 1))
        offset = np.arange(near.start, near.stop)[:, None] - z
        weight = weights[near] * np.exp(-0.5 * (offset / deviation) ** 2)
        s0, s1, s2 = ((weight * offset**power).sum(0) for power in range(3))
        determinant = s0 * s2 - s1 * s1
        level = (weight * values[near]).sum(0) / s0
        line = (weight * (s2 - s1 * offset) * values[near]).sum(0) / np.where(
            determinant > 0.0, determinant, 1.0
        )
        smooth[z] = np.where(determinant > 1e-9 * s0 * s0, line, level)
    return smooth
