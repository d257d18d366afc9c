"""Charging streaks: bright lines along a row, a few pixels high."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles.specimen.tiles import LINE
from spherovem_core.spacing import SpacingNm

CONTRASTS = 2.5
"""A streak's excess over the rows beside it, in units of the tissue's contrast (the root of its median structure).

Without streaks the excess over 0.7 µm reached 1.1 to 1.8 of it in six images, streaks had 6 to 10.
"""


LEAST_TILES = 6
"""A streak crosses at least so many tiles: fewer are bright by chance."""


def find_streaks(
    tiles: NDArray[np.float32], spacing_nm: SpacingNm, contrast: float, least_length_nm: float
) -> NDArray[np.bool_]:
    """Find tiles that a charging streak crosses.

    A streak is brighter than the rows three above and below, over `least_length_nm` along the row without a gap. Particles and
    droplets are as high as they are long, membranes are dark.

    Parameters
    ----------
    tiles : (Z, 3, Y, X) ndarray of float32
        Without gaps.
    spacing_nm
        Size of a tile.
    contrast
        Standard deviation of the tissue's grey values.
    """
    length = max(LEAST_TILES, round(least_length_nm / spacing_nm[2]))
    excess = tiles[:, LINE]
    if excess.shape[2] < length:
        return np.zeros(excess.shape, bool)
    weakest = ndimage.minimum_filter1d(excess, length, axis=2, mode="nearest")
    bright = weakest > CONTRASTS * contrast
    # The window of the maximum is that of the minimum turned about its tile, so that a streak keeps its length.
    return ndimage.maximum_filter1d(bright, length, axis=2, origin=0 if length % 2 else -1)
