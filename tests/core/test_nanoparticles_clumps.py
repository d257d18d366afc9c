"""Clumps of touching particles: each particle is counted, and each clump is an agglomerate."""

import numpy as np
import pytest
from ball_clumps import chain, octahedron, triangle, turned
from nanoparticle_scenes import COARSE_NM, Kind, Scene, make_scene, score, smooth_field

from spherovem_core.nanoparticles import Particles, find_particles
from spherovem_core.nanoparticles.ball_images import draw_balls
from spherovem_core.nanoparticles.clumps import _overlap
from spherovem_core.nanoparticles.component_fit import ComponentFit
from spherovem_core.nanoparticles.splitting import _cut
from spherovem_core.parameters import NanoparticleParameters

KINDS = (
    Kind(20, 320.0),
    Kind(4, 320.0, clump=chain(2, (0, 0, 1))),
    Kind(2, 320.0, clump=triangle()),
    Kind(2, 320.0, clump=octahedron()),
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene((22, 176, 176), KINDS, COARSE_NM)


@pytest.fixture(scope="module")
def found(scene: Scene) -> Particles:
    return find_particles(scene.image, COARSE_NM)


def test_touching_particles_are_counted_within_5_percent(scene: Scene, found: Particles) -> None:
    assert len(found.table) == pytest.approx(len(scene.balls), rel=0.05)
    result = score(scene, found.table)
    assert result.recall >= 0.95
    assert 0.95 <= result.size_ratio <= 1.05


def test_sizes_of_touching_particles_are_those_of_the_fitted_balls(scene: Scene, found: Particles) -> None:
    rows, columns = score(scene, found.table).pairs.T
    balls = scene.balls.iloc[rows]
    touching = (balls.groupby("clump").clump.transform("size").to_numpy() > 1) & ~balls.cut.to_numpy()
    ratios = 1e3 * found.table.equivalent_diameter_um.to_numpy()[columns] / balls.diameter_nm.to_numpy()
    # From the signal in their territories it was 1.025, with twice the spread.
    assert np.median(ratios[touching]) == pytest.approx(1, abs=0.015)
    assert ratios[touching].std() < 0.025


def test_particles_of_a_clump_are_one_agglomerate(scene: Scene, found: Particles) -> None:
    rows, columns = score(scene, found.table).pairs.T
    clumps, agglomerates = scene.balls.clump.to_numpy()[rows], found.table.agglomerate.to_numpy()[columns]
    together = clumps[:, None] == clumps
    ours = agglomerates[:, None] == agglomerates
    # Pairs of particles that share a clump.
    assert (together & ours).sum() / (together | ours).sum() > 0.95
    assert len(found.agglomerates) == pytest.approx(scene.balls.clump.nunique(), abs=2)


def test_table_of_agglomerates_sums_up_the_table_of_particles(found: Particles) -> None:
    by = found.table.groupby("agglomerate")
    np.testing.assert_array_equal(found.agglomerates.label, sorted(found.table.agglomerate.unique()))
    np.testing.assert_array_equal(found.agglomerates.particle_count, by.size())
    np.testing.assert_allclose(found.agglomerates.volume_um3, by.volume_um3.sum())
    six = found.agglomerates[found.agglomerates.particle_count == 6]
    # Opposite balls of an octahedron lie the square root of 2 diameters apart.
    np.testing.assert_allclose(six.extent_um, (1 + np.sqrt(2)) * 0.32, rtol=0.1)
    assert len(six) >= 1


def test_evident_size_is_reported(found: Particles) -> None:
    low, high = found.mixture.expected_diameter_nm or (0.0, 0.0)
    assert low < 320.0 < high < 1.5 * low


def test_clumps_stay_whole_where_splitting_is_off(scene: Scene, found: Particles) -> None:
    whole = find_particles(scene.image, COARSE_NM, NanoparticleParameters(split_touching=False))
    assert len(whole.table) < len(found.table) - 8
    assert len(whole.agglomerates) == len(whole.table)
    assert whole.mixture.expected_diameter_nm is None


@pytest.mark.parametrize("depth_nm", [0.0, 120.0], ids=["planes", "whole slices"])
def test_clumps_show_the_depth_of_slices_where_no_particle_lies_apart(depth_nm: float) -> None:
    random = np.random.default_rng(3)
    shape, step = (24, 160, 160), np.array(COARSE_NM)
    places = np.stack(
        np.meshgrid([900.0, 2000.0], [1500.0, 3200.0, 4900.0], [1500.0, 3200.0, 4900.0], indexing="ij"), 3
    )
    clumps = [
        320.0 * turned(triangle() if n % 2 else chain(4, (0, 0, 1)), random) + place
        for n, place in enumerate(places.reshape(-1, 3)[::2])
    ]
    balls = np.column_stack([np.concatenate(clumps), np.full(sum(map(len, clumps)), 160.0)])
    image = 120 + 90 * np.minimum(draw_balls(balls, shape, step, 24.0, depth_nm=depth_nm), 1)
    image += 6 * smooth_field(random, shape, 60.0, COARSE_NM) + 4 * random.standard_normal(shape)
    found = find_particles(np.clip(np.rint(image), 0, 255).astype(np.uint8), COARSE_NM)
    assert found.mixture.depth_nm == depth_nm
    assert len(found.table) == len(balls)


def test_clumps_in_vesicles_with_a_dark_rim_are_split() -> None:
    random = np.random.default_rng(5)
    shape, step = (24, 160, 160), np.array(COARSE_NM)
    places = [(900, y, x) for y in (1500, 3200, 4900) for x in (1500, 3200, 4900)]
    places += [(2000, y, x) for y in (2400, 4100) for x in (2400, 4100)]
    clumps = [
        280.0 * turned(chain(4, (0, 0, 1)) if n % 2 else triangle(), random) + place
        for n, place in enumerate(places)
    ]
    centres = np.concatenate(clumps)
    inside, outside = (
        np.minimum(
            draw_balls(np.column_stack([centres, np.full(len(centres), r)]), shape, step, 20.0, depth_nm=0.0),
            1,
        )
        for r in (140.0, 190.0)
    )
    image = 120 + 60 * inside - 30 * np.maximum(outside - inside, 0)
    image += 4 * smooth_field(random, shape, 60.0, COARSE_NM) + 3 * random.standard_normal(shape)
    found = find_particles(np.clip(np.rint(image), 0, 255).astype(np.uint8), COARSE_NM)
    assert len(found.table) == pytest.approx(len(centres), rel=0.05)


def test_a_droplet_is_not_filled_with_particles() -> None:
    kinds = (Kind(30, 200.0), Kind(4, 900.0, grey=205.0))
    scene = make_scene((24, 200, 200), kinds, COARSE_NM, seed=2)
    found = find_particles(scene.image, COARSE_NM)
    assert found.table.equivalent_diameter_um.max() < 0.3
    assert len(found.table) <= 31


@pytest.mark.parametrize("cut", [False, True])
def test_balls_that_fill_a_droplet_have_little_of_it_to_themselves(cut: bool) -> None:
    step = np.array(COARSE_NM)
    grid = np.argwhere(np.ones((9, 27, 27), np.bool_)) * step
    mask = (np.linalg.norm(grid - [480, 520, 520], axis=1) < 400).reshape(9, 27, 27)
    # Twelve balls that overlap: six within the droplet, and six at its surface, which share what the others have.
    ways = np.concatenate([np.eye(3), -np.eye(3)])
    centres = np.concatenate([[480, 520, 520] + 180 * ways, [480, 520, 520] + 260 * ways])
    diameters = np.repeat([320.0, 210.0], 6)
    if cut:
        mask, centres = mask[4:], centres - [480, 0, 0]
    fit = ComponentFit(centres, diameters)
    assert _overlap(fit, _cut(mask, fit, COARSE_NM)[0], mask, COARSE_NM)


def test_balls_of_a_clump_have_their_part_of_it_to_themselves() -> None:
    step = np.array(COARSE_NM)
    grid = np.argwhere(np.ones((11, 33, 33), np.bool_)) * step
    centres = np.array([[z, y, x] for z in (440.0, 760.0) for y in (400.0, 720.0) for x in (400.0, 720.0)])
    near = np.linalg.norm(grid[:, None] - centres, axis=2) < 160
    mask = near.any(axis=1).reshape(11, 33, 33)
    fit = ComponentFit(centres, np.full(8, 320.0))
    assert not _overlap(fit, _cut(mask, fit, COARSE_NM)[0], mask, COARSE_NM)
