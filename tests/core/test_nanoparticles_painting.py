"""Voxels of the particles: each has one owner, and labels are those of the table, whatever the blocks."""

from dataclasses import replace

import numpy as np
import pytest
from nanoparticle_scenes import COARSE_NM, Kind, make_scene
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.nanoparticles import Particles, find_particles
from spherovem_core.nanoparticles.objects import FoundObject
from spherovem_core.nanoparticles.painting import PaintedParticles, choose_voxels
from spherovem_core.nanoparticles.piece_measures import PieceMeasures

SHAPE = (6, 30, 40)


def territory(first: tuple[int, int, int], size: tuple[int, int, int], seed: int) -> FoundObject:
    """Make an object that may own a box of voxels, of random heights."""
    voxels = np.argwhere(np.ones(size, bool)).astype(np.int32) + np.array(first, np.int32)
    height = np.random.default_rng(seed).uniform(0.05, 1.1, len(voxels)).astype(np.float32)
    order = np.argsort(-height, kind="stable")
    measures = PieceMeasures(*(None,) * len(PieceMeasures._fields))  # type: ignore[arg-type]
    return FoundObject(measures, voxels[order], height[order], height[order] > 0.5, seed)


def paint(painted: PaintedParticles, block: tuple[int, int, int] = SHAPE) -> tuple[NDArray, NDArray]:
    labels, chance = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.float16)
    for entry in block_grid(SHAPE, block):
        labels[entry.core] = painted.labels_in(entry)
        chance[entry.core] = painted.posterior_in(entry)
    return labels, chance


OBJECTS = [
    territory((3, 4, 5), (2, 8, 8), 0),
    territory((1, 6, 9), (3, 9, 9), 1),
    territory((0, 20, 30), (2, 5, 6), 2),
]
COUNTS, CONFIDENCE = np.array([50, 70, 11]), np.array([0.9, 0.6, 1.0])


def test_labels_are_in_the_order_of_first_voxels_and_each_voxel_has_one_owner() -> None:
    painted = choose_voxels(OBJECTS, COUNTS, CONFIDENCE, SHAPE)
    labels, _ = paint(painted)
    np.testing.assert_array_equal(np.bincount(labels.ravel())[1:], [len(v) for v in painted.voxels])
    firsts = [int(np.flatnonzero(labels == n + 1)[0]) for n in range(3)]
    assert firsts == sorted(firsts)
    assert painted.order.tolist() == [2, 1, 0]
    # The brightest voxels, less those that the neighbour is brighter in.
    assert len(painted.voxels[0]) == 11
    assert len(painted.voxels[1]) + len(painted.voxels[2]) <= 120


def test_contested_voxel_goes_to_the_particle_that_is_brighter_in_it() -> None:
    a, b = territory((1, 4, 4), (1, 6, 6), 3), territory((1, 4, 4), (1, 6, 6), 4)
    labels, _ = paint(choose_voxels([a, b], np.array([36, 36]), np.ones(2), SHAPE))
    heights = np.zeros((2, *SHAPE))
    for n, entry in enumerate((a, b)):
        heights[n][tuple(entry.voxels.T)] = entry.height
    first = labels[tuple(a.voxels.T)]
    brighter = np.argmax(heights, axis=0)[tuple(a.voxels.T)]
    # Labels are numbered by first voxels, not by the order of the objects.
    assert len({*zip(first.tolist(), brighter.tolist(), strict=True)}) == 2


@pytest.mark.parametrize("block", [(1, 7, 9), (6, 30, 40), (4, 30, 13)])
def test_labels_and_posterior_do_not_depend_on_blocks(block: tuple[int, int, int]) -> None:
    painted = choose_voxels(OBJECTS, COUNTS, CONFIDENCE, SHAPE)
    for whole, pieces in zip(paint(painted), paint(painted, block), strict=True):
        np.testing.assert_array_equal(pieces, whole)


def test_posterior_rises_with_the_height_up_to_the_confidence() -> None:
    painted = choose_voxels(OBJECTS[:1], COUNTS[:1], CONFIDENCE[:1], SHAPE)
    _, chance = paint(painted)
    here = chance[tuple(OBJECTS[0].voxels.T)].astype(float)
    assert (np.diff(here) <= 0).all()
    assert here.max() == pytest.approx(0.9, abs=5e-3)
    outline = OBJECTS[0].height > OBJECTS[0].height[COUNTS[0] - 1]
    assert here[outline].min() > 0.45 >= here[~outline].max() - 0.01


def ramps(count: int, outlined: bool = False) -> list[FoundObject]:
    """Make objects of equal boxes whose heights fall evenly from 1 to 0.1."""
    out = []
    for n in range(count):
        entry = territory((0, 0, 7 * n), (2, 5, 6), n)
        height = np.linspace(1.0, 0.1, len(entry.voxels), dtype=np.float32)
        out.append(replace(entry, height=height, inside=height > 0.5, outlined=outlined))
    return out


def test_particles_of_one_size_are_outlined_at_one_height() -> None:
    noisy = np.array([24, 28, 32, 36] * 5)
    painted = choose_voxels(ramps(20), noisy, np.ones(20), (2, 5, 140))
    held = np.array([len(v) for v in painted.voxels])
    assert np.ptp(held) == 0
    assert held.sum() == pytest.approx(noisy.sum(), rel=0.05)


@pytest.mark.parametrize(("count", "outlined"), [(4, False), (20, True)], ids=["few", "outlined"])
def test_few_or_outlined_particles_hold_their_own_volume(count: int, outlined: bool) -> None:
    own = np.array([24, 28, 32, 36] * 5)[:count]
    painted = choose_voxels(ramps(count, outlined), own, np.ones(count), (2, 5, 140))
    assert [len(v) for v in painted.voxels] == own[painted.order].tolist()


def test_nothing_is_painted_without_particles() -> None:
    labels, chance = paint(choose_voxels([], np.empty(0, np.int64), np.empty(0), SHAPE))
    assert not labels.any()
    assert not chance.any()


@pytest.fixture(scope="module")
def found() -> Particles:
    # Many balls in a small volume, several of them cut by its border.
    return find_particles(make_scene((14, 112, 112), (Kind(30, 240.0),), COARSE_NM).image, COARSE_NM)


def test_labels_equal_the_table(found: Particles) -> None:
    table = found.table
    np.testing.assert_array_equal(table.label, np.arange(1, len(table) + 1))
    np.testing.assert_array_equal(np.bincount(found.labels.ravel())[1:], table.voxel_count)
    for row in table.itertuples():
        places = np.argwhere(found.labels == row.label)
        box = (row.bbox_z0, row.bbox_y0, row.bbox_x0, row.bbox_z1, row.bbox_y1, row.bbox_x1)
        assert box == (*places.min(axis=0), *(places.max(axis=0) + 1))
        centre = places.mean(axis=0) * np.array(COARSE_NM) / 1000
        np.testing.assert_allclose((row.centroid_z_um, row.centroid_y_um, row.centroid_x_um), centre)
    np.testing.assert_allclose(table.equivalent_diameter_um**3 * np.pi / 6, table.volume_um3)


def test_particles_at_the_border_are_found_inside_the_volume(found: Particles) -> None:
    boxes = found.table.filter(like="bbox_").to_numpy()
    at_border = (boxes[:, :3] == 0).any(axis=1) | (boxes[:, 3:] == found.labels.shape).any(axis=1)
    assert at_border.sum() >= 3
    assert (boxes[:, :3] >= 0).all()
    assert (boxes[:, 3:] <= found.labels.shape).all()


def test_posterior_is_a_probability_and_high_in_particles(found: Particles) -> None:
    chance = found.posterior.astype(float)
    assert chance.min() == 0.0
    assert chance.max() <= 1.0
    assert np.median(chance[found.labels > 0]) > 0.5
    assert (chance > 0).mean() < 0.2
