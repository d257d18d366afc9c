"""Conversion of denoised grey values to uint8 with one map for the whole stack."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.denoising.grey_map import GreyMap

# Values kept of a sample: 400 of 4 million lie above the 99.99th percentile.
_SAMPLE_VALUES = 1 << 22


def subsample(values: NDArray[np.float32], slices: int) -> NDArray[np.float32]:
    """Keep every n-th pixel along both axes, so that this number of slices keeps at most 4 million values in all."""
    stride = max(1, int(np.ceil(np.sqrt(values.size * slices / _SAMPLE_VALUES))))
    return values[::stride, ::stride].ravel()


def to_uint8(values: NDArray[np.float32], grey_map: GreyMap) -> tuple[NDArray[np.uint8], float]:
    """Map grey values to levels, round, and clip the values outside the range.

    Returns
    -------
    (Y, X) ndarray of uint8
    fraction of the values that were clipped, 0 to 1
    """
    levels: NDArray[Any] = np.rint(grey_map.levels(values))
    clipped = np.count_nonzero((levels < 0) | (levels > 255)) / levels.size
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8), float(clipped)
