"""What a blind-spot network predicts of a pixel, weighed against what was measured there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import Block, block_grid
from spherovem_core.denoising.noise import NoiseModel
from spherovem_core.denoising.prediction import SliceDenoiser

# Width in pixels of the mean that finds slow errors of a prediction, and of the neighbourhoods that tell the size of its slow
# and of its fast errors. On the phantom, 1.5 to 3 for the last differ by 0.2 dB, 2 to 5 for the first by 0.03 dB.
_SLOW = 2.0
_SLOW_AROUND = 4.0
_FAST_AROUND = 2.5
_TRUNCATE = 3.0
# Relative standard errors of those mean squares for white noise. A Gaussian of width s averages 4 pi s² independent pixels,
# each of whose squares varies by twice its own square; local means are alike over their own width.
_SLOW_ERROR = (2 / (1 + 2 * (_SLOW_AROUND / _SLOW) ** 2)) ** 0.5
_FAST_ERROR = (2 / (4 * np.pi * _FAST_AROUND**2)) ** 0.5
# Of such an error this share must be exceeded before a prediction counts as wrong. Half of it takes 0.09 dB of noise on
# the phantom with doubled noise, and costs 0.08 dB at the edges of the phantom as it is.
_CAUTION = 0.5
# How far a pixel's result reaches: each filter's width, one after the other.
_HALO = sum(int(_TRUNCATE * sigma + 0.5) for sigma in (_SLOW, _SLOW_AROUND, _FAST_AROUND))
_ROWS = 256


@dataclass(frozen=True)
class PosteriorDenoiser:
    """A network whose prediction is weighed against the measured pixel; with no noise model, the prediction alone."""

    predict: SliceDenoiser
    noise: NoiseModel | None

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Denoise a (Y, X) slice of any type; the result is in the same grey values, float32."""
        predicted = self.predict(values)
        return (
            predicted
            if self.noise is None
            else posterior_mean(predicted, values, self.noise, self.predict.workers)
        )


def posterior_mean(
    predicted: NDArray[np.float32], observed: NDArray[Any], noise: NoiseModel, workers: int = 1
) -> NDArray[np.float32]:
    """Combine the predicted and the measured grey value of each pixel by their variances.

    A blind-spot network makes its prediction without the pixel itself, so that the errors of the two are independent:
    a prior from the surroundings and a likelihood from the measurement, whose posterior mean Krull et al. 2020 and Laine et
    al. 2019 take. Here both are Gaussian, and the prediction's error is a slow and a fast one. The residual's local mean shows
    the slow one, but for the noise that is left in a mean. The fast one is what the residual's mean square around the pixel
    has beyond the variance of the noise. Both are small in smooth regions, and large at edges and in textures that the
    network did not learn: there the measurement stays. Where the prediction is nearly perfect, not to know it costs up to
    2 % of the noise's variance.

    Parameters
    ----------
    predicted : (Y, X) ndarray of float32
        The network's output in grey values of `observed`.
    observed : (Y, X) ndarray
        Measured grey values.
    noise
        Variance of the noise.
    workers
        Threads, each with rows of its own; their number does not change the result.

    Returns
    -------
    (Y, X) ndarray of float32
        Grey values of `observed`. Where the noise explains the residual this is the prediction.
    """
    combined = np.empty_like(predicted)

    def combine_rows(rows: Block) -> None:
        combined[rows.core] = _combine(predicted[rows.outer], observed[rows.outer], noise)[rows.inner]

    # Rows by rows, so that the temporary arrays of a slice of any size stay small.
    parts = block_grid(predicted.shape, (_ROWS, predicted.shape[1]), (_HALO, 0))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        list(pool.map(combine_rows, parts))
    return combined


def _combine(
    predicted: NDArray[np.float32], observed: NDArray[Any], noise: NoiseModel
) -> NDArray[np.float32]:
    measured_error = noise.variance(predicted)
    residual = observed - predicted
    slow = _smooth(residual, _SLOW)
    # Of independent pixels; where neighbours share noise the mean keeps more of it and is trusted too much.
    slow *= _prior_share(slow, measured_error / np.float32(4 * np.pi * _SLOW**2), _SLOW_AROUND, _SLOW_ERROR)
    residual -= slow
    residual *= _prior_share(residual, measured_error, _FAST_AROUND, _FAST_ERROR)
    residual += slow
    residual += predicted
    return residual


def _prior_share(
    residual: NDArray[np.float32], measured_error: NDArray[np.float32], around: float, relative_error: float
) -> NDArray[np.float32]:
    """Share of the prediction's error in the error of both, which the residual's mean square tells: 0 to 1."""
    prior_error = _smooth(np.square(residual), around)
    prior_error -= measured_error * np.float32(1 + _CAUTION * relative_error)
    np.maximum(prior_error, 0, out=prior_error)
    prior_error /= prior_error + measured_error
    return prior_error


def _smooth(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(image, sigma, truncate=_TRUNCATE)
    return smooth
