"""Outlines of bodies whose surroundings are brighter on one side."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles.bodies import body_surroundings, find_bodies
from spherovem_core.nanoparticles.local_outline import refine_outline, shows_outline

SPACING_NM = (10.0, 10.0, 10.0)


def ball_at_a_step(radius: float, bright: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw a ball of grey 230 half in tissue of grey 90 and half in grey `bright`, blurred and with noise."""
    shape = (48, 64, 64)
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    away = np.sqrt((z - 24.2) ** 2 + (y - 31.7) ** 2 + (x - 32.1) ** 2)
    ground = np.where(x < 32, 90.0, bright) * np.ones(shape)
    cover = np.clip(radius - away + 0.5, 0, 1)
    image = ndimage.gaussian_filter(ground * (1 - cover) + 230 * cover, 0.8)
    noise = np.random.default_rng(2).normal(0, 4, shape)
    return (image + noise).astype(np.float32), cover > 0.5


def agreement(voxels: NDArray[np.int32], truth: NDArray[np.bool_]) -> float:
    mask = np.zeros(truth.shape, np.bool_)
    mask[tuple(voxels.T)] = True
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


@pytest.mark.parametrize("radius", [5.0, 8.0])
@pytest.mark.parametrize("bright", [90.0, 175.0])
def test_outline_follows_the_surroundings_at_each_place(radius: float, bright: float) -> None:
    image, truth = ball_at_a_step(radius, bright)
    smooth = ndimage.gaussian_filter(image, (0, 1.7, 1.7))
    half = (230 + (90 + bright) / 2) / 2
    labels, _ = ndimage.label(smooth > half)
    start = np.argwhere(labels == labels[24, 32, 32]).astype(np.int32)
    nothing = np.zeros(image.shape, np.bool_)
    refined = refine_outline(start, 230.0, image, nothing, SPACING_NM)
    # A layer of a tenth of a pixel at the surface of the small ball is 0.06 of its volume.
    assert agreement(refined, truth) > 0.92
    assert agreement(refined, truth) > agreement(start, truth)


def test_body_beside_bright_tissue_does_not_run_into_it() -> None:
    image, truth = ball_at_a_step(8.0, 175.0)
    smooth = ndimage.gaussian_filter(image, (0, 1.7, 1.7)).astype(np.float32)
    inside = np.ones((3, 2), np.bool_)
    body = find_bodies(smooth, smooth > 215, inside, 10.0, body_surroundings(SPACING_NM), image)[0]
    assert body.isolated
    assert agreement(body.voxels, truth) > 0.9


def test_outline_of_a_small_body_stays() -> None:
    voxels = np.argwhere(np.ones((3, 5, 5), np.bool_)).astype(np.int32)
    assert not shows_outline(voxels)
    image = np.zeros((9, 9, 9), np.float32)
    assert refine_outline(voxels, 1.0, image, image > 0, SPACING_NM) is voxels
