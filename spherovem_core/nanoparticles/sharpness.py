"""Sharpness of outlines, and what it says: particles end sharply, whatever their shape; patches of the tissue fade."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_response import BallResponse
from spherovem_core.nanoparticles.piece_measures import contrast_of
from spherovem_core.spacing import SpacingNm, pixel_nm

# Slope of outlines relative to that of balls of the same width: mean and spread for particles, single or in clumps, and for
# patches of chromatin, lysosomes and maxima of the tissue's texture.
_PARTICLE, _OTHER = (0.95, 0.08), (0.70, 0.13)
# A slope beyond these says no more.
_LEAST, _MOST = 0.5, 1.0
# No outline says more than this, in natural logarithms.
_LOG_LIMIT = 20.0
# Narrower objects, in pixels, have too short an outline.
_FEWEST_PX = 3.0
# The slopes say half as much where the blur is assumed, where the border of the volume cuts an object that fades (it shows the
# middle of a particle, or its end), and where noise of the slope is this fraction of it.
_ASSUMED, _CUT, _NOISY = 0.5, 0.5, 0.3
# Median of the squared length of a plane vector of unit normal variables.
_MEDIAN_SQUARE = 2 * np.log(2)


def sharpness_odds(
    objects: pd.DataFrame, response: BallResponse, noise: float, spacing_nm: SpacingNm, measured: bool
) -> NDArray[np.float64]:
    """Compute the likelihood ratio of a sharp body to one that fades, from the slope of its outline.

    Parameters
    ----------
    objects
        One row per object with the columns of `PieceMeasures`.
    response
        Measures of balls.
    noise
        Standard deviation of the slope along an axis that comes from noise, in grey values per nm.
    spacing_nm
        Voxel size.
    measured
        False where the blur of the acquisition is assumed.

    Returns
    -------
    (N,) ndarray
        1 for objects that are too narrow to show it.
    """
    expected = response.slope_of(objects.section_nm.to_numpy(np.float64))
    # The length of a slope is longer by its noise.
    noisy = noise / np.maximum(contrast_of(objects), 1e-6) / expected
    found = (objects.slope.to_numpy(np.float64) / expected) ** 2 - _MEDIAN_SQUARE * noisy**2
    slope = np.clip(np.sqrt(np.maximum(found, 0.0)), _LEAST, _MOST)
    (mean, sd), (other, other_sd) = _PARTICLE, _OTHER
    away = 0.5 * ((slope - other) / other_sd) ** 2 - 0.5 * ((slope - mean) / sd) ** 2
    ratio = np.log(other_sd / sd) + away
    ratio *= (1.0 if measured else _ASSUMED) / (1 + (noisy / _NOISY) ** 2)
    shown = np.isfinite(slope) & (objects.section_nm.to_numpy() > _FEWEST_PX * pixel_nm(spacing_nm))
    ratio = np.where(objects.cut.to_numpy(np.bool_) & (ratio < 0), _CUT * ratio, ratio)
    return np.asarray(np.exp(np.clip(np.where(shown, ratio, 0.0), -_LOG_LIMIT, _LOG_LIMIT)))
