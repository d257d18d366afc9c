"""Noise variance as a function of grey value, estimated from the acquisition itself."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

# Side of the squares in which variances are measured: 80 degrees of freedom, and wider than noise is correlated.
_SIDE = 9
# Fraction of the squares, at each grey value, taken as free of structure. With 5 %, five trainings on the phantom gave
# 0.96 to 1.02 times the true variance at grey value 128; with 10 % they gave 1.06 times.
_QUIET_FRACTION = 0.05
# Neighbouring squares overlap, so every third one along both axes is enough.
_STRIDE = 3
# Rounding to whole grey values alone gives a variance of 1/12; squares far below were never acquired, such as padding.
_NOT_ACQUIRED = 1e-3
_MAX_BINS = 12
_BIN_SQUARES = 50


class NoiseModel(BaseModel):
    """Noise variance as a straight line in the grey value: read noise, and shot noise that grows with the signal.

    With inverted contrast, usual for FIB-SEM, more signal gives a darker pixel and the line falls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    constant: float = Field(description="Variance at grey value 0, in squared grey values.")
    gain: float = Field(description="Change of the variance per grey value, in squared grey values.")
    floor: float = Field(gt=0.0, description="Lower limit of the variance, in squared grey values.")

    def variance(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the noise variance at these noise-free grey values."""
        line: NDArray[np.float32] = signal * np.float32(self.gain)
        line += np.float32(self.constant)
        np.maximum(line, np.float32(self.floor), out=line)
        return line


def fit_noise(pairs: Iterable[tuple[NDArray[Any], NDArray[np.float32]]]) -> NoiseModel:
    """Fit the noise variance to pieces of an acquisition and their prediction by a blind-spot network.

    The prediction is smooth where the image is smooth. There, in squares of 9 x 9 pixels, the noise variance is the
    variance of the measured grey values minus that of the predicted ones, even if neighbouring pixels share noise. The
    squares are sorted into bins of grey value; in each bin the median of the smoothest 5 % is taken, and a straight line
    is fitted through the bins (Foi et al. 2008 fit the same line to the wavelet coefficients of smooth regions).

    The estimate is too high where the prediction is smooth but the image is not, as after too short a training.

    Parameters
    ----------
    pairs
        Measured and predicted (Y, X) grey values.
    """
    levels, noises, structures = (
        np.concatenate(values) for values in zip(*(_measure_squares(o, p) for o, p in pairs), strict=True)
    )
    bins = int(np.clip(levels.size * _QUIET_FRACTION // _BIN_SQUARES, 1, _MAX_BINS))
    edges = np.quantile(levels, np.linspace(0, 1, bins + 1))
    members = np.clip(np.searchsorted(edges, levels, side="right") - 1, 0, bins - 1)
    points = [
        _smoothest(levels[members == i], noises[members == i], structures[members == i])
        for i in range(bins)
        if np.any(members == i)
    ]
    return _fit_line(*np.transpose(points))


def _measure_squares(
    observed: NDArray[Any], predicted: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Measure grey value, noise variance and structure variance in squares of the image."""
    level, structure = _mean_and_variance(predicted)
    _, total = _mean_and_variance(observed)
    measured = total > _NOT_ACQUIRED
    if not measured.any():
        measured[:] = True
    return level[measured], (total - structure)[measured], structure[measured]


def _mean_and_variance(image: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute mean and unbiased variance in the squares that lie inside an image; in a small image, in all squares."""
    values = image.astype(np.float64)
    margin = slice(_SIDE // 2, -(_SIDE // 2), _STRIDE)
    inside = (margin, margin) if min(values.shape) >= 2 * _SIDE else (slice(None), slice(None))
    mean = ndimage.uniform_filter(values, _SIDE)
    variance = ndimage.uniform_filter(np.square(values), _SIDE) - np.square(mean)
    return mean[inside].ravel(), variance[inside].ravel() * (_SIDE**2 / (_SIDE**2 - 1))


def _smoothest(
    levels: NDArray[np.float64], noises: NDArray[np.float64], structures: NDArray[np.float64]
) -> tuple[float, float]:
    """Return mean grey value and median noise variance of the squares with the least structure."""
    quiet = structures <= np.quantile(structures, _QUIET_FRACTION)
    return float(levels[quiet].mean()), float(np.median(noises[quiet]))


def _fit_line(levels: NDArray[np.float64], variances: NDArray[np.float64]) -> NoiseModel:
    """Fit a straight line through the bins; its lower limit is half the smallest variance of a bin."""
    variances = np.maximum(variances, 1e-6)
    spread = levels - levels.mean()
    gain = float(spread @ variances / (spread @ spread)) if np.ptp(levels) > 0 else 0.0
    return NoiseModel(
        constant=float(variances.mean() - gain * levels.mean()),
        gain=gain,
        floor=float(variances.min() / 2),
    )
