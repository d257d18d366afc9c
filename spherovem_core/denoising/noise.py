"""How the variance of an acquisition's noise depends on its grey value, found from the acquisition itself."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

# Side of the square in which a variance is taken: 80 degrees of freedom, and wider than noise is correlated.
_SIDE = 9
# Share of the places, at each grey value, that count as free of structure. With it, five trainings on the phantom found
# 0.96 to 1.02 times the true variance at grey value 128; with 10 % it was 1.06 times.
_QUIET_SHARE = 0.05
# Squares overlap: every third one along both axes tells all.
_STRIDE = 3
# Rounding to whole grey values alone gives a twelfth: squares of less variance were never measured, as padding is.
_NOTHING = 1e-3
_MAX_BINS = 12
_BIN_PLACES = 50


class NoiseModel(BaseModel):
    """Variance of the noise as a straight line in the grey value: read noise, and shot noise that grows with the signal.

    Where contrast is inverted, as FIB-SEM is often shown, more signal is a darker pixel and the line falls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    constant: float = Field(description="Variance at grey value 0, in squared grey values.")
    gain: float = Field(description="Change of the variance, in squared grey values a grey value.")
    floor: float = Field(gt=0.0, description="The variance is nowhere less, in squared grey values.")

    def variance(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Variance of the noise on these noise-free grey values."""
        line: NDArray[np.float32] = signal * np.float32(self.gain)
        line += np.float32(self.constant)
        np.maximum(line, np.float32(self.floor), out=line)
        return line


def fit_noise(pairs: Iterable[tuple[NDArray[Any], NDArray[np.float32]]]) -> NoiseModel:
    """Fit the noise's variance on pieces of an acquisition and their prediction by a blind-spot network.

    A prediction is smooth where the image is. There, in squares of 9 pixels, the variance of the measured grey values
    less that of the predicted ones is the noise's, whether or not neighbouring pixels share it. Places are sorted into bins
    of grey value, the median of the quietest twentieth of each is taken, and a straight line goes through the bins (Foi et al.
    2008 fit the same line to the wavelet coefficients of smooth regions).

    The estimate is high where a prediction is smooth though the image is not, as after too short a training.

    Parameters
    ----------
    pairs
        Measured and predicted (Y, X) grey values.
    """
    levels, noises, structures = (
        np.concatenate(values) for values in zip(*(_places(o, p) for o, p in pairs), strict=True)
    )
    bins = int(np.clip(levels.size * _QUIET_SHARE // _BIN_PLACES, 1, _MAX_BINS))
    edges = np.quantile(levels, np.linspace(0, 1, bins + 1))
    members = np.clip(np.searchsorted(edges, levels, side="right") - 1, 0, bins - 1)
    points = [
        _quietest(levels[members == i], noises[members == i], structures[members == i])
        for i in range(bins)
        if np.any(members == i)
    ]
    return _line(*np.transpose(points))


def _places(
    observed: NDArray[Any], predicted: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Grey value, variance of the noise and variance of the structure in squares of the image."""
    level, structure = _mean_and_variance(predicted)
    _, total = _mean_and_variance(observed)
    measured = total > _NOTHING
    if not measured.any():
        measured[:] = True
    return level[measured], (total - structure)[measured], structure[measured]


def _mean_and_variance(image: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample mean and unbiased sample variance in the squares that lie wholly inside an image, or in all of a small one."""
    values = image.astype(np.float64)
    margin = slice(_SIDE // 2, -(_SIDE // 2), _STRIDE)
    inside = (margin, margin) if min(values.shape) >= 2 * _SIDE else (slice(None), slice(None))
    mean = ndimage.uniform_filter(values, _SIDE)
    variance = ndimage.uniform_filter(np.square(values), _SIDE) - np.square(mean)
    return mean[inside].ravel(), variance[inside].ravel() * (_SIDE**2 / (_SIDE**2 - 1))


def _quietest(
    levels: NDArray[np.float64], noises: NDArray[np.float64], structures: NDArray[np.float64]
) -> tuple[float, float]:
    quiet = structures <= np.quantile(structures, _QUIET_SHARE)
    return float(levels[quiet].mean()), float(np.median(noises[quiet]))


def _line(levels: NDArray[np.float64], variances: NDArray[np.float64]) -> NoiseModel:
    """Straight line through the bins; half the smallest variance that was seen is its lower end."""
    variances = np.maximum(variances, 1e-6)
    spread = levels - levels.mean()
    gain = float(spread @ variances / (spread @ spread)) if np.ptp(levels) > 0 else 0.0
    return NoiseModel(
        constant=float(variances.mean() - gain * levels.mean()),
        gain=gain,
        floor=float(variances.min() / 2),
    )
