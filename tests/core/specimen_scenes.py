"""Synthetic tissue with membranes and organelles, and resin around it; drawn without the phantom."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SPACING_NM = (120.0, 40.0, 40.0)
SHAPE = (16, 240, 280)


@dataclass(frozen=True)
class Scene:
    """An image and the truth: where it shows no tissue."""

    image: NDArray[np.uint8]
    resin: NDArray[np.bool_]


def clean_tissue(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.float64]:
    """Draw grey values of tissue: texture, dark membranes on level sets, dark organelles."""
    random = np.random.default_rng(seed)
    fine, coarse, lines, bodies = (_smooth(random, shape, nm) for nm in (70, 250, 600, 260))
    image = 125 + 5 * fine + 6 * coarse
    image -= 45 * np.exp(-((lines / 0.08) ** 2))
    return np.asarray(image - 30 * (bodies > 1.7))


def disc(centre_um: tuple[float, float], radius_um: float) -> NDArray[np.bool_]:
    """Fill a cylinder along z."""
    y, x = (np.arange(n) * d / 1000 for n, d in zip(SHAPE[1:], SPACING_NM[1:], strict=True))
    inside = np.hypot(y[:, None] - centre_um[0], x[None, :] - centre_um[1]) < radius_um
    return np.broadcast_to(inside, SHAPE)


def scene(
    resin: NDArray[np.bool_] | None = None,
    grey: float = 125.0,
    texture: float = 2.0,
    noise: float = 6.0,
    seed: int = 0,
) -> Scene:
    """Draw tissue, resin with a weak texture of its own, and noise."""
    random = np.random.default_rng([seed, 1])
    image = clean_tissue(seed)
    resin = np.zeros(SHAPE, bool) if resin is None else resin
    image = np.where(resin, grey + texture * _smooth(random, SHAPE, 150), image)
    return Scene(expose(image, noise, seed), resin)


def expose(image: NDArray[np.float64], noise: float, seed: int = 0) -> NDArray[np.uint8]:
    """Add noise and quantise."""
    noisy = image + np.random.default_rng([seed, 2]).normal(0, noise, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _smooth(random: np.random.Generator, shape: tuple[int, int, int], nm: float) -> NDArray[np.float64]:
    field = ndimage.gaussian_filter(random.standard_normal(shape), [nm / s for s in SPACING_NM], mode="wrap")
    return np.asarray(field / field.std())
