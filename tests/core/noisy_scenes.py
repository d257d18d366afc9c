"""Images with known truth and known noise: textured tissue with sharp membranes, and detectors of several kinds."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float64]
SHAPE = (4, 384, 384)


def flat_tissue(shape: tuple[int, int, int] = SHAPE) -> Image:
    """Make grey values of 60 to 180 that change over 40 pixels: the kind image."""
    return _field(shape, 40.0, 11) * 30 + 120


def textured_tissue(shape: tuple[int, int, int] = SHAPE) -> Image:
    """Make tissue with texture of sd 5, dark membranes of 2 pixels, bright spots, all blurred by the optics by 0.9 pixels."""
    slow = _field(shape, 25.0, 3)
    tissue = 125 + 12 * slow + 5 * _field(shape, 1.2, 4)
    tissue[np.abs(_field(shape, 12.0, 5)) < 0.06] = 70
    tissue[_field(shape, 2.5, 6) > 3.2] = 210
    return np.asarray(ndimage.gaussian_filter(tissue, (0, 0.9, 0.9)), float)


def independent(signal: Image, deviation: float, seed: int = 1) -> Image:
    """Add independent Gaussian noise."""
    return signal + deviation * np.random.default_rng(seed).standard_normal(signal.shape)


def photons(signal: Image, gain: float, seed: int = 1) -> Image:
    """Add Poisson noise of `gain` grey values per count."""
    return gain * np.random.default_rng(seed).poisson(np.maximum(signal, 0) / gain)


def correlated(signal: Image, deviation: float, widths: tuple[float, float], seed: int = 1) -> Image:
    """Add noise that a Gaussian of these widths along y and x has smoothed; lag l correlates by exp(-l² / 4 width²)."""
    white = np.random.default_rng(seed).standard_normal(signal.shape)
    smooth = ndimage.gaussian_filter(white, (0, *widths), mode="wrap")
    return signal + deviation * smooth / smooth.std()


def as_uint8(image: Image) -> NDArray[np.uint8]:
    """Round and clip."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _field(shape: tuple[int, int, int], width: float, seed: int) -> Image:
    white = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(white, (0, width, width), mode="wrap")
    return np.asarray(smooth / smooth.std(), float)
