"""Small synthetic stacks with nanoparticles; they are made fast and do not use the phantom."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import slab_grid
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards
from spherovem_core.store.layout import REGISTERED

SPACING_NM = (50.0, 10.0, 10.0)


@dataclass(frozen=True)
class Scene:
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    gains: NDArray[np.float64]
    offsets: NDArray[np.float64]


def make_scene(
    shape: tuple[int, int, int] = (16, 160, 160),
    fraction: float = 0.02,
    radius_nm: float = 110.0,
    gain_drift: float = 0.0,
    noise: float = 6.0,
    seed: int = 0,
    grey: tuple[float, float] = (215.0, 6.0),
) -> Scene:
    """Make smooth, noisy tissue of two stains with balls of normally distributed grey values, blurred at their edges."""
    random = np.random.default_rng(seed)
    stain = _smooth(random, shape, (1.0, 5.0, 5.0))
    image = 125 + 8 * _smooth(random, shape, (0.5, 2.0, 2.0)) - 35 * (stain > 0.9)
    distance = np.full(shape, np.inf)
    value = np.zeros(shape)
    step = np.array(SPACING_NM)
    count = round(fraction * float(np.prod(shape) * np.prod(step)) / (4 / 3 * np.pi * radius_nm**3))
    places = [np.arange(n) * d for n, d in zip(shape, step, strict=True)]
    for _ in range(count):
        centre = random.uniform(0, (np.array(shape) - 1) * step)
        z, y, x = (axis - c for axis, c in zip(places, centre, strict=True))
        away = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2) - radius_nm
        value = np.where(away < distance, random.normal(*grey), value)
        distance = np.minimum(distance, away)
    covered = np.clip(0.5 - distance / step[1], 0, 1)
    image = ndimage.gaussian_filter(image + covered * (value - image), (0, 0.6, 0.6))
    gains = 1 + gain_drift * random.uniform(-1, 1, shape[0])
    offsets = 20 * gain_drift * random.standard_normal(shape[0])
    image = (image + noise * random.standard_normal(shape)) * gains[:, None, None] + offsets[:, None, None]
    return Scene(np.clip(np.rint(image), 0, 255).astype(np.uint8), distance < 0, gains, offsets)


def _smooth(
    random: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, ...]
) -> NDArray[np.float64]:
    field = ndimage.gaussian_filter(random.standard_normal(shape), sigma, mode="wrap")
    return np.asarray(field / field.std())


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def store_image(folder: Path, image: NDArray[np.uint8]) -> None:
    """Store an image as the registration stage does."""
    spec = ArraySpec(REGISTERED, "image", image.shape, image.dtype, *slice_shards(image.shape), SPACING_NM)
    writer = ArrayWriter(Layout(folder), spec, "source")
    for block in slab_grid(image.shape, 1):
        writer.write(block, image[block.core])
    writer.commit()
