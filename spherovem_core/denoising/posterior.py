"""Posterior mean of a pixel: the prediction of a blind-spot network weighed against the measured value."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.denoising.bands import BAND_ROWS, compute_in_bands
from spherovem_core.denoising.noise import NoiseModel
from spherovem_core.denoising.prediction import SliceDenoiser

# Gaussian widths in pixels: of the mean that finds slow errors of a prediction, and of the neighbourhoods in which the
# sizes of its slow and of its fast errors are measured. On the phantom, 1.5 to 3 for the last changes the PSNR by 0.2 dB,
# 2 to 5 for the first by 0.03 dB.
_SLOW = 2.0
_SLOW_AROUND = 4.0
_FAST_AROUND = 2.5
_TRUNCATE = 3.0
# Relative standard errors of those mean squares for white noise. A Gaussian of width s averages 4 pi s² independent pixels;
# the variance of a squared normal value is twice the square of its mean, and local means are correlated over their width.
_SLOW_ERROR = (2 / (1 + 2 * (_SLOW_AROUND / _SLOW) ** 2)) ** 0.5
_FAST_ERROR = (2 / (4 * np.pi * _FAST_AROUND**2)) ** 0.5
# A prediction counts as wrong only above this fraction of such an error. A half gains 0.09 dB on the phantom with doubled
# noise and loses 0.08 dB at the edges of the phantom with its usual noise.
_CAUTION = 0.5
# A pixel's result depends on pixels up to this distance: the three filters are applied one after the other.
_HALO = sum(int(_TRUNCATE * sigma + 0.5) for sigma in (_SLOW, _SLOW_AROUND, _FAST_AROUND))


@dataclass(frozen=True)
class PosteriorDenoiser:
    """Network whose prediction is weighed against the measured pixel; without a noise model, the prediction alone."""

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
    predicted: NDArray[np.float32],
    observed: NDArray[Any],
    noise: NoiseModel,
    workers: int = 1,
    band_rows: int = BAND_ROWS,
) -> NDArray[np.float32]:
    """Combine the predicted and the measured grey value of each pixel by their variances.

    A blind-spot network predicts a pixel without seeing it, so the errors of prediction and measurement are independent:
    the prediction gives a prior, the measurement a likelihood, and the result is the mean of the posterior (Krull et al.
    2020, Laine et al. 2019). Here both are Gaussian, and the error of the prediction is the sum of a slow and a fast
    error. The slow error is estimated by the local mean of the residual, after subtracting the noise left in such a mean;
    the fast error by the local mean square of the residual, after subtracting the noise variance. Both errors are small
    in smooth regions and large at edges and in textures that the network did not learn; there the measurement is kept.
    Where the prediction is nearly perfect, estimating its error costs up to 2 % of the noise variance.

    Parameters
    ----------
    predicted : (Y, X) ndarray of float32
        The network's output in grey values of `observed`.
    observed : (Y, X) ndarray
        Measured grey values.
    noise
        Variance of the noise.
    workers
        Threads; each computes its own rows, and their number does not change the result.
    band_rows
        Rows computed at a time, so that the temporary arrays stay small; they do not change the result.

    Returns
    -------
    (Y, X) ndarray of float32
        In grey values of `observed`. Where the noise explains the residual, this is the prediction.
    """
    return compute_in_bands(
        lambda after, before: _combine(after, before, noise), predicted, observed, _HALO, workers, band_rows
    )


def _combine(
    predicted: NDArray[np.float32], observed: NDArray[Any], noise: NoiseModel
) -> NDArray[np.float32]:
    measured_error = noise.variance(predicted)
    residual = observed - predicted
    slow = _smooth(residual, _SLOW)
    # Exact for noise of independent pixels; where neighbours share noise, the mean keeps more of it and is trusted too much.
    slow *= _prior_fraction(
        slow, measured_error / np.float32(4 * np.pi * _SLOW**2), _SLOW_AROUND, _SLOW_ERROR
    )
    residual -= slow
    residual *= _prior_fraction(residual, measured_error, _FAST_AROUND, _FAST_ERROR)
    residual += slow
    residual += predicted
    return residual


def _prior_fraction(
    residual: NDArray[np.float32], measured_error: NDArray[np.float32], around: float, relative_error: float
) -> NDArray[np.float32]:
    """Estimate the fraction of the squared residual that is the prediction's error and not noise, 0 to 1."""
    prior_error = _smooth(np.square(residual), around)
    prior_error -= measured_error * np.float32(1 + _CAUTION * relative_error)
    np.maximum(prior_error, 0, out=prior_error)
    prior_error /= prior_error + measured_error
    return prior_error


def _smooth(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(image, sigma, truncate=_TRUNCATE)
    return smooth
