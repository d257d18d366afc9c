"""Random series over slices, for drifts of stage, beam and focus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Correlation length in slices of the slow part of every drift.
_SLOW_SLICES = 12.0


def slow_series(generator: np.random.Generator, count: int, channels: int) -> NDArray[np.float64]:
    """Draw smooth random series of unit variance, shape (count, channels)."""
    pad = int(4 * _SLOW_SLICES)
    white = generator.standard_normal((count + 2 * pad, channels))
    series = ndimage.gaussian_filter1d(white, _SLOW_SLICES, axis=0, mode="nearest")[pad : pad + count]
    return np.asarray(series * np.sqrt(2 * np.sqrt(np.pi) * _SLOW_SLICES))


def mixed_series(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Draw a series of unit variance, half of it slow and half of it independent in each slice."""
    return np.asarray(
        (slow_series(generator, count, 1)[:, 0] + generator.standard_normal(count)) / np.sqrt(2)
    )
