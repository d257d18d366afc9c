"""Slow trend of the maps of a stack, and its removal from the correction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from spherovem_core.registration.affine import (
    IDENTITY,
    Matrix,
    compose,
    invert,
    shift_matrix,
    slice_centre,
)
from spherovem_core.registration.jumps import NOISE_FLOOR_PX, Jumps
from spherovem_core.registration.series_noise import NORMAL_MAD
from spherovem_core.registration.smooth_trend import local_lines, smooth_trend

DOUBTFUL_ERRORS = 3.0
"""Square of the number of standard errors up to which a lean is taken for one that jitter makes."""
FEW_SLICES = 8


@dataclass(frozen=True)
class SlowChange:
    """Slow change of the maps of a stack.

    Attributes
    ----------
    maps : (Z, 2, 3) ndarray
        Slow part of the maps that is left as acquired.
    drift_px : (Z, 2) ndarray
        Slow trend of the shift of the centre (y, x), whether it is left as acquired or not.
    lean_error_px : (2,) ndarray
        Standard error of the mean slope of that trend (y, x) per slice, as far as jitter causes it.
    """

    maps: Matrix
    drift_px: NDArray[np.float64]
    lean_error_px: NDArray[np.float64]


def slow_change(
    maps: Matrix,
    shape: Sequence[int],
    trend_slices: float,
    deformation_trend_slices: float | None,
    jumps: Jumps,
    keep_position: bool,
) -> SlowChange:
    """Find the part of maps without jumps that is left as acquired.

    Cells that grow and shrink through the stack seem to stretch consecutive slices by about 0.1 %. In a chain that adds up
    to several pixels within a few dozen slices, whereas scale and rotation of a microscope do not drift but only jitter: so the
    slow trend of the deformation is taken for tissue. So is that of the position, if one assumes that the stage does not
    drift: it is the lean of the tissue.

    Parameters
    ----------
    maps : (Z, 2, 3) ndarray
        Reference to slice coordinates, without the jumps.
    shape : (Y, X)
        Shape of a slice.
    trend_slices
        Window of the trend of the position of the centre in slices.
    deformation_trend_slices
        The same for rotation, scale and shear; None leaves only their mean over the nominal slices.
    jumps
        Jumps that the maps are without. The mean scale, turn and shear of the nominal slices are those of the frame; wild
        slices have no influence.
    keep_position
        Whether the trend of the position is left as acquired, or only stated.
    """
    centre = shift_matrix(*slice_centre(shape))
    radius = float(np.hypot(shape[-2], shape[-1])) / np.sqrt(12.0)
    at_centre = compose(invert(centre), compose(maps, centre))
    linear = at_centre[:, :, :2].reshape(-1, 4)
    if deformation_trend_slices is None:
        kept = np.broadcast_to(np.median(linear[jumps.nominal], axis=0), linear.shape)
    else:
        window, floor = deformation_trend_slices, NOISE_FLOOR_PX / radius
        kept = smooth_trend(linear, window, jumps.bent, jumps.deformed, floor).values
    position, steps = at_centre[:, :, 2], jumps.shifted
    drift, errors = _trend_with_sure_lean(position, trend_slices, jumps.astray, steps)
    left = drift if keep_position else np.zeros_like(position)
    slow = np.concatenate([kept.reshape(-1, 2, 2), left[:, :, None]], axis=-1)
    return SlowChange(compose(centre, compose(slow, invert(centre))), drift, errors)


def slow_trend(transforms: Matrix, trend_slices: float) -> Matrix:
    """Compute the part of the maps that changes more slowly than `trend_slices`.

    Every element is smoothed along z by local straight lines with Gaussian weights (Cleveland 1979), whose standard
    deviation is a third of `trend_slices`. Lines keep a steady lean unchanged up to the ends of the stack.

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
    return IDENTITY + _robust_lines(elements, trend_slices).reshape(-1, 2, 3)


def _trend_with_sure_lean(
    values: NDArray[np.float64], trend_slices: float, without: NDArray[np.bool_], steps: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the slow trend of (n, k) values, and the standard error of its mean slope by jitter.

    The trend of a short stack follows its jitter. Its mean slope b with the standard error e is therefore reduced to
    b (1 - 9 e⁴ / b⁴), or to 0, a compromise of the thresholds of Gao (1998): a lean that stands out from jitter stays, less
    e / 3 at b = 3 e and hardly less beyond, and one that jitter alone would make is none. In 20 slices with a jitter of
    1 px, e is 0.04 px a slice.

    References
    ----------
    H.-Y. Gao, "Wavelet shrinkage denoising using the non-negative garrote", *Journal of Computational and Graphical
    Statistics* 7, 469-488 (1998).
    """
    if len(values) < 3:
        return np.broadcast_to(values.mean(0), values.shape), np.full(values.shape[1], np.inf)
    found = smooth_trend(values, trend_slices, without, steps, NOISE_FLOOR_PX)
    trend = found.values
    z = np.arange(len(values)) - (len(values) - 1) / 2.0
    levels = np.stack([np.ones_like(z), *((np.arange(len(z)) >= step) + 0.0 for step in steps)], 1)
    residual = np.abs(values - trend - levels[:, 1:] @ found.heights)
    free = max(len(z) - 1.0 - levels.shape[1], 1.0)
    if len(z) < FEW_SLICES:
        # Lines through few slices pass through most of them, so that the median would be 0.
        jitter = np.sqrt((residual**2).sum(0) / free)
    else:
        usual = np.median(residual[~without | without.all()], axis=0)
        jitter = NORMAL_MAD * usual * np.sqrt(len(z) / free)
    # Few residuals tell little about the jitter, so that the error is widened by Student's t: in 3 slices to 6 times.
    # What of the slope the levels between steps explain, too, tells nothing of it.
    alone = z - levels @ np.linalg.lstsq(levels, z, rcond=None)[0]
    error = jitter / np.sqrt((alone**2).sum()) * stdtrit(free, 0.975) / stdtrit(np.inf, 0.975)
    slope = z @ trend / (z**2).sum()
    doubt = np.minimum((DOUBTFUL_ERRORS * error**2 / np.maximum(slope**2, 1e-300)) ** 2, 1.0)
    return trend - z[:, None] * (slope * doubt), error


def _robust_lines(values: NDArray[np.float64], trend_slices: float) -> NDArray[np.float64]:
    """Fit a straight line to each neighbourhood of (n, k) values and return its value at the centre.

    Two rounds with the bisquare weights of Cleveland follow the first fit, so that an outlier slice has no influence.
    """
    smooth = local_lines(values, trend_slices, np.ones_like(values))
    for _ in range(2):
        residual = np.abs(values - smooth)
        usual = 6.0 * np.median(residual, axis=0)
        weights = np.clip(1.0 - (residual / np.where(usual > 0.0, usual, np.inf)) ** 2, 1e-6, None) ** 2
        smooth = local_lines(values, trend_slices, weights)
    return smooth
