"""Autocorrelation of a residual, which shows structure that was removed with the noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAGS = (1, 2, 3)


def autocorrelation(residual: NDArray[Any], lags: Sequence[int] = LAGS) -> dict[str, list[float]]:
    """Correlate a residual with itself moved along y and along x.

    Noise that is independent from pixel to pixel gives 0. Structure that was removed with the noise gives values above
    0 that fall slowly with the lag. The noise of a scanning detector can itself be correlated along x.

    Parameters
    ----------
    residual : (Y, X) ndarray
        Noisy minus denoised.
    lags
        Distances in pixels, smaller than the residual's sides.

    Returns
    -------
    dict
        ``y`` and ``x``: a coefficient from -1 to 1 for each lag; 0 for a residual without variance.
    """
    centred = residual.astype(np.float32) - residual.mean(dtype=np.float64).astype(np.float32)
    variance = float(np.mean(np.square(centred), dtype=np.float64))
    if variance == 0.0:
        return {axis: [0.0 for _ in lags] for axis in ("y", "x")}

    def coefficient(ahead: NDArray[Any], behind: NDArray[Any]) -> float:
        return float(np.mean(ahead * behind, dtype=np.float64)) / variance

    return {
        "y": [coefficient(centred[lag:], centred[:-lag]) for lag in lags],
        "x": [coefficient(centred[:, lag:], centred[:, :-lag]) for lag in lags],
    }


def mean_autocorrelation(slices: Sequence[dict[str, list[float]]]) -> dict[str, list[float]]:
    """Average the coefficients of several slices, lag by lag."""
    return {
        axis: [float(v) for v in np.mean([s[axis] for s in slices], axis=0)] if slices else []
        for axis in ("y", "x")
    }
