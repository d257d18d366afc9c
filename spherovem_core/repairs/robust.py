"""Weights of robust fits."""

import numpy as np
from numpy.typing import NDArray

BIWEIGHT = 4.685
"""Standard deviations from which the biweight is 0: 95 % as efficient as least squares on normal errors."""


def robust_scale(residuals: NDArray[np.float64]) -> float:
    """Return the median size of residuals times 1.4826, which is the standard deviation of normal ones."""
    return 1.4826 * float(np.median(np.abs(residuals)))


def biweight(residuals: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Return Tukey's biweight of residuals: 1 for none, 0 from `limit` on."""
    return np.asarray(np.square(np.clip(1 - np.square(residuals / limit), 0, None)))
