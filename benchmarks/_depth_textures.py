"""Tissue-like textures that change with depth, cut at any planes and moved by known maps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from spherovem_core.registration.affine import compose, invert, rotation_matrix, shift_matrix, slice_centre

Volume = NDArray[np.float32]


class DepthTexture:
    """Membranes and granules in three dimensions, isotropic in pixels and periodic, so that it has no edge.

    It is band-limited: splines interpolate it without a visible error, so that slices at uneven planes are equally sharp.

    Parameters
    ----------
    shape : (Z, Y, X)
        Period in pixels.
    seed
        Seed of its random fields.
    """

    def __init__(self, shape: tuple[int, int, int], seed: int, cell_px: float = 14.0) -> None:
        rng = np.random.default_rng(seed)
        cells, granules = _field(rng, shape, cell_px), _field(rng, shape, cell_px / 5)
        grey = 140.0 + 16.0 * granules - 70.0 * np.exp(-((cells / 0.2) ** 2))
        smooth = ndimage.gaussian_filter(grey, 1.2, mode="wrap")
        self._spline: Volume = ndimage.spline_filter(smooth, 3, output=np.float32, mode="grid-wrap")

    def cut(self, depth_px: float, matrix: NDArray[np.float64], shape: tuple[int, int]) -> Volume:
        """Return the slice at a depth whose pixel p shows the texture at ``matrix @ (p, 1)``."""
        y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
        where = [np.full(shape, depth_px, np.float32), *(row[0] * y + row[1] * x + row[2] for row in matrix)]
        found: Volume = ndimage.map_coordinates(
            self._spline, where, order=3, mode="grid-wrap", prefilter=False, output=np.float32
        )
        return found


def acquire(
    texture: DepthTexture,
    depths_px: Sequence[float],
    truth: NDArray[np.float64],
    shape: tuple[int, int],
    noise: Sequence[float],
    seed: int,
) -> NDArray[np.uint8]:
    """Cut slices at depths, moved by maps of ideal to slice coordinates, with noise and drifting contrast."""
    rng = np.random.default_rng(seed)
    slices = []
    for depth, matrix, deviation in zip(depths_px, truth, noise, strict=True):
        values = texture.cut(depth, invert(matrix), shape)
        values = (values - 128.0) * rng.uniform(0.8, 1.1) + 128.0 + rng.uniform(-10.0, 10.0)
        values += rng.standard_normal(shape, dtype=np.float32) * deviation
        slices.append(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    return np.stack(slices)


def jitter(count: int, shape: tuple[int, int], shift_px: float, seed: int) -> NDArray[np.float64]:
    """Draw maps of ideal to slice coordinates: shifts, turns of 0.2 degrees and strains of 0.2 %."""
    rng = np.random.default_rng(seed)
    centre = slice_centre(shape)
    maps = []
    for _ in range(count):
        linear = np.eye(2) + rng.normal(0.0, 0.002, (2, 2))
        about = np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)
        turn = rotation_matrix(float(rng.normal(0.0, 0.2)), shape)
        maps.append(compose(turn, compose(shift_matrix(*rng.normal(0.0, shift_px, 2)), about)))
    return np.stack(maps)


def _field(rng: np.random.Generator, shape: tuple[int, int, int], scale_px: float) -> Volume:
    """Draw a Gaussian random field of unit variance, smooth over `scale_px`."""
    white = rng.standard_normal(shape, dtype=np.float32)
    spectrum = ndimage.fourier_gaussian(fft.rfftn(white), scale_px, n=shape[2])
    field = fft.irfftn(spectrum, shape).astype(np.float32)
    scaled: Volume = field / field.std()
    return scaled
