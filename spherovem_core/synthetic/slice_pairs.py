"""Pairs of EM-like slices with an exactly known motion, for the accuracy of registration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from spherovem_core.registration.affine import Matrix, invert


@dataclass(frozen=True)
class Appearance:
    """Differences between the second slice of a pair and the first, besides its motion.

    Attributes
    ----------
    change
        Fraction of the tissue that is new, 0 to 1.
    noise
        Standard deviation of the read noise of both slices, in grey values (0 to 255).
    gain, offset
        Contrast and brightness of the second slice.
    shading
        Difference in brightness between the right and the left edge of the second slice, in grey values.
    """

    change: float = 0.1
    noise: float = 20.0
    gain: float = 1.0
    offset: float = 0.0
    shading: float = 0.0


class TextureScene:
    """An EM-like texture that can be sampled at any position.

    Dark membranes run along the zero lines of smooth noise, round organelles are its peaks, and granules fill the rest.
    The texture is band-limited, so that its splines show no visible error, and periodic, so that it has no edge.

    Parameters
    ----------
    shape : (Y, X)
        Period of the texture in pixels.
    seed
        Seed of its random fields.
    """

    def __init__(self, shape: tuple[int, int], seed: int) -> None:
        self.shape = shape
        self._rng = np.random.default_rng(seed)
        self._fields = [self._noise(scale) for scale in (22.0, 6.0, 1.6)]
        self._other = [self._noise(scale) for scale in (22.0, 6.0, 1.6)]
        self._splines: dict[float, NDArray[np.float32]] = {}

    def sample(
        self, matrix: Matrix, shape: tuple[int, int], appearance: Appearance, seed: int, change: float = 0.0
    ) -> NDArray[np.uint8]:
        """Acquire a slice whose pixel p shows the texture at ``matrix @ (p, 1)``."""
        rng = np.random.default_rng(seed)
        y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
        where = [(row[0] * y + row[1] * x + row[2]).astype(np.float32) for row in matrix]
        values = ndimage.map_coordinates(
            self._spline(change), where, order=3, mode="grid-wrap", prefilter=False, output=np.float32
        )
        values = appearance.gain * (values - 128.0) + 128.0 + appearance.offset
        values += appearance.shading * (x / shape[1] - 0.5)
        values += rng.standard_normal(shape, dtype=np.float32) * appearance.noise
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)

    def _noise(self, scale_px: float) -> NDArray[np.float32]:
        """Draw a Gaussian random field of unit variance, smooth over `scale_px`."""
        white = self._rng.standard_normal(self.shape, dtype=np.float32)
        spectrum = ndimage.fourier_gaussian(fft.rfft2(white), scale_px, n=self.shape[1])
        field = fft.irfft2(spectrum, self.shape).astype(np.float32)
        scaled: NDArray[np.float32] = field / field.std()
        return scaled

    def _spline(self, change: float) -> NDArray[np.float32]:
        if change not in self._splines:
            keep, new = np.sqrt(1.0 - change), np.sqrt(change)
            cells, organelles, granules = (
                keep * a + new * b for a, b in zip(self._fields, self._other, strict=True)
            )
            grey = 135.0 + 10.0 * granules - 75.0 * np.exp(-((cells / 0.12) ** 2))
            grey -= 45.0 / (1.0 + np.exp(-8.0 * (organelles - 1.2)))
            smooth = ndimage.gaussian_filter(grey, 1.0, mode="wrap")
            self._splines[change] = ndimage.spline_filter(smooth, 3, output=np.float32, mode="grid-wrap")
        return self._splines[change]


def texture_pair(
    scene: TextureScene, motion: Matrix, shape: tuple[int, int], appearance: Appearance, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Acquire two slices of a scene such that ``motion`` maps pixels of the first to those of the second.

    The second slice shows at pixel q the tissue of the first at pixel p, where ``motion @ (p, 1) == q``.

    Returns
    -------
    fixed, moving : (Y, X) ndarray of uint8
    """
    plain = Appearance(noise=appearance.noise)
    identity = np.eye(2, 3)
    fixed = scene.sample(identity, shape, plain, 2 * seed)
    moving = scene.sample(invert(motion), shape, appearance, 2 * seed + 1, appearance.change)
    return fixed, moving
