"""Contrast of small objects that a denoiser lowered, given back where the measured pixels show it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.denoising.bands import BAND_ROWS, compute_in_bands
from spherovem_core.denoising.noise_measurement import MeasuredNoise

# Width of the Gaussian neighbourhood in which a contrast is measured, in pixels: a particle of three pixels and its surroundings.
_AROUND = 2.5
_TRUNCATE = 3.0
_HALO = int(_TRUNCATE * _AROUND + 0.5)
# A contrast whose relative standard error is this is given back by half. On the phantom with noise of sd 15, particles of three
# pixels keep 0.77 of their contrast without this step and 0.92 with it, at the same PSNR; 0.2 costs 0.1 dB.
_TRUSTED_ERROR = 0.15
# A mean residual of this many standard errors is given back by half.
_CERTAIN = 3.0
# Width of a small object, over which its pixels share correlated noise.
_SMALL = 1.0
_MOST = 1.0
"""A contrast is at most doubled."""


def return_contrast(
    denoised: NDArray[np.float32],
    observed: NDArray[Any],
    noise: MeasuredNoise,
    workers: int = 1,
    band_rows: int = BAND_ROWS,
) -> NDArray[np.float32]:
    """Raise the contrast of structures that the denoiser lowered.

    A denoiser that minimises the mean square error pulls rare structures, such as small particles, towards their
    surroundings: their shape is right, their contrast is too low. In the neighbourhood of each pixel the residual is
    regressed on the denoised image. The slope is the missing fraction of the contrast, measured with the structure's own
    shape as a matched filter (Deledalle et al. 2017 refit images in this way). The measured noise gives the standard error
    of the slope: that of strong structures is precise and is used in full, that of weak texture is ignored. The mean residual
    of the neighbourhood is given back where it is several times its standard error, as inside a particle of several pixels.

    Parameters
    ----------
    denoised, observed : (Y, X) ndarray
        Grey values after and before denoising.
    noise
        Noise of `observed`.
    workers
        Threads; their number does not change the result.
    band_rows
        Rows computed at a time; they do not change the result.

    Returns
    -------
    (Y, X) ndarray of float32
    """
    excess = shared_power(noise, _SMALL), shared_power(noise, _AROUND)
    return compute_in_bands(
        lambda after, before: _restore(after, before, noise, excess),
        denoised,
        observed,
        _HALO,
        workers,
        band_rows,
    )


def shared_power(noise: MeasuredNoise, width: float) -> float:
    """Return by which factor a Gaussian mean of this width keeps more of the noise than of independent noise: 1 to about 6."""
    independent = noise.model_copy(update={"kernel": ((1.0,),)})
    return kept_variance(noise, width) / kept_variance(independent, width)


def kept_variance(noise: MeasuredNoise, width: float) -> float:
    """Return the fraction of the variance of the noise that a Gaussian mean of this width keeps."""
    kernel = np.pad(noise.kernel_array, int(4 * width + 1))
    return float(np.square(ndimage.gaussian_filter(kernel, width)).sum())


def _restore(
    denoised: NDArray[np.float32], observed: NDArray[Any], noise: MeasuredNoise, excess: tuple[float, float]
) -> NDArray[np.float32]:
    # Relative to a grey value of the slice, so that float32 holds the differences of large squares.
    centre = np.float32(denoised.flat[0])
    level = denoised - centre
    residual = observed - denoised
    mean, mean_residual = _smooth(level), _smooth(residual)
    spread = np.maximum(_smooth(np.square(level)) - np.square(mean), np.float32(1e-6))
    slope = (_smooth(level * residual) - mean * mean_residual) / spread
    pixels = 4 * np.pi * _AROUND**2
    variance = noise.variance.variance(mean + centre) / np.float32(pixels)
    slope /= 1 + np.square(variance * np.float32(excess[0] / _TRUSTED_ERROR**2) / spread)
    np.clip(slope, 0, _MOST, out=slope)
    squared = np.maximum(np.square(mean_residual), np.float32(1e-12))
    mean_residual /= 1 + np.square(variance * np.float32(excess[1] * _CERTAIN**2) / squared)
    return np.asarray(denoised + slope * (level - mean) + mean_residual, np.float32)


def _smooth(image: NDArray[np.float32]) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(image, _AROUND, truncate=_TRUNCATE)
    return smooth
