"""Stacks of evolving tissue with smooth local fields of known size planted on every slice.

The tissue is a three-dimensional random volume, so that neighbouring slices differ as real ones do. Planted fields are sums of
sines in random directions, which no mesh of nodes can represent exactly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

MARGIN_PX = 24


@dataclass(frozen=True)
class Waves:
    """A displacement field: the sum of sines in random directions, in pixels along y and x.

    Attributes
    ----------
    vectors : (n, 2) ndarray
        Wave vectors in radians per pixel along y and x.
    phases : (2, n) ndarray
    amplitudes : (2, n) ndarray
        In pixels.
    """

    vectors: NDArray[np.float64]
    phases: NDArray[np.float64]
    amplitudes: NDArray[np.float64]

    def at(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the displacement at positions of one shape: (2, ...)."""
        out = np.zeros((2, *y.shape))
        for k, (down, along) in enumerate(self.vectors):
            angle = down * y + along * x
            for axis in range(2):
                out[axis] += self.amplitudes[axis, k] * np.sin(angle + self.phases[axis, k])
        return out


def random_waves(
    rng: np.random.Generator,
    shape: tuple[int, int],
    size_px: float,
    measure: str = "rms",
    wavelengths: tuple[float, float] = (0.25, 1.0),
) -> Waves:
    """Draw a field whose length has the given root mean square or peak over a slice.

    Parameters
    ----------
    measure
        ``rms`` or ``peak``.
    wavelengths
        Shortest and longest wavelength as fractions of the slice's longer side.
    """
    count = 12
    lengths = max(shape) * np.exp(rng.uniform(*np.log(wavelengths), count))
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    vectors = (2.0 * np.pi / lengths)[:, None] * np.stack([np.sin(angle), np.cos(angle)], -1)
    field = Waves(vectors, rng.uniform(0.0, 2.0 * np.pi, (2, count)), rng.normal(0.0, 1.0, (2, count)))
    y, x = np.mgrid[: shape[0] : 4, : shape[1] : 4].astype(float)
    length = np.hypot(*field.at(y, x))
    found = float(length.max()) if measure == "peak" else float(np.sqrt((length**2).mean()))
    return Waves(vectors, field.phases, field.amplitudes * (size_px / max(found, 1e-9)))


def tissue_volume(
    count: int, shape: tuple[int, int], seed: int, slice_px: float = 4.0, resin_fraction: float = 0.0
) -> NDArray[np.float32]:
    """Make a volume of cells, organelles and granules, in grey values without noise.

    Parameters
    ----------
    count, shape
        Slices and their size; the volume is larger by `MARGIN_PX` at each side in plane.
    slice_px
        Thickness of a slice in pixels: how fast the tissue changes with depth.
    resin_fraction
        Part of the columns, on the right, that shows smooth resin.
    """
    rng = np.random.default_rng([seed, 7])
    full = (count + 8, shape[0] + 2 * MARGIN_PX, shape[1] + 2 * MARGIN_PX)
    cells, organelles, granules = (_noise(rng, full, scale, slice_px) for scale in (20.0, 6.0, 1.8))
    grey = 140.0 + 9.0 * granules - 70.0 * np.exp(-((cells / 0.13) ** 2))
    grey -= 40.0 / (1.0 + np.exp(-8.0 * (organelles - 1.3)))
    if resin_fraction:
        start = int(full[2] * (1.0 - resin_fraction))
        grey[:, :, start:] = 150.0
    smooth = ndimage.gaussian_filter(grey, (0.0, 1.0, 1.0))
    return np.asarray(smooth[4:-4], dtype=np.float32)


def _noise(
    rng: np.random.Generator, shape: tuple[int, int, int], scale_px: float, slice_px: float
) -> NDArray[np.float32]:
    white = rng.standard_normal(shape, dtype=np.float32)
    sigma = (max(scale_px / slice_px, 0.35), scale_px, scale_px)
    spectrum = ndimage.fourier_gaussian(fft.rfftn(white), sigma, n=shape[2])
    field = fft.irfftn(spectrum, shape).astype(np.float32)
    return np.asarray(field / field.std(), dtype=np.float32)


def acquire(
    volume: NDArray[np.generic],
    fields: list[Waves | None],
    jitter: NDArray[np.float64],
    noise: float,
    seed: int,
    margin: int = MARGIN_PX,
) -> NDArray[np.uint8]:
    """Acquire slices whose pixel p shows the tissue at ``p + field(p) + jitter``, with read noise.

    Parameters
    ----------
    volume : (Z, Y, X) ndarray
        Larger than the slices by `margin` at each side in plane.
    jitter : (Z, 2) ndarray
        Shift of each slice in pixels.
    """
    rng = np.random.default_rng([seed, 11])
    shape = volume.shape[1] - 2 * margin, volume.shape[2] - 2 * margin
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    slices = []
    for image, field, shift in zip(volume, fields, jitter, strict=True):
        moved = field.at(y, x) if field else np.zeros((2, *shape))
        where = [y + moved[0] + shift[0] + margin, x + moved[1] + shift[1] + margin]
        shown = ndimage.map_coordinates(image.astype(np.float64), where, order=3, mode="reflect")
        shown += rng.normal(0.0, noise, shape)
        slices.append(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    return np.stack(slices)
