"""Split of touching particles: lone ones stay whole, touching ones are counted, also where slices hide the neck."""

import numpy as np
import pytest
from ball_clumps import (
    ball_image,
    chain,
    octahedron,
    particle_mask,
    random_clump,
    tight_chain,
    triangle,
    turned,
)
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles import component_fit
from spherovem_core.nanoparticles.ball_images import add_with_derivatives, draw_balls
from spherovem_core.nanoparticles.ball_profiles import disc_tables, profile_length
from spherovem_core.nanoparticles.component_fit import fit_component
from spherovem_core.nanoparticles.single_size import evident_diameter
from spherovem_core.nanoparticles.splitting import split_particles

SPACING_NM = (120.0, 40.0, 40.0)
OFFSET_NM = np.array([37.0, 11.0, 23.0])


def _component(
    centres: NDArray[np.float64], axes_nm: NDArray[np.float64], noise: float, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Render a clump, and crop its largest component with a rim of one voxel."""
    image = ball_image(centres + OFFSET_NM * (seed + 1), axes_nm, SPACING_NM, noise=noise, seed=seed)
    labels, _ = ndimage.label(particle_mask(image, SPACING_NM), np.ones((3, 3, 3)))
    largest = int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    region = tuple(slice(s.start - 1, s.stop + 1) for s in ndimage.find_objects(labels)[largest - 1])
    return labels[region] == largest, image[region]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("diameter", [160.0, 320.0])
def test_lone_ball_stays_whole_at_a_noise_of_15(diameter: float, seed: int) -> None:
    mask, image = _component(np.zeros((1, 3)), np.full(3, diameter / 2), 15.0, seed)
    assert split_particles(mask, image, SPACING_NM)[0].max() == 1
    assert split_particles(mask, image, SPACING_NM, (0.9 * diameter, 1.1 * diameter))[0].max() == 1
    assert split_particles(mask, None, SPACING_NM)[0].max() == 1


@pytest.mark.parametrize("axis", range(3))
def test_particle_half_as_long_again_stays_whole_where_no_size_is_known(axis: int) -> None:
    axes = np.full(3, 120.0)
    axes[axis] = 180.0
    for seed in range(2):
        mask, image = _component(np.zeros((1, 3)), axes, 15.0, seed)
        assert len(fit_component(mask, image, SPACING_NM)) == 1


CLUMPS = {
    "pair, one above the other": chain(2, (1, 0, 0)),
    "row of three": chain(3, (0.3, 1, 1)),
    "column of three": chain(3, (1, 0, 0)),
    "triangle": triangle(),
    "overlap of 10 %": 0.9 * chain(2, (0.2, 0, 1)),
    "octahedron": octahedron(),
    "octahedron, turned": turned(octahedron(), np.random.default_rng(1)),
    "six at random": random_clump(6, np.random.default_rng(2)),
}


@pytest.mark.parametrize("name", CLUMPS)
@pytest.mark.parametrize(("diameter", "noise"), [(320.0, 15.0), (240.0, 6.0)])
def test_touching_balls_are_counted_where_their_size_is_known(
    name: str, diameter: float, noise: float
) -> None:
    mask, image = _component(CLUMPS[name] * diameter, np.full(3, diameter / 2), noise, 0)
    fit = fit_component(mask, image, SPACING_NM, (0.9 * diameter, 1.1 * diameter))
    assert len(fit) == len(CLUMPS[name])
    # The range that is known is +-10 %.
    np.testing.assert_allclose(fit.diameters_nm, diameter, rtol=0.12)


@pytest.mark.parametrize("name", CLUMPS)
def test_touching_balls_are_counted_where_no_size_is_known(name: str) -> None:
    mask, image = _component(CLUMPS[name] * 320.0, np.full(3, 160.0), 6.0, 1)
    assert len(fit_component(mask, image, SPACING_NM)) == len(CLUMPS[name])


def test_octahedron_of_particles_4_pixels_across_is_counted() -> None:
    for seed in range(3):
        mask, image = _component(octahedron() * 160.0, np.full(3, 80.0), 6.0, seed)
        assert len(fit_component(mask, image, SPACING_NM, (150.0, 170.0))) == 6


def test_gap_of_one_pixel_that_the_blur_bridges_is_found() -> None:
    mask, image = _component(chain(2, (0, 0.3, 1)) * 280.0, np.full(3, 120.0), 6.0, 0)
    bridged = ndimage.binary_closing(mask, np.ones((1, 3, 3)))
    assert len(fit_component(bridged, image, SPACING_NM)) == 2


def test_small_ball_at_a_large_one_is_found() -> None:
    centres = turned(tight_chain([320.0, 160.0]), np.random.default_rng(3))
    mask, image = _component(centres, np.array([[160.0], [80.0]]) * np.ones(3), 6.0, 0)
    fit = fit_component(mask, image, SPACING_NM)
    np.testing.assert_allclose(sorted(fit.diameters_nm), [160.0, 320.0], rtol=0.1)


def test_touching_balls_are_counted_from_the_mask_alone() -> None:
    mask, _ = _component(chain(3, (0.1, 0.3, 1)) * 320.0, np.full(3, 160.0), 6.0, 0)
    assert split_particles(mask, None, SPACING_NM)[0].max() == 3


def test_pieces_are_the_balls_connected_and_numbered_by_their_first_voxels() -> None:
    centres = chain(3, (0.4, 0.5, 1)) * 320.0
    mask, image = _component(centres, np.full(3, 160.0), 6.0, 0)
    pieces, fit = split_particles(mask, image, SPACING_NM)
    assert pieces.max() == len(fit) == 3
    np.testing.assert_array_equal(pieces > 0, mask)
    firsts = [int(np.flatnonzero(pieces == n)[0]) for n in (1, 2, 3)]
    assert firsts == sorted(firsts)
    step = np.array(SPACING_NM)
    middles = []
    for n in (1, 2, 3):
        assert ndimage.label(pieces == n, np.ones((3, 3, 3)))[1] == 1
        middles.append(np.argwhere(pieces == n).mean(axis=0) * step)
    # Neighbours lie 320 nm apart; a voxel of the mask more or less moves a centre by a tenth of that at most.
    np.testing.assert_allclose(np.linalg.norm(np.diff(middles, axis=0), axis=1), 320.0, atol=32.0)
    again, _ = split_particles(mask, image, SPACING_NM)
    np.testing.assert_array_equal(again, pieces)


def test_diameters_scale_with_the_spacing() -> None:
    mask, image = _component(triangle() * 320.0, np.full(3, 160.0), 6.0, 0)
    fit = fit_component(mask, image, SPACING_NM)
    wider = fit_component(mask, image, (240.0, 80.0, 80.0))
    np.testing.assert_allclose(wider.diameters_nm, 2 * fit.diameters_nm, rtol=1e-3)


def test_component_too_large_for_a_fit_stays_whole_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    mask, image = _component(chain(2, (0, 0, 1)) * 320.0, np.full(3, 160.0), 6.0, 0)
    monkeypatch.setattr(component_fit, "MAX_BOX_VOXELS", 100)
    pieces, fit = split_particles(mask, image, SPACING_NM)
    assert pieces.max() == 1
    assert f"box of {mask.size} voxels" in fit.note
    monkeypatch.undo()
    assert "more than 300 particles of 21 nm" in fit_component(mask, image, SPACING_NM, (20.0, 20.0)).note


@pytest.mark.parametrize("diameter", [160.0, 320.0])
def test_drawn_ball_equals_the_supersampled_one(diameter: float) -> None:
    image = ball_image(OFFSET_NM[None], np.full((1, 3), diameter / 2), SPACING_NM, noise=0.0)
    step = np.array(SPACING_NM)
    first = (np.floor((OFFSET_NM - diameter / 2) / step) - 4 + 0.5) * step
    # Pixels average too: their variance adds to that of the blur of 0.7 pixels.
    sigma = 40.0 * np.sqrt(0.7**2 + 1 / 12)
    drawn = draw_balls(np.array([[*(OFFSET_NM - first), diameter / 2]]), image.shape, step, sigma)
    assert np.abs(drawn - image).max() < 0.03
    np.testing.assert_allclose(drawn.sum() * step.prod(), np.pi / 6 * diameter**3, rtol=0.01)


def test_slices_without_depth_show_a_plane_of_a_ball() -> None:
    step, sigma, radius = np.array(SPACING_NM), 20.0, 160.0
    ball = np.array([[250.0, 403.0, 391.0, radius]])
    plane = draw_balls(ball, (5, 21, 21), step, sigma, depth_nm=0.0)
    # The area of each slice is that of a circle, whatever the blur.
    heights = 120.0 * np.arange(5) - 250.0
    areas = np.pi * np.maximum(radius**2 - heights**2, 0.0)
    np.testing.assert_allclose(plane.sum(axis=(1, 2)) * 1600.0, areas, rtol=0.01, atol=1e-9)
    thin = draw_balls(ball, (5, 21, 21), step, sigma, depth_nm=1.0)
    np.testing.assert_allclose(thin, plane, atol=0.01)


def test_balls_in_slices_that_show_planes_leave_no_residual_at_a_depth_of_0() -> None:
    centres = np.array([[250.0, 303.0, 291.0], [330.0, 303.0, 600.0], [560.0, 320.0, 420.0]])
    balls = np.column_stack([centres, np.full(3, 160.0)])
    step = np.array(SPACING_NM)
    image = draw_balls(balls, (8, 17, 23), step, 28.0, depth_nm=0.0).astype(np.float32)
    found = {}
    for depth in (0.0, None):
        fit = fit_component(image > 0.5, image, SPACING_NM, (288.0, 352.0), 25.0, depth_nm=depth)
        assert len(fit) == 3
        drawn = draw_balls(
            np.column_stack([fit.centres_nm, fit.diameters_nm / 2]), image.shape, step, 28.0, depth_nm=depth
        )
        found[depth] = float(((drawn - image)[image > 0.1] ** 2).mean())
    assert found[0.0] < 0.1 * found[None]


@pytest.mark.parametrize("depth", [0.0, 120.0])
def test_ball_cut_by_the_border_of_the_volume_is_counted(depth: float) -> None:
    # The centre of the first ball lies above the first slice.
    balls = np.array([[-70.0, 303.0, 291.0, 160.0], [60.0, 303.0, 582.0, 160.0], [60.0, 570.0, 430.0, 160.0]])
    image = draw_balls(balls, (4, 23, 23), np.array(SPACING_NM), 28.0, depth_nm=depth).astype(np.float32)
    image += np.random.default_rng(0).normal(0, 0.05, image.shape).astype(np.float32)
    labels, _ = ndimage.label(image > 0.5, np.ones((3, 3, 3)))
    mask = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    assert len(fit_component(mask, image, SPACING_NM, (288.0, 352.0), 25.0, depth_nm=depth)) == 3


def test_lone_ball_of_few_voxels_and_much_noise_stays_whole() -> None:
    for seed in range(12):
        mask, image = _component(np.zeros((1, 3)), np.full(3, 80.0), 20.0, seed)
        assert len(fit_component(mask, image, SPACING_NM, (144.0, 176.0))) == 1


def test_evident_size_is_that_of_most_particles() -> None:
    random = np.random.default_rng(0)
    diameters = np.concatenate([random.normal(320.0, 20.0, 200), random.uniform(100.0, 700.0, 20)])
    size = evident_diameter(diameters)
    assert size.diameter_nm is not None
    low, high = size.diameter_nm
    # The density falls to a tenth of its peak at 2.1 standard deviations, widened by the kernel: 45 to 60 nm away.
    assert 250 < low < 285
    assert 355 < high < 390
    assert abs(size.usual_nm - 320) < 10


@pytest.mark.parametrize(
    ("diameters", "reason"),
    [
        (np.full(5, 320.0), "too few"),
        (np.repeat([160.0, 320.0], 100) + np.tile([-4.0, 0.0, 4.0, 8.0], 50), "expected 60%"),
        (np.geomspace(100.0, 500.0, 300), "factor 2.3"),
    ],
)
def test_no_size_is_evident_and_the_reason_is_given(diameters: NDArray[np.float64], reason: str) -> None:
    size = evident_diameter(diameters)
    assert size.diameter_nm is None
    assert reason in size.reason


@pytest.mark.parametrize("depth_nm", [0.0, 120.0])
def test_derivatives_of_a_drawn_ball_equal_differences(depth_nm: float) -> None:
    shape, spacing, sigma = (5, 21, 23), np.array([120.0, 40.0, 40.0]), 30.0
    ball = np.array([230.0, 410.0, 450.0, 180.0])
    optics = (spacing, sigma, depth_nm, disc_tables())
    image, rows = np.zeros(shape), np.zeros((*shape[:2], 3), np.int64)
    looked = np.broadcast_to(np.array([0, shape[2]]), (*shape[:2], 2)).copy()
    profile, out = np.empty((profile_length(ball[3], sigma), 4)), np.empty((4, image.size))
    count = add_with_derivatives(
        image, ball, np.empty(6, np.int64), np.ones(shape), looked, optics, profile, rows, out
    )
    np.testing.assert_allclose(
        image, draw_balls(ball[None], shape, spacing, sigma, depth_nm=depth_nm), atol=1e-12
    )
    slopes, seen = np.zeros((4, *shape)), 0
    for z, y in np.ndindex(shape[:2]):
        first, last, at = rows[z, y]
        slopes[:, z, y, first:last] = out[:, at : at + last - first]
        seen += last - first
    assert seen == count
    for axis in range(4):
        step = np.zeros(4)
        step[axis] = 0.5
        ends = [
            draw_balls((ball + s * step)[None], shape, spacing, sigma, depth_nm=depth_nm) for s in (-1, 1)
        ]
        # The steepest slope is 0.014 per nm; the tables of discs are interpolated, and four depths stand for a slice.
        np.testing.assert_allclose(slopes[axis], ends[1] - ends[0], atol=1.5e-3)


def test_balls_are_in_the_order_of_their_pieces() -> None:
    diameters = [200.0, 320.0, 240.0, 300.0]
    for seed in range(3):
        random = np.random.default_rng(seed)
        centres = turned(tight_chain(diameters), random)
        mask, image = _component(centres, np.array(diameters)[:, None] / 2 * np.ones(3), 6.0, seed)
        pieces, fit = split_particles(mask, image, SPACING_NM, (190.0, 330.0), 28.0)
        assert pieces.max() == len(fit) == 4
        middles = np.array(ndimage.center_of_mass(pieces > 0, pieces, range(1, 5))) * SPACING_NM
        away = np.linalg.norm(middles[:, None] - fit.centres_nm, axis=2)
        np.testing.assert_array_equal(away.argmin(axis=1), range(4))
