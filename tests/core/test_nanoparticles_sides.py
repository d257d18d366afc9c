"""Particles that a side of the volume cuts, ends of small particles, blurred particles, and bodies with a texture inside."""

import numpy as np
import pytest
from nanoparticle_scenes import COARSE_NM, Kind, ball_cover, make_scene, score, smooth_field
from numpy.typing import NDArray

from spherovem_core.nanoparticles import find_particles
from spherovem_core.nanoparticles.bodies import Body
from spherovem_core.nanoparticles.judgement import _density_of_island
from spherovem_core.nanoparticles.piece_measures import _cap_diameter, _completed
from spherovem_core.nanoparticles.streaks import without_streaks

SHAPE = (20, 200, 200)
INNER = np.ones((3, 2), np.bool_)


def draw(centres: NDArray[np.float64], diameters: NDArray[np.float64], mottle: float) -> NDArray[np.uint8]:
    """Draw balls of contrast 80 with a texture inside, in slightly clouded tissue with noise."""
    random = np.random.default_rng(3)
    grey = 125 + 5 * smooth_field(random, SHAPE, 60.0, COARSE_NM)
    texture = 205 + mottle * smooth_field(random, SHAPE, 70.0, COARSE_NM)
    for centre, diameter in zip(centres, diameters, strict=True):
        box, cover = ball_cover(SHAPE, centre, diameter, COARSE_NM)
        grey[box] += cover * (texture[box] - grey[box])
    return np.clip(np.rint(grey + 6 * random.standard_normal(SHAPE)), 0, 255).astype(np.uint8)


def test_caps_at_the_sides_are_particles_and_one_each() -> None:
    places = [
        (z, y) for z in (500.0, 1200.0, 1900.0) for y in (900.0, 2100.0, 3300.0, 4500.0, 5700.0, 6900.0)
    ]
    # A third of the balls lie inside, the others have their centres up to half a radius beyond and within two sides.
    last, away = 199 * COARSE_NM[2], np.linspace(-80, 80, 6)
    centres = [(z, y, x) for z, y in places for x in (2500.0, 5000.0)]
    centres += [(z, y, -away[n % 6]) for n, (z, y) in enumerate(places)]
    centres += [(z, last + away[n % 6], y) for n, (z, y) in enumerate(places)]
    found = find_particles(draw(np.array(centres), np.full(len(centres), 320.0), 0.0), COARSE_NM).table
    at_side = (found.centroid_x_um < 0.2) | (found.centroid_y_um > 1e-3 * last - 0.2)
    assert int(at_side.sum()) == 36
    places_nm = 1000 * found[["centroid_z_um", "centroid_y_um", "centroid_x_um"]].to_numpy()
    distance = np.linalg.norm(places_nm[:, None] - np.array(centres)[None], axis=2)
    assert ((distance < 160).sum(axis=0) == 1).all()
    # One faint spot of the noise may pass.
    assert len(found) <= len(centres) + 1


def test_cap_shows_the_diameter_of_its_ball() -> None:
    grid = np.indices((81, 81, 81)).reshape(3, -1).T - 40.0
    for beyond in (0.0, 10.0, 20.0):
        cap = grid[(np.linalg.norm(grid - [0, -beyond, 0], axis=1) < 30) & (grid[:, 1] >= 0)]
        moments = np.cov(cap.T, bias=True)
        assert _cap_diameter(moments, (True, False)) == pytest.approx(60, rel=0.12)
        low, high = np.linalg.eigvalsh(_completed(moments, (True, False))[1:, 1:])
        assert high / low == pytest.approx(1, abs=0.01)
    assert np.isnan(_cap_diameter(np.eye(3), (False, False)))


def test_rod_that_lies_askew_at_a_side_stays_one() -> None:
    moments = np.array([[4.0, 0, 0], [0, 50.0, 46.0], [0, 46.0, 50.0]])
    low, high = np.linalg.eigvalsh(_completed(moments, (True, False))[1:, 1:])
    assert high > 4 * low


def body_of(mask: NDArray[np.bool_]) -> Body:
    return Body(np.argwhere(mask).astype(np.int32), 210.0, 120.0, True, 120.0)


def test_narrow_ends_of_a_pair_are_no_streak() -> None:
    mask = np.zeros((8, 20, 30), np.bool_)
    mask[3, 8:12, 6:18] = True
    # In the slice above, each ball of the pair is two pixels wide.
    mask[4, 9:11, 7:11] = mask[4, 9:11, 13:17] = True
    (whole,) = without_streaks(body_of(mask), mask.shape, INNER)
    assert len(whole.voxels) == mask.sum()


def test_streak_through_a_particle_is_cut_off() -> None:
    mask = np.zeros((8, 20, 60), np.bool_)
    mask[2:5, 7:13, 10:16] = True
    ball = int(mask.sum())
    mask[3, 9:11, 10:58] = True
    part, rest = without_streaks(body_of(mask), mask.shape, INNER)
    assert len(part.voxels) == ball
    assert len(rest.voxels) == mask.sum() - ball


def test_body_goes_on_beyond_the_side_that_cuts_it() -> None:
    mask = np.zeros((6, 20, 30), np.bool_)
    mask[2:4, :2, 10:17] = True
    inside = INNER.copy()
    inside[1, 0] = False
    (whole,) = without_streaks(body_of(mask), mask.shape, inside)
    assert len(whole.voxels) == mask.sum()


def test_size_of_particles_of_6_pixels_at_a_blur_of_more_than_a_pixel() -> None:
    scene = make_scene((24, 200, 200), (Kind(30, 240.0),), COARSE_NM, blur_px=1.2, seed=4)
    found = score(scene, find_particles(scene.image, COARSE_NM).table)
    assert found.size_ratio == pytest.approx(1, abs=0.05)
    assert found.recall >= 0.95


@pytest.mark.parametrize(("mottle", "least", "most"), [(0.0, 8, 9), (26.0, 0, 3)])
def test_most_bodies_with_a_texture_inside_are_no_particles(mottle: float, least: int, most: int) -> None:
    places = [(z, y, x) for z in (700.0, 1600.0) for y in (2000.0, 6000.0) for x in (2000.0, 6000.0)]
    diameters = np.linspace(440, 560, len(places))
    found = find_particles(draw(np.array(places), diameters, mottle), COARSE_NM).table
    assert least <= len(found) <= most


def test_pieces_of_one_body_are_one_witness() -> None:
    at, island, widths = np.zeros((4, 2)), np.array([5, 2, 5, 5]), (0.1, 0.2)
    weights = np.array([1.0, 0.5, 0.25, 1.0])
    found = _density_of_island(at, island, widths, weights) * 2 * np.pi * 0.02
    assert found == pytest.approx([2.25, 0.5, 2.25, 2.25])
