"""The measured blur of an acquisition, on balls of known blur in even and uneven surroundings."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles import find_particles

TOLERANCE = 0.2
"""Relative; the pixel adds 0.04 to 0.12 to the blurs drawn here."""


def balls_in_tissue(
    spacing: tuple[float, float, float], blur_px: float, texture: float, seed: int
) -> NDArray[np.uint8]:
    """Draw 30 balls of seven pixels across, averaged over thin slices and blurred, in clouded tissue with noise."""
    random = np.random.default_rng(seed)
    shape, diameter = (24, 200, 200), 7 * spacing[1]
    cover = np.zeros(shape, np.float32)
    fine = 4
    for place in np.argwhere(np.ones((2, 4, 4), bool))[:30]:
        centre = (np.array([6, 25, 25]) + place * [12, 50, 50] + random.uniform(-3, 3, 3)) * spacing
        low = np.maximum(np.floor((centre - diameter) / spacing).astype(int), 0)
        high = np.minimum(np.ceil((centre + diameter) / spacing).astype(int) + 1, shape)
        axes = [
            (np.arange(a * fine, b * fine) / fine + 0.5 / fine - 0.5) * step
            for a, b, step in zip(low, high, spacing, strict=True)
        ]
        away = sum(np.meshgrid(*[(x - c) ** 2 for x, c in zip(axes, centre, strict=True)], indexing="ij"))
        counts = [n for pair in zip(high - low, [fine] * 3, strict=True) for n in pair]
        drawn = (
            (np.asarray(away) < (diameter / 2) ** 2).astype(np.float32).reshape(counts).mean(axis=(1, 3, 5))
        )
        cover[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] += drawn
    clouds = ndimage.gaussian_filter(random.standard_normal(shape), 5.0)
    tissue = 110 + texture * clouds / clouds.std()
    clean = ndimage.gaussian_filter(tissue * (1 - cover) + 220 * cover, (0, blur_px, blur_px))
    return np.clip(np.rint(clean + random.normal(0, 6, shape)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("spacing", "blur_px", "texture"),
    [((10.0, 10.0, 10.0), 0.8, 14.0), ((50.0, 20.0, 20.0), 0.5, 14.0), ((50.0, 20.0, 20.0), 1.2, 2.0)],
)
def test_blur_is_that_of_the_drawing(
    spacing: tuple[float, float, float], blur_px: float, texture: float
) -> None:
    image = balls_in_tissue(spacing, blur_px, texture, seed=5)
    found = find_particles(image, spacing).mixture
    assert found.blur_objects >= 20
    assert found.blur_nm == pytest.approx(blur_px * spacing[1], rel=TOLERANCE)
