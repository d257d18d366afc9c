"""Splits between seeds, on shapes whose neck is known."""

import math

import cc3d
import numpy as np
import pytest
from correction_scenes import SPACING_NM, anchor_at, ball, entries_of, grid_of, split_at_seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from spherovem_core.corrections import CutLine, Operation, Split, correct_labels, object_box
from spherovem_core.corrections.application import Replay
from spherovem_core.errors import CorrectionError

SPACING = (0.05, 0.02, 0.02)
SHAPE = (28, 80, 120)
NECK_UM = (1.6**2 - 0.7**2 + 0.6**2 - 0.5**2) / (2 * (1.6 - 0.7))
"""Where two balls of 0.6 and 0.5 µm around x = 0.7 and 1.6 µm meet: x² - r² is equal for both."""
LEFT, RIGHT = (14, 40, 35), (14, 40, 80)


def two_balls() -> np.ndarray:
    return ball(SHAPE, (0.7, 0.8, 0.7), 0.6) | ball(SHAPE, (0.7, 0.8, 1.6), 0.5)


def columns(parts: np.ndarray) -> list[tuple[int, int]]:
    """First and last column of each part."""
    found = [np.nonzero((parts == number).any(axis=(0, 1)))[0] for number in range(1, int(parts.max()) + 1)]
    return [(int(each[0]), int(each[-1])) for each in found]


def assert_cut_at(parts: np.ndarray, x_um: float, tolerance_um: float) -> None:
    (_, end), (start, _) = columns(parts)
    assert abs(end * SPACING[2] - x_um) <= tolerance_um
    assert abs(start * SPACING[2] - x_um) <= tolerance_um


@pytest.mark.parametrize("left", [LEFT, (14, 40, 6), (20, 58, 35), (14, 40, 55)])
@pytest.mark.parametrize("right", [RIGHT, (14, 40, 103), (18, 24, 82)])
def test_the_cut_goes_through_the_neck_wherever_the_seeds_lie(
    left: tuple[int, int, int], right: tuple[int, int, int]
) -> None:
    mask = two_balls()
    parts = split_at_seeds(mask, SPACING, [left, right])
    np.testing.assert_array_equal(parts > 0, mask)
    # The distance to the surface is known to a voxel of 50 nm, which moves the neck by as much at most.
    assert_cut_at(parts, NECK_UM, 0.05)
    swapped = split_at_seeds(mask, SPACING, [right, left])
    np.testing.assert_array_equal(swapped, np.array([0, 2, 1], np.uint16)[parts])


@pytest.mark.parametrize("second", [(14, 40, 48), (14, 58, 40)])
def test_seeds_on_one_side_of_the_neck_part_that_side(second: tuple[int, int, int]) -> None:
    mask = two_balls()
    parts = split_at_seeds(mask, SPACING, [(14, 40, 20), second])
    distances = [
        np.linalg.norm((np.argwhere(mask) - seed) * SPACING, axis=1) for seed in ((14, 40, 20), second)
    ]
    left = np.argwhere(mask)[:, 2] * SPACING[2] < NECK_UM - 0.05
    nearer = np.where(distances[0] <= distances[1], 1, 2)
    # The other ball goes as a whole with the part that it touches most.
    assert (parts[mask] == nearer)[left].mean() > 0.99
    assert len(set(parts[ball(SHAPE, (0.7, 0.8, 1.6), 0.4)].tolist())) == 1


def test_a_ball_with_two_seeds_is_parted_midway() -> None:
    parts = split_at_seeds(ball(SHAPE, (0.7, 0.8, 1.2), 0.6), SPACING, [(14, 40, 50), (14, 40, 70)])
    assert_cut_at(parts, 1.2, 0.021)


def test_a_chain_of_three_is_parted_at_both_necks() -> None:
    shape = (28, 80, 180)
    mask = np.logical_or.reduce([ball(shape, (0.7, 0.8, x), 0.55) for x in (0.8, 1.7, 2.6)])
    parts = split_at_seeds(mask, SPACING, [(14, 40, 20), (14, 62, 85), (14, 30, 140)])
    spans = columns(parts)
    for (_, end), (start, _), neck in zip(spans[:2], spans[1:], (1.25, 2.15), strict=True):
        assert abs(end * SPACING[2] - neck) <= 0.05
        assert abs(start * SPACING[2] - neck) <= 0.05


def test_a_bulge_without_a_seed_goes_across_its_widest_neck() -> None:
    # A ball of 0.3 µm between two others: its neck to the left one is wider.
    shape = (28, 80, 160)
    balls = [ball(shape, (0.7, 0.8, x), r) for x, r in ((0.7, 0.55), (1.4, 0.35), (2.2, 0.5))]
    parts = split_at_seeds(np.logical_or.reduce(balls), SPACING, [(14, 40, 20), (14, 40, 125)])
    meet = (2.2**2 - 1.4**2 - 0.5**2 + 0.35**2) / (2 * (2.2 - 1.4))
    assert_cut_at(parts, meet, 0.05)


def test_the_border_of_the_array_is_no_surface() -> None:
    # Half of the balls lies outside the volume: the neck is the same.
    parts = split_at_seeds(two_balls()[14:], SPACING, [(0, 40, 20), (0, 40, 90)])
    assert_cut_at(parts, NECK_UM, 0.05)


def test_an_object_that_fills_the_array_is_parted_midway() -> None:
    parts = split_at_seeds(np.ones((4, 10, 20), bool), SPACING, [(2, 5, 4), (2, 5, 14)])
    assert columns(parts) == [(0, 9), (10, 19)]


def test_a_coarser_grid_moves_the_cut_by_its_voxel_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_box, "LARGEST_GRID", 28 * 40 * 40)
    mask = two_balls()
    # A gap of one voxel, too thin for the coarse grid, parts the balls instead of the neck beside it.
    gap = round(NECK_UM / SPACING[2]) + 2
    for thin in (False, True):
        if thin:
            mask[:, :39, gap] = mask[:, 41:, gap] = False
        parts = split_at_seeds(mask, SPACING, [LEFT, RIGHT])
        np.testing.assert_array_equal(parts > 0, mask)
        assert_cut_at(parts, NECK_UM, 0.06)
        assert cc3d.connected_components(parts, connectivity=26, return_N=True)[1] == 2
    assert columns(parts)[0][1] == gap - 1
    with pytest.raises(CorrectionError, match=r"one block of 1 × 3 × 3 voxels .* farther apart"):
        split_at_seeds(mask, SPACING, [(14, 40, 33), (14, 41, 34)])


def test_a_separate_piece_goes_whole_to_the_nearest_seed() -> None:
    mask = two_balls()
    mask[0, 0:2, 20:119] = True
    parts = split_at_seeds(mask, SPACING, [LEFT, RIGHT])
    assert len(set(parts[0, 0:2, 20:119].ravel().tolist())) == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(2, 4))
def test_parts_of_any_object_are_connected_and_hold_their_seeds(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.random((9, 12, 11)) < 0.35
    pieces = cc3d.connected_components(noise, connectivity=26)
    mask = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
    places = [tuple(place) for place in rng.permutation(np.argwhere(mask))[:count].tolist()]
    parts = split_at_seeds(mask, SPACING, places)
    np.testing.assert_array_equal(parts > 0, mask)
    assert [int(parts[place]) for place in places] == list(range(1, count + 1))
    assert cc3d.connected_components(parts, connectivity=26, return_N=True)[1] == count
    np.testing.assert_array_equal(parts, split_at_seeds(mask, SPACING, places))


class CountedReads:
    """Labels that know the largest region that was read at once."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.shape, self.dtype, self.largest = labels, labels.shape, labels.dtype, 0

    def __getitem__(self, region: tuple[slice, ...]) -> np.ndarray:
        values = self.labels[region]
        self.largest = max(self.largest, values.size)
        return values


def large_scene() -> tuple[np.ndarray, list[Operation]]:
    """Two balls over several blocks, and splits of them at seeds and along a line."""
    shape = (50, 100, 230)
    labels = (ball(shape, (1.2, 1, 1.2), 0.9) | ball(shape, (1.2, 1, 2.8), 1.0)).astype(np.uint32) * 5
    grid = grid_of(labels)
    line = CutLine(start_um=grid.point_of((24, 2, 62)), end_um=grid.point_of((24, 98, 62)))
    seeds = (anchor_at(labels, (24, 50, 30)), anchor_at(labels, (24, 50, 170)))
    at_left = anchor_at(labels, (24, 50, 40), with_volume=False)
    return labels, [Split(objects=seeds), Split(objects=(at_left,), line=line)]


def test_an_object_larger_than_memory_is_cut_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, operations = large_scene()
    expected, _ = correct_labels(labels, SPACING_NM, entries_of(operations), grid_of(labels).origin_nm)
    for module, name, value in (
        (object_box, "KEPT_IN_MEMORY", 2**16),
        (object_box, "LARGEST_GRID", 2**16),
    ):
        monkeypatch.setattr(module, name, value)
    counted = CountedReads(labels)
    replay = Replay(counted, grid_of(labels))
    assert all(not replay.apply(entry).reason for entry in entries_of(operations))
    found = replay.canvas.labels[tuple(map(slice, (0, 0, 0), labels.shape))]
    assert counted.largest <= math.prod((50, 128, 128))
    np.testing.assert_array_equal(found > 0, labels > 0)
    # The cuts are those at full resolution to a coarse voxel; the plane of a line is the same everywhere.
    differs = np.argwhere(found != expected)
    assert len(differs) < 0.005 * (labels > 0).sum()
    assert np.ptp(differs[:, 2]) <= 12 if len(differs) else True


def test_line_cuts_are_the_same_on_a_coarser_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, (_, line) = large_scene()
    expected, _ = correct_labels(labels, SPACING_NM, entries_of([line]), grid_of(labels).origin_nm)
    monkeypatch.setattr(object_box, "LARGEST_GRID", 2**16)
    found, _ = correct_labels(labels, SPACING_NM, entries_of([line]), grid_of(labels).origin_nm)
    np.testing.assert_array_equal(found, expected)
