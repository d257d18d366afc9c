"""Random places for particles: whole in the space, apart from each other, even over it, and the same in slabs."""

import numpy as np
import pandas as pd
import pytest
from particle_patterns import SPACING, ball_cells
from scipy import ndimage

from spherovem_core.spatial import distance_to_nucleus, random_space
from spherovem_core.spatial.grids import Placement
from spherovem_core.spatial.random_admission import (
    CONTACTS,
    contact_counts,
    fit_clearances,
    fit_contact,
    measure_clearances,
)
from spherovem_core.spatial.random_obstacles import whole_balls
from spherovem_core.spatial.random_patterns import ball_points, count_pairs, volumes_by_distance
from spherovem_core.spatial.random_places import CONTACT_STEP, Box, Pattern, draw_places, move
from spherovem_core.spatial.random_space import Admission, CellSpace, OpenSpace
from spherovem_core.spatial.reach_distance import distance_within

CELLS, NUCLEI = ball_cells()
DISTANCE = distance_to_nucleus(NUCLEI, CELLS, SPACING)
VOXEL = np.array(SPACING) / 1000
EVERYWHERE = Box(np.zeros(3), VOXEL * (np.array(CELLS.shape) - 1), VOXEL)
WHOLE = Admission()


def space_of(label: int = 1, *, in_nuclei: bool = False, reach: float = 0.5) -> CellSpace:
    region = ndimage.find_objects((label == CELLS).astype(np.uint8))[0]
    return CellSpace(label, region, CELLS, DISTANCE, Placement(SPACING), in_nuclei, reach)


def pattern(radii: list[float], label: int = 1) -> Pattern:
    inside = np.argwhere((label == CELLS) & (NUCLEI == 0)) * VOXEL
    return Pattern(inside[:: len(inside) // len(radii)][: len(radii)], np.array(radii))


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_distances_within_reach_are_those_of_a_distance_transform() -> None:
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random((20, 50, 40)), 3)
    mask = smooth > np.median(smooth)
    found = distance_within(mask, VOXEL, np.float32(0.31))
    expected = np.minimum(ndimage.distance_transform_edt(mask, sampling=VOXEL), 0.31)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    part = distance_within(np.ascontiguousarray(mask[3:15]), VOXEL, np.float32(0.31))
    np.testing.assert_array_equal(part[4:-4], found[7:11])
    assert (distance_within(np.ones((4, 5, 6), bool), VOXEL, np.float32(0.31)) == np.float32(0.31)).all()


def test_particles_lie_whole_in_the_cytoplasm_and_apart() -> None:
    radii = [0.32, 0.16, 0.16, 0.16, 0.1, 0.05]
    places, stayed = draw_places(space_of(), pattern(radii), WHOLE, EVERYWHERE, 60, generator())
    assert stayed == 0
    outside = np.argwhere((CELLS != 1) | (NUCLEI > 0)) * VOXEL
    middle = places[0].mean(axis=0)
    outside = outside[np.linalg.norm(outside - middle, axis=1) < 2.5]
    for column, radius in enumerate(radii):
        gaps = np.linalg.norm(places[:10, column, None] - outside[None], axis=-1).min(axis=1)
        # Interpolated distances are too long by a small part of a voxel at most.
        assert (gaps > radius - 0.02).all()
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1) - np.add.outer(radii, radii)
    assert (apart[:, ~np.eye(len(radii), dtype=bool)] > -1e-6).all()


def test_points_are_even_over_the_cytoplasm() -> None:
    admission = Admission(from_nucleus=0.0, from_surface=0.0, contact=())
    places, _ = draw_places(space_of(), pattern([0.0] * 40), admission, EVERYWHERE, 300, generator())
    index = np.rint(places.reshape(-1, 3) / VOXEL).astype(int)
    own = (CELLS == 1) & (NUCLEI == 0)
    assert own[tuple(index.T)].all()
    octants = [index[:, axis] > np.argwhere(own)[:, axis].mean() for axis in range(3)]
    expected = np.argwhere(own) > np.argwhere(own).mean(axis=0)
    for axis in range(3):
        error = np.sqrt(0.25 / len(index))
        assert octants[axis].mean() == pytest.approx(expected[:, axis].mean(), abs=4 * error)


def test_places_of_random_patterns_differ_and_those_of_one_seed_do_not() -> None:
    first, _ = draw_places(space_of(), pattern([0.16] * 4), WHOLE, EVERYWHERE, 9, generator())
    again, _ = draw_places(space_of(), pattern([0.16] * 4), WHOLE, EVERYWHERE, 9, generator())
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) == 36


def test_slabs_give_the_same_places_and_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure() -> list[np.ndarray]:
        space, own = space_of(), pattern([0.16] * 5 + [0.2])
        places, _ = draw_places(space, own, WHOLE, EVERYWHERE, 19, generator())
        clearances = measure_clearances(space, own, generator())
        volumes = volumes_by_distance(space, places, own.radii_um, own.radii_um**3, 0.25)
        return [places, volumes, clearances.volumes, clearances.to_nucleus, clearances.to_surface]

    whole = measure()
    assert len(list(space_of().slabs())) == 1
    monkeypatch.setattr(random_space, "SLAB_VOXELS", 1)
    assert len(list(space_of().slabs())) > 2
    for found, expected in zip(measure(), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_particles_stay_inside_the_volume() -> None:
    low, high = EVERYWHERE.low_um + 0.9, EVERYWHERE.high_um
    places, _ = draw_places(space_of(), pattern([0.2] * 3), WHOLE, Box(low, high, VOXEL), 50, generator())
    assert (places >= low + 0.2 - 1e-6).all()
    open_places, _ = draw_places(
        OpenSpace(low, high), pattern([0.2] * 3), WHOLE, Box(low, high, VOXEL), 50, generator()
    )
    assert ((open_places >= low + 0.2 - 1e-6) & (open_places <= high - 0.2 + 1e-6)).all()


def test_places_leave_the_room_of_particles_that_stay() -> None:
    """Also where there is so little room that particles are moved from where they were measured."""
    own, centre = pattern([0.25] * 12), (CELLS == 1).nonzero()
    fixed = Pattern(np.array([[axis.mean() for axis in centre]]) * VOXEL + [0, 0.8, 0], np.array([0.45]))
    places, _ = draw_places(space_of(), own, WHOLE, EVERYWHERE, 40, generator(), fixed)
    assert places.shape == (40, 12, 3)
    stayed = np.isclose(places, own.points_um).all(axis=2)
    gaps = np.linalg.norm(places - fixed.points_um, axis=2)
    assert (gaps[~stayed] >= 0.7 - 1e-5).all()
    alone, _ = draw_places(space_of(), own, WHOLE, EVERYWHERE, 40, generator())
    assert (np.linalg.norm(alone - fixed.points_um, axis=2) < 0.7).sum() > 20


@pytest.mark.parametrize("side", ["low", "high"])
@pytest.mark.parametrize("height", [0.2, 0.5, 0.8])
def test_a_ball_is_known_from_the_part_that_the_border_leaves(side: str, height: float) -> None:
    voxel, shape, radius = np.array([0.01, 0.005, 0.005]), np.array([100, 200, 200]), 0.5
    box = Box(np.zeros(3), voxel * (shape - 1), voxel)
    border = (-0.5 if side == "low" else 99.5) * voxel[0]
    inwards = 1 if side == "low" else -1
    volume = np.pi * height**2 * (3 * radius - height) / 3
    slabs = round(height / voxel[0])
    first = 0 if side == "low" else 100 - slabs
    particles = pd.DataFrame(
        {
            "bbox_z0": [first],
            "bbox_z1": [first + slabs],
            "bbox_y0": [5],
            "bbox_y1": [9],
            "bbox_x0": [5],
            "bbox_x1": [9],
        }
    )
    seen = Pattern(np.array([[0.3, 0.5, 0.4]]), np.cbrt(np.array([volume]) * 3 / (4 * np.pi)))
    whole = whole_balls(seen, particles, box, 2.0)
    np.testing.assert_allclose(whole.radii_um, [radius])
    np.testing.assert_allclose(whole.points_um, [[border + inwards * (height - radius), 0.5, 0.4]])
    limited = whole_balls(seen, particles, box, 0.0)
    np.testing.assert_allclose(limited.radii_um, seen.radii_um)


def test_particles_without_room_elsewhere_stay_where_they_were_measured() -> None:
    own = pattern([3.0, 0.1])
    places, stayed = draw_places(space_of(), own, WHOLE, EVERYWHERE, 5, generator())
    assert np.isfinite(places).all()
    assert stayed <= 10


def test_moves_among_neighbours_equal_moves_among_all() -> None:
    """The grid of neighbours leaves out none that matters, also once particles have moved."""
    rng = np.random.default_rng(0)
    count, side = 60, 1.5
    places = rng.uniform(0, side, (3, count, 3)).astype(np.float32)
    radii = rng.uniform(0.05, 0.25, count).astype(np.float32)
    contact = np.array([0.0] * 12 + [0.3, 0.8, 0.1, 0.9, 0.5, 0.7, 0.95, 0.6])
    rows, columns = np.nonzero(np.ones((3, count), np.bool_))
    points = rng.uniform(0, side, (len(rows), 4, 3)).astype(np.float32)
    chances = np.where(rng.random((len(rows), 4)) < 0.2, np.inf, rng.random((len(rows), 4)))
    expected, moved = places.copy(), np.zeros((3, count), np.bool_)
    for row, own, proposed, chance in zip(rows, columns, points, chances, strict=True):
        others = np.arange(count) != own
        for point, least in zip(proposed, chance, strict=True):
            ratio = np.linalg.norm(expected[row, others] - point, axis=1) / (radii[others] + radii[own])
            steps = (ratio / CONTACT_STEP).astype(np.int64)
            allowed = np.append(contact, 1.0)[np.minimum(steps, len(contact))].prod()
            if least < 1 and allowed > least:
                expected[row, own], moved[row, own] = point, True
                break
    found = np.zeros_like(moved)
    move(places, found, rows, columns, points, chances, radii, contact)
    assert 0.3 < moved.mean() < 1
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(found, moved)


def test_the_rule_of_whole_particles_is_found_and_that_of_centres_too() -> None:
    rng = generator()
    space = space_of(reach=0.4)
    own = Pattern(np.zeros((60, 3)), np.full(60, 0.16))
    start = Pattern(np.repeat(pattern([0.16]).points_um, 60, axis=0), own.radii_um)
    for rule in (
        Admission(contact=()),
        Admission(from_nucleus=0.0, from_surface=0.0, contact=()),
        Admission(from_nucleus=1.0, from_surface=0.5, contact=()),
    ):
        measured = []
        for _ in range(5):
            places, _ = draw_places(space, start, rule, EVERYWHERE, 1, rng)
            measured.append(measure_clearances(space, Pattern(places[0].astype(float), own.radii_um), rng))
        near, far = fit_clearances(measured, 0.4, 0.0)
        # No place is nearer than half a voxel, 0.16 to 0.31 radii.
        assert near == pytest.approx(rule.from_nucleus, abs=0.1 if rule.from_nucleus else 0.35)
        assert far == pytest.approx(rule.from_surface, abs=0.1 if rule.from_surface else 0.35)


def test_without_particles_whole_ones_are_assumed() -> None:
    assert fit_clearances([], 0.4, 0.05) == (1.0, 1.0)


@pytest.mark.parametrize("overlap", [True, False])
def test_overlap_is_allowed_where_particles_overlap(overlap: bool) -> None:
    rng = generator()
    admission = Admission(contact=()) if overlap else WHOLE
    start = Pattern(np.repeat(pattern([0.16]).points_um, 50, axis=0), np.full(50, 0.16))
    counts = np.zeros((2, CONTACTS), np.int64)
    for _ in range(3):
        places, _ = draw_places(space_of(), start, admission, EVERYWHERE, 1, rng)
        own = Pattern(places[0].astype(float), start.radii_um)
        counts += contact_counts(space_of(), own, admission, EVERYWHERE, rng)
    found = np.append(fit_contact(counts), np.ones(CONTACTS))
    if overlap:
        assert found[14] > 0.6
    else:
        assert (found[:19] < 0.02).all()
        assert found[CONTACTS - 1] > 0.6


def test_without_pairs_particles_do_not_overlap() -> None:
    assert fit_contact(np.zeros((2, CONTACTS), np.int64)) == (0.0,) * 20


def test_pairs_and_nearest_neighbours_equal_brute_force() -> None:
    points = np.random.default_rng(1).uniform(0, 1, (3, 30, 3)).astype(np.float32)
    edges = np.linspace(0, 0.8, 9)[1:]
    pairs, nearest = np.zeros((2, 3, 8), np.int32)
    count_pairs(points, edges, pairs, nearest)
    for row, own in enumerate(points.astype(np.float64)):
        gaps = np.linalg.norm(own[:, None] - own[None], axis=-1)
        upper = gaps[np.triu_indices(30, 1)]
        np.testing.assert_array_equal(pairs[row].cumsum(), [(upper <= edge).sum() for edge in edges])
        np.fill_diagonal(gaps, np.inf)
        np.testing.assert_array_equal(
            nearest[row].cumsum(), [(gaps.min(axis=1) <= edge).sum() for edge in edges]
        )


def test_points_of_a_ball_have_its_moments_and_caps() -> None:
    points = ball_points()
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-9)
    # Each coordinate of a ball of radius 1 has variance 1/5.
    np.testing.assert_allclose(points.var(axis=0), 0.2, atol=0.004)
    directions = np.random.default_rng(2).normal(size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    for height in (0.2, 0.4, 0.8):
        beyond = (directions @ points.T > 1 - height).mean()
        assert beyond == pytest.approx(height**2 * (3 - height) / 4, rel=0.01)


def test_the_rule_of_contact_is_as_coarse_as_its_evidence() -> None:
    edges = np.arange(CONTACTS + 1) / 20
    for pairs in (30, 3_000, 300_000):
        random = np.rint(8 * pairs * np.diff(edges**3)).astype(np.int64)
        found = np.where(edges[1:] > 0.8, random / 8, 0.3 * random / 8)
        rule = np.array(fit_contact(np.stack([np.rint(found).astype(np.int64), random])))
        inside = (edges[1 : len(rule) + 1] > 0.3) & (edges[1 : len(rule) + 1] <= 0.75)
        error = np.sqrt(0.3 / (pairs * 0.8**3))
        np.testing.assert_allclose(rule[inside], 0.3, atol=2.5 * error)


def test_few_corrections_leave_the_rule_as_it_is() -> None:
    rng = generator()
    same = 0
    for _ in range(40):
        counts = np.stack([rng.poisson(40 * np.linspace(0, 1, CONTACTS)), np.full(CONTACTS, 320)])
        changed = counts.copy()
        changed[1] = np.rint(counts[1] * 1.005)
        same += fit_contact(counts) == fit_contact(changed)
    assert same >= 20
