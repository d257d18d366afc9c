"""Power spectra of small squares of an image, and the part of them that is noise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 16
"""Side of a square in pixels; correlations are measured up to `LONGEST_LAG`."""
LONGEST_LAG = 6
_STRIDE = 8
INDEPENDENT = 0.08
"""Correlations below this count as none: white noise on the phantom gave up to 0.03, texture up to 0.06. Negative ones count
as none too: the smoothest squares are chosen by their power at low frequencies, so correlated noise is measured too low there."""
# Frequencies, in periods per square, at which the optics leave little signal: 5/16 to 1/2 per pixel. On the phantom (texture of
# sd 4.5, correlated by 0.7 from pixel to pixel) the variance of noise of sd 6 is then measured to 16 %, and that of sd 15 to 1 %.
_HIGHEST = 5
# Frequencies that are mostly signal: they tell smooth squares from others. The lowest is left out, because a plane is
# subtracted from each square.
_STRUCTURE = (1.0, 3.5)

_FREQUENCY = np.abs(np.fft.fftfreq(SIDE) * SIDE).astype(int)
_RADIUS = np.hypot(_FREQUENCY[:, np.newaxis], _FREQUENCY[np.newaxis])
_HIGH = _FREQUENCY >= _HIGHEST
_SHAPED = (_STRUCTURE[0] <= _RADIUS) & (_STRUCTURE[1] >= _RADIUS)
_HANN = np.outer(*[np.hanning(SIDE + 1)[:-1]] * 2).astype(np.float32)


def square_spectra(image: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[Any]]:
    """Compute the power spectra of overlapping squares of an image.

    Parameters
    ----------
    image : (Y, X) ndarray
        At least 16 pixels along both axes.

    Returns
    -------
    levels : (N,) ndarray
        Mean grey value of each square.
    spectra : (N, 16, 16) ndarray of float32
        Power after subtraction of a plane; white noise of variance v has v everywhere.
    squares : (N, 16, 16) ndarray
        The pixels.
    """
    views = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE))[::_STRIDE, ::_STRIDE]
    squares = views.reshape(-1, SIDE, SIDE)
    levels, residuals = _without_plane(squares.astype(np.float32))
    power = np.square(np.abs(np.fft.fft2(residuals * _HANN))) / np.square(_HANN).sum()
    return levels.astype(np.float64), power.astype(np.float32), squares


def structure_power(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average the power of each square at the frequencies that are mostly signal."""
    return np.asarray(spectra[:, _SHAPED].mean(axis=1))


def highest_power(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average the power of each square at the frequencies that are high along both axes, where the optics leave noise only."""
    return np.asarray(spectra[:, _HIGH][:, :, _HIGH].mean(axis=(1, 2)))


def noise_power(spectra: NDArray[np.float32], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure the noise variance of each square, given the autocovariance of its noise up to a factor.

    Every frequency that is high along one axis or both counts: correlated noise has little power where both are high.
    """
    spectrum = np.maximum(np.fft.fft2(covariance).real, 0.0)
    high = _HIGH[:, np.newaxis] | _HIGH[np.newaxis]
    power = spectra[:, high].sum(axis=1, dtype=np.float64)
    return np.asarray(power / max(float(spectrum[high].sum()), 1e-12) * covariance[0, 0])


def noise_autocovariance(spectrum: NDArray[Any]) -> NDArray[np.float64]:
    """Separate the noise in a mean spectrum from the texture of the specimen.

    The optics remove high frequencies of the specimen along each axis, but not those of the noise. So the spectrum of the noise
    along x is read where the frequency along y is highest, and the other way round. Their product is the spectrum of noise
    whose correlations along x and y are separable, such as that of a slow detector or of resampling. Where the measured
    spectrum is lower, it counts.

    Noise that is correlated along both axes by more than a pixel is measured too low (by 10 % at a correlation of 0.6 along
    both axes), because little of it is left at the highest frequencies.

    Parameters
    ----------
    spectrum : (16, 16) ndarray
        Mean of `square_spectra` over smooth squares.

    Returns
    -------
    (16, 16) ndarray of float64
        Autocovariance at lags of 0 to 6 and -6 to -1 pixels in the order of an FFT. It is 0 along each axis from the first
        lag whose correlation is below `INDEPENDENT`, or below that of the next lag: what follows is texture.
    """
    along_x, along_y = spectrum[_HIGH].mean(axis=0), spectrum[:, _HIGH].mean(axis=1)
    corner = max(float(spectrum[_HIGH][:, _HIGH].mean()), 1e-12)
    separable = np.outer(along_y, along_x) / corner
    # The subtracted plane took the lowest frequencies of the noise as well.
    measured = np.where(_RADIUS > 1.5, spectrum, np.inf)
    covariance = np.fft.ifft2(np.minimum(separable, measured)).real
    covariance /= _window_correlation()[np.ix_(_FREQUENCY, _FREQUENCY)]
    near_y, near_x = (_independent_from(along) > _FREQUENCY for along in (covariance[:, 0], covariance[0]))
    return np.where(near_y[:, np.newaxis] & near_x[np.newaxis], covariance, 0.0)


def _independent_from(covariance: NDArray[np.float64]) -> int:
    """Return the first lag along an axis at which the noise is independent: it correlates little there, or more at the next lag.

    Smoothing by the detector or by resampling gives noise whose correlation falls with the lag; one that rises is texture.
    """
    correlation = covariance[1 : LONGEST_LAG + 2] / max(covariance[0], 1e-12)
    near, next_to_it = correlation[:-1], correlation[1:]
    found = np.flatnonzero((near < INDEPENDENT) | (near < next_to_it))
    return int(found[0]) + 1 if found.size else LONGEST_LAG + 1


def noise_kernel(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (15, 15) kernel of unit energy that gives white noise this autocorrelation."""
    amplitude = np.sqrt(np.maximum(np.fft.fft2(covariance).real, 0.0))
    kernel = np.fft.fftshift(np.fft.ifft2(amplitude).real)[1:, 1:]
    return np.asarray(kernel / np.sqrt(np.square(kernel).sum()))


def _without_plane(squares: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean of each square, and its pixels minus the plane that fits them best."""
    ramp = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    ramp /= np.sqrt(np.square(ramp).sum() * SIDE)
    means = squares.mean(axis=(1, 2))
    residuals = squares - means[:, np.newaxis, np.newaxis]
    along_y = np.einsum("nij,i->n", residuals, ramp)[:, np.newaxis, np.newaxis] * ramp[:, np.newaxis]
    along_x = np.einsum("nij,j->n", residuals, ramp)[:, np.newaxis, np.newaxis] * ramp[np.newaxis]
    return means, residuals - along_y - along_x


def _window_correlation() -> NDArray[np.float64]:
    """Compute by how much the window lowers the autocovariance at each lag."""
    padded = np.pad(_HANN, ((0, SIDE), (0, SIDE)))
    correlation = np.fft.ifft2(np.square(np.abs(np.fft.fft2(padded)))).real
    return np.asarray(correlation / correlation[0, 0])
