"""The detector: polarity, noise, and rounding to stored values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.synthetic.phantom.microscope_parameters import MicroscopeParameters

MID_GREY = 128.0
_WHITE = 255.0

Stored = NDArray[np.unsignedinteger[Any]]


def stored_type(parameters: MicroscopeParameters) -> np.dtype[Any]:
    """Return the type of the stored images."""
    return np.dtype(np.uint16 if parameters.bits == 16 else np.uint8)


def quantise(image: NDArray[np.float32], parameters: MicroscopeParameters) -> Stored:
    """Round to stored values, clipped to the range of their type."""
    if parameters.bits == 16:
        counts = parameters.counts_at_black + parameters.counts_per_grey * image
        return np.asarray(np.clip(np.rint(counts), 0, 65535), np.uint16)
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)


def polarise(image: NDArray[np.float32], parameters: MicroscopeParameters) -> NDArray[np.float32]:
    """Turn dark into bright where the polarity is inverted."""
    return np.float32(_WHITE) - image if parameters.inverted else image


def expose(
    signal: NDArray[np.float32], parameters: MicroscopeParameters, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Add noise to a signal in grey values, which is clipped at black first.

    The variance is that of the read noise, plus shot noise in proportion to the signal: normally distributed, or Poisson
    counts in its place.
    """
    signal = np.maximum(signal, 0).astype(np.float32)
    if parameters.poisson_counts > 0:
        counts = parameters.poisson_counts / MID_GREY
        signal = (generator.poisson(signal * counts) / counts).astype(np.float32)
        signal += np.float32(parameters.read_noise) * _noise(signal.shape, parameters, generator)
        return signal
    variance = parameters.read_noise**2 + parameters.shot_noise**2 * signal / MID_GREY
    signal += np.sqrt(variance) * _noise(signal.shape, parameters, generator)
    return signal


def _noise(
    shape: tuple[int, ...], parameters: MicroscopeParameters, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw noise of unit variance, correlated along y and x as the parameters say."""
    white = generator.standard_normal(shape, dtype=np.float32)
    if not any(parameters.noise_correlation_px):
        return white
    smooth = ndimage.gaussian_filter(white, parameters.noise_correlation_px, mode="wrap")
    point = np.zeros(shape, np.float32)
    point[0, 0] = 1
    response = ndimage.gaussian_filter(point, parameters.noise_correlation_px, mode="wrap")
    return np.asarray(smooth / np.sqrt(np.sum(response.astype(np.float64) ** 2)), np.float32)
