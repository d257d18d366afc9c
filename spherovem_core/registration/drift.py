"""The slow trend of a stack's maps, and what is left when it is taken for tissue instead of motion."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import IDENTITY, Matrix, centre_shift, compose, invert, slice_centre


def slow_trend(transforms: Matrix, trend_slices: float) -> Matrix:
    """Part of the maps that changes more slowly than `trend_slices`.

    Every element is smoothed along z by a local straight line with Gaussian weights (Cleveland 1979) whose
    standard deviation is a third of `trend_slices`; a line, so that a steady lean passes unchanged to the ends.
    A stack of fewer than half of `trend_slices` has only its median for a trend: a line through a dozen slices follows their
    jitter, not their lean.

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
    """Keep the slow trend of the slices as acquired: what remains corrects jitter only.

    Assumes that the stage is steady on average, so that a slow change of position is the tissue's own lean.
    """
    return compose(transforms, invert(slow_trend(transforms, trend_slices)))


def remove_deformation_trend(transforms: Matrix, trend_slices: float, shape: Sequence[int]) -> Matrix:
    """Keep the slow trend of rotation, scale and shear, and correct all of the shift of the centre.

    Cells that grow and shrink through the stack stretch consecutive slices against each other by a tenth of
    a percent. A chain adds that up to several pixels within a few dozen slices, while a microscope's
    own scale and rotation are steady and only jitter.
    """
    trend = slow_trend(transforms, trend_slices)
    centre = slice_centre(shape)
    linear = trend[..., :2]
    about_centre = np.concatenate([linear, (centre - linear @ centre)[..., None]], axis=-1)
    return compose(transforms, invert(about_centre))


def centre_drift(transforms: Matrix, trend_slices: float, shape: Sequence[int]) -> NDArray[np.float64]:
    """Slow trend of the shift of the slices' centre, (n, 2) in pixels (y, x)."""
    return _local_lines(centre_shift(transforms, shape), trend_slices)


def _local_lines(values: NDArray[np.float64], trend_slices: float) -> NDArray[np.float64]:
    """Value at its centre of a weighted straight line through each neighbourhood of (n, k) values.

    Two rounds of Cleveland's bisquare weights follow the first fit, so that a slice far off does not pull.
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
