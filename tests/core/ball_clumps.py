"""Images of balls, by supersampling: averaged over the slice thickness, blurred in the plane, noisy."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.spacing import SpacingNm

# Samples per voxel along z, y and x.
_SAMPLES = (9, 4, 4)
_CONTRAST = 90.0
# Width of the rim around the clump, in pixels.
_RIM = 4


def ball_image(
    centres_nm: NDArray[np.float64],
    axes_nm: NDArray[np.float64],
    spacing_nm: SpacingNm,
    *,
    blur_px: float = 0.7,
    noise: float = 6.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Render balls or ellipsoids (half axes along z, y, x) on the scale 0 = surroundings, 1 = inside a particle.

    `noise` is the standard deviation in grey values at a contrast of 90.
    """
    step, half = np.array(spacing_nm), np.broadcast_to(axes_nm, centres_nm.shape)
    low = np.floor((centres_nm - half).min(axis=0) / step) - _RIM
    size = (np.ceil((centres_nm + half).max(axis=0) / step) + _RIM - low).astype(int)
    grid = [
        (np.arange(n * s) + 0.5) / s * d + o * d
        for n, s, d, o in zip(size, _SAMPLES, spacing_nm, low, strict=True)
    ]
    inside = np.zeros([len(g) for g in grid], np.bool_)
    for centre, axes in zip(centres_nm, half, strict=True):
        z, y, x = (((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True))
        inside |= z[:, None, None] + y[:, None] + x <= 1
    shape = [n for pair in zip(size, _SAMPLES, strict=True) for n in pair]
    image = inside.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32)
    image = ndimage.gaussian_filter(image, (0, blur_px, blur_px))
    random = np.random.default_rng(seed)
    return np.asarray(image + random.normal(0, noise / _CONTRAST, image.shape), np.float32)


def particle_mask(
    image: NDArray[np.float32], spacing_nm: SpacingNm, threshold: float = 0.4
) -> NDArray[np.bool_]:
    """Threshold the image after a Gaussian of 25 nm, and drop specks."""
    mask = ndimage.gaussian_filter(image, [25.0 / d for d in spacing_nm]) > threshold
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    kept = np.bincount(labels.ravel()) >= 2.0e5 / np.prod(spacing_nm)
    kept[0] = False
    return np.asarray(kept[labels])


def chain(count: int, direction: tuple[float, float, float]) -> NDArray[np.float64]:
    """Place balls of unit diameter in a row."""
    return np.outer(np.arange(count), np.array(direction) / np.linalg.norm(direction))


def triangle() -> NDArray[np.float64]:
    """Place three balls of unit diameter so that each touches both others."""
    return np.array([[0, 0, 0], [0, 0, 1], [0, np.sqrt(0.75), 0.5]])


def octahedron() -> NDArray[np.float64]:
    """Place six balls of unit diameter on the corners of an octahedron."""
    return np.concatenate([np.eye(3), -np.eye(3)]) / np.sqrt(2)


def random_clump(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Place balls of unit diameter one after the other, each touching an earlier one and overlapping none."""
    centres = np.zeros((1, 3))
    while len(centres) < count:
        direction = random.standard_normal(3)
        candidate = centres[random.integers(len(centres))] + direction / np.linalg.norm(direction)
        if np.linalg.norm(centres - candidate, axis=1).min() > 0.999:
            centres = np.concatenate([centres, candidate[None]])
    return centres


def turned(centres: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Turn a clump at random."""
    rotation, _ = np.linalg.qr(random.standard_normal((3, 3)))
    return np.asarray(centres @ rotation.T)


def tight_chain(diameters: list[float]) -> NDArray[np.float64]:
    """Place balls of unequal diameter in a row along x so that neighbours touch."""
    gaps = [0.0, *((a + b) / 2 for a, b in pairwise(diameters))]
    return np.stack([np.zeros(len(gaps)), np.zeros(len(gaps)), np.cumsum(gaps)], axis=1)
