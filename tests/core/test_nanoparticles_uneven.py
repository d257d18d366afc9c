"""Particles between two levels: half in tissue, half in resin."""

import numpy as np
import pytest
from nanoparticle_scenes import ball_cover, smooth_field
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles import find_particles
from spherovem_core.nanoparticles.bodies import Body, body_surroundings, find_bodies
from spherovem_core.nanoparticles.uneven_surroundings import Evened, even_surroundings

SPACING_NM = (80.0, 40.0, 40.0)
SHAPE = (18, 48, 48)
CENTRE_NM, DIAMETER_NM = np.array([720.0, 960.0, 960.0]), 320.0
TISSUE, PARTICLE = 128.0, 215.0


def ball_at_a_border(bright: float, diameter_nm: float = DIAMETER_NM) -> NDArray[np.float32]:
    """Draw a ball of grey 215, whose one half lies in tissue and whose other half lies in grey `bright`."""
    z, y, x = (axis * step for axis, step in zip(np.ogrid[*map(slice, SHAPE)], SPACING_NM, strict=True))
    away = np.sqrt((z - CENTRE_NM[0]) ** 2 + (y - CENTRE_NM[1]) ** 2 + (x - CENTRE_NM[2]) ** 2)
    cover = np.clip((diameter_nm / 2 - away) / 40 + 0.5, 0, 1)
    ground = np.where(x < CENTRE_NM[2], TISSUE, bright)
    image = ndimage.gaussian_filter(ground * (1 - cover) + PARTICLE * cover, (0, 0.5, 0.5))
    return (image + np.random.default_rng(3).normal(0, 3, SHAPE)).astype(np.float32)


def evened_ball(bright: float) -> tuple[Body, Evened | None]:
    image = ball_at_a_border(bright)
    smooth = ndimage.gaussian_filter(image, (0, 0.6, 0.6))
    body = find_bodies(
        smooth, smooth > 200, np.ones((3, 2), bool), 10.0, body_surroundings(SPACING_NM), image
    )[0]
    return body, even_surroundings(body, image, smooth, SPACING_NM)


def test_one_level_is_left_alone() -> None:
    assert evened_ball(TISSUE)[1] is None


def test_body_that_hardly_stands_out_on_one_side_is_left_alone() -> None:
    assert evened_ball(205.0)[1] is None


def test_two_levels_are_brought_to_one() -> None:
    body, evened = evened_ball(175.0)
    assert evened is not None
    away = np.linalg.norm(np.argwhere(np.ones(SHAPE, bool)) * SPACING_NM - CENTRE_NM, axis=1).reshape(SHAPE)
    rim = (away > 190) & (away < 240)
    sides = rim & (np.arange(48) < 21), rim & (np.arange(48) > 27)

    def step(image: NDArray[np.float32]) -> float:
        return abs(float(np.median(image[sides[0]])) - float(np.median(image[sides[1]])))

    assert step(evened.smooth) < 8 < 30 < step(ball_at_a_border(175.0))
    assert evened.body.level == body.level
    volume = len(evened.body.voxels) * np.prod(SPACING_NM)
    assert volume == pytest.approx(np.pi / 6 * DIAMETER_NM**3, rel=0.1)


def test_particles_at_the_border_of_resin_are_found_with_their_size() -> None:
    random = np.random.default_rng(7)
    spacing, shape = (120.0, 40.0, 40.0), (14, 150, 150)
    image = TISSUE + 8 * smooth_field(random, shape, 120.0, spacing)
    image[:, 75:] = 170.0
    places = [np.array([z, 2930.0, x]) for z in (420.0, 1150.0) for x in range(600, 5600, 700)]
    for place in places:
        box, cover = ball_cover(shape, place, DIAMETER_NM, spacing)
        image[box] += cover * (PARTICLE - image[box])
    noisy = ndimage.gaussian_filter(image, (0, 0.5, 0.5)) + random.normal(0, 6, shape)
    found = find_particles(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), spacing)
    assert len(found.table) == len(places)
    assert float((found.table.equivalent_diameter_um * 1e3).median()) == pytest.approx(DIAMETER_NM, rel=0.05)
