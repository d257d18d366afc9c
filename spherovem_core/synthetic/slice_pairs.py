"""Pairs of EM-like slices with an exactly known motion, to judge a registration by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from spherovem_core.registration.affine import Matrix


@dataclass(frozen=True)
class Appearance:
    """What sets the second slice of a pair apart from the first, besides its motion.

    Attributes
    ----------
    change
        Share, 0 to 1, of the tissue that is new.
    noise
        Standard deviation of the read noise of both slices, in grey values of 0 to 255.
    gain, offset
        Contrast and brightness of the second slice.
    shading
        Brightness of the second slice's right edge above that of its left, in grey values.
    """

    change: float = 0.1
    noise: float = 20.0
    gain: float = 1.0
    offset: float = 0.0
    shading: float = 0.0


class TextureScene:
    """An EM-like texture, band-limited so that its splines can be sampled anywhere without visible error.

    Dark membranes run along the zero lines of smooth noise, round organelles are its peaks, and granules
    fill the rest. The texture is periodic, so it has no edge.

    Parameters
    ----------
    shape : (Y, X)
        Its period in pixels.
    seed
        Of its random fields.
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
        """Gaussian random field of unit variance, smooth over `scale_px`."""
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

    The second slice's pixel q must show what the first shows at p with ``motion @ (p, 1) == q``.
    """
    from spherovem_core.registration.affine import invert

    plain = Appearance(noise=appearance.noise)
    identity = np.eye(2, 3)
    fixed = scene.sample(identity, shape, plain, 2 * seed)
    moving = scene.sample(invert(motion), shape, appearance, 2 * seed + 1, appearance.change)
    return fixed, moving
