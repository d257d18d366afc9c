"""Outlines that end sharply and outlines that fade, and clumps of particles that no balls draw."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles import find_particles
from spherovem_core.nanoparticles.ball_response import ball_response, render_ball
from spherovem_core.nanoparticles.bodies import body_surroundings, find_bodies
from spherovem_core.nanoparticles.piece_measures import PieceMeasures, measure_pieces
from spherovem_core.nanoparticles.sharpness import sharpness_odds

FINE_NM, COARSE_NM = (10.0, 10.0, 10.0), (50.0, 20.0, 20.0)


def measured_ball(spacing: tuple[float, float, float], diameter_px: float, blur_px: float) -> PieceMeasures:
    pixel = spacing[1]
    acquired, smooth = render_ball(
        diameter_px * pixel, np.array([0.2, -0.3, 0.1]), spacing, spacing[0], blur_px * pixel, (pixel, pixel)
    )
    body = find_bodies(
        smooth, smooth > 0.3 * smooth.max(), np.ones((3, 2), bool), 0.0, body_surroundings(spacing), acquired
    )[0]
    return measure_pieces(acquired, smooth, body, [body.voxels], (1, 1, 1), (999, 9999, 9999), spacing)[0]


@pytest.mark.parametrize("spacing", [FINE_NM, COARSE_NM])
@pytest.mark.parametrize("diameter_px", [6.0, 12.0])
def test_body_that_fades_is_told_from_a_ball(spacing: tuple[float, float, float], diameter_px: float) -> None:
    response = ball_response(spacing, spacing[0], 0.5 * spacing[1], (spacing[1], spacing[1]), 600.0)
    rows = [measured_ball(spacing, diameter_px, blur) for blur in (0.5, 2.0)]
    table = pd.DataFrame(rows, columns=list(PieceMeasures._fields))
    sharp, faded = sharpness_odds(table, response, 0.0, spacing, measured=True)
    assert sharp > 3
    assert faded < 0.5
    noisy = sharpness_odds(table, response, 300 * table.slope[0], spacing, measured=True)
    np.testing.assert_allclose(noisy, 1.0, atol=0.2)


def fused_balls(random: np.random.Generator, shape: tuple[int, int, int]) -> tuple[NDArray[np.float32], ...]:
    """Draw 16 clumps of three to six balls of 8 to 16 voxels that run into each other, and a single ball beside each."""
    clumps, singles = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    z, y, x = (n.astype(np.float32) for n in np.ogrid[: shape[0], : shape[1], : shape[2]])

    def add(cover: NDArray[np.float32], centre: NDArray[np.float64], radius: float) -> None:
        away = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        np.maximum(cover, np.clip(radius - away + 0.5, 0, 1), out=cover)

    for n in range(16):
        corner = np.array([shape[0] / 2, 30 + 60 * (n // 4), 30 + 60 * (n % 4)])
        add(singles, corner + np.array([0, 20, 20]), random.uniform(5, 7))
        centre = corner - 5
        for _ in range(random.integers(3, 7)):
            radius = random.uniform(4, 8)
            add(clumps, centre, radius)
            step = random.standard_normal(3) * [0.5, 1, 1]
            centre = centre + radius * step / np.linalg.norm(step)
    return clumps, singles


@pytest.mark.parametrize("faded", [False, True])
def test_fused_clumps_are_found_and_fading_patches_are_not(faded: bool) -> None:
    random = np.random.default_rng(3)
    shape = (48, 240, 240)
    clumps, singles = fused_balls(random, shape)
    clouds = ndimage.gaussian_filter(random.standard_normal(shape), 6.0)
    soft = np.maximum(
        ndimage.gaussian_filter(clumps, 4.0 if faded else 0.8), ndimage.gaussian_filter(singles, 0.8)
    )
    image = 110 + 10 * clouds / clouds.std() + 110 * soft + random.normal(0, 5, shape)
    found = find_particles(np.clip(np.rint(image), 0, 255).astype(np.uint8), FINE_NM)
    labelled = found.labels > 0
    truth = (singles if faded else np.maximum(singles, clumps)) > 0.5
    assert (labelled & truth).sum() > 0.9 * labelled.sum()
    assert (labelled & truth).sum() > 0.9 * truth.sum()
