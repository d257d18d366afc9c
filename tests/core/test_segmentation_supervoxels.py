"""Supervoxels of a volume and holes: as counted by hand, from blocks of any size."""

from dataclasses import asdict
from pathlib import Path

import cc3d
import numpy as np
import pytest
from scipy import ndimage
from segmentation_scenes import EVERYTHING, SPACING, packed_cells, supervoxels_of

from spherovem_core.blocks import block_grid
from spherovem_core.segmentation import MaskInputs
from spherovem_core.segmentation.block_statistics import BlockStatistics
from spherovem_core.segmentation.block_supervoxels import number_supervoxels
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.holes import find_enclosed_background
from spherovem_core.segmentation.selection import choose_objects
from spherovem_core.store import Ledger

BLOCKS = (7, (16, 9, 11), 64)


def two_boxes() -> np.ndarray:
    """Return a box at the corner of the volume and one that touches it along x with 4 x 5 faces."""
    labels = np.zeros((12, 14, 20), np.uint32)
    labels[:4, :5, :6] = 1
    labels[:6, :7, 6:15] = 2
    return labels


def chosen(labels: np.ndarray, block: int | tuple[int, int, int], **changes: object) -> np.ndarray:
    """Choose the final objects of labels."""
    parameters = EVERYTHING.model_copy(update=changes)
    supervoxels, numbers = supervoxels_of(labels, block, fill_holes=parameters.fill_holes)
    grid = Grid(labels.shape, SPACING)
    choose_objects(supervoxels, MaskInputs(np.zeros((4, *labels.shape)), grid, grid), numbers, parameters, {})
    return supervoxels.labels()[numbers]


@pytest.mark.parametrize("block", BLOCKS)
def test_statistics_of_two_boxes_are_exact(block: int) -> None:
    supervoxels, numbers = supervoxels_of(two_boxes(), block)
    first, second = (int(supervoxels.roots[numbers[place]]) for place in ((0, 0, 0), (0, 0, 6)))
    assert supervoxels.objects().tolist() == [first, second]
    assert supervoxels.counts()[[first, second]].tolist() == [4 * 5 * 6, 6 * 7 * 9]
    assert supervoxels.border()[[first, second]].tolist() == [[5 * 6, 4 * 6, 4 * 5], [7 * 9, 6 * 9, 0]]
    assert supervoxels.boxes()[second] == (slice(0, 6), slice(0, 7), slice(6, 15))
    contacts = supervoxels.contacts()
    common = contacts.faces[(contacts.pairs == [first, second]).all(axis=1)]
    assert common.tolist() == [[0, 0, 4 * 5]]
    surfaces = supervoxels.surfaces_nm2(SPACING)
    # Faces along z are 10 x 10 nm, along y and x 50 x 10 nm.
    assert surfaces[first] == 2 * (5 * 6 * 100 + 4 * 6 * 500 + 4 * 5 * 500)
    assert surfaces[second] == 2 * (7 * 9 * 100 + 6 * 9 * 500 + 6 * 7 * 500)


def test_statistics_of_blocks_add_up() -> None:
    labels = packed_cells((24, 30, 34), 12)
    values = np.random.default_rng(0).uniform(0, 1, (2, *labels.shape))
    tables = []
    for block in BLOCKS:
        supervoxels, numbers = supervoxels_of(labels, block, values)
        final = supervoxels.labels()
        assert (final[numbers] > 0).sum() >= (labels > 0).sum()
        objects = supervoxels.objects()
        order = np.argsort(final[objects])
        contacts = supervoxels.contacts()
        between = supervoxels.is_object[contacts.pairs].all(axis=1)
        pairs = np.sort(final[contacts.pairs[between]], axis=1)
        rows = np.lexsort((pairs[:, 1], pairs[:, 0]))
        tables.append(
            [
                final[numbers],
                supervoxels.counts()[objects][order],
                supervoxels.border()[objects][order],
                supervoxels.sums()[objects][order],
                pairs[rows],
                contacts.faces[between][rows],
                contacts.sums[between][rows],
            ]
        )
    for other in tables[1:]:
        for mine, theirs in zip(tables[0], other, strict=True):
            # Sums differ by the order in which floats are added.
            assert np.allclose(mine, theirs, rtol=1e-9, atol=0)


def test_labels_count_objects_in_the_order_of_their_first_voxels() -> None:
    labels = packed_cells((20, 22, 24), 9)
    for block in BLOCKS:
        supervoxels, numbers = supervoxels_of(labels, block)
        final = supervoxels.labels()[numbers]
        found, first = np.unique(final[final > 0], return_index=True)
        assert found.tolist() == list(range(1, len(found) + 1))
        assert (np.diff(first) > 0).all()


def test_block_statistics_survive_the_ledger(tmp_path: Path) -> None:
    labels = packed_cells((10, 12, 14), 4)
    (block,) = block_grid(labels.shape, (64, 64, 64))
    values = np.random.default_rng(1).uniform(size=(2, *(n + 1 for n in labels.shape))).astype(np.float32)
    _, statistics = number_supervoxels(
        block, labels, np.zeros(labels.shape, np.uint32), np.ones(1, bool), values
    )
    Ledger(tmp_path / "statistics.jsonl", "digest")["block"] = statistics.to_text()
    again = BlockStatistics.from_text(Ledger(tmp_path / "statistics.jsonl", "digest")["block"])
    for name, value in asdict(statistics).items():
        kept = getattr(again, name)
        assert kept.dtype == value.dtype
        assert kept.shape == value.shape
        assert np.array_equal(kept, value)
    assert statistics.pairs.size > 0


@pytest.mark.parametrize("block", BLOCKS)
def test_holes_are_filled_and_tunnels_are_not(block: int) -> None:
    labels = np.zeros((16, 18, 40), np.uint32)
    labels[2:14, 2:16, 2:18] = 1
    labels[4:12, 4:14, 4:16] = 0
    labels[2:14, 2:16, 20:38] = 2
    labels[4:12, 4:14, 22:36] = 0
    labels[8, 8, 36:38] = 0
    filled = chosen(labels, block)
    assert (filled[2:14, 2:16, 2:18] == 1).all()
    assert np.array_equal(filled == 2, labels == 2)
    assert np.array_equal(chosen(labels, block, fill_holes=False), labels)


@pytest.mark.parametrize("block", BLOCKS)
def test_an_object_in_a_hole_is_kept_unless_it_is_dropped(block: int) -> None:
    labels = np.zeros((20, 22, 24), np.uint32)
    labels[1:19, 1:21, 1:23] = 1
    labels[4:16, 4:18, 4:20] = 0
    labels[6:12, 6:14, 6:14] = 2
    labels[8:10, 8:10, 8:10] = 0
    filled = chosen(labels, block)
    assert (filled[6:12, 6:14, 6:14] == 2).all()
    filled[6:12, 6:14, 6:14] = 1
    assert (filled[1:19, 1:21, 1:23] == 1).all()
    # A dropped object inside another one becomes part of it, so that no hole is left.
    assert (chosen(labels, block, min_diameter_um=0.2)[1:19, 1:21, 1:23] == 1).all()


@pytest.mark.parametrize("block", BLOCKS)
def test_a_pocket_between_objects_goes_to_the_object_around_them(block: int) -> None:
    labels = np.zeros((20, 22, 44), np.uint32)
    labels[1:19, 1:21, 1:43] = 1
    labels[4:16, 4:18, 6:20], labels[4:16, 4:18, 20:34] = 2, 3
    labels[8:12, 8:12, 18:23] = 0
    filled = chosen(labels, block)
    labels[8:12, 8:12, 18:23] = 1
    assert np.array_equal(filled, labels)
    # Without that object the pocket stays.
    labels[labels == 1] = 0
    filled = chosen(labels, block)
    assert not filled[8:12, 8:12, 18:23].any()
    assert np.array_equal(filled > 0, labels > 0)


@pytest.mark.parametrize("block", BLOCKS)
def test_background_between_two_objects_is_not_a_hole(block: int) -> None:
    labels = np.zeros((16, 16, 24), np.uint32)
    labels[2:14, 2:14, 2:12], labels[2:14, 2:14, 12:22] = 1, 2
    labels[6:10, 6:10, 8:16] = 0
    supervoxels, numbers = supervoxels_of(labels, block)
    assert not len(find_enclosed_background(supervoxels))
    pair = np.unique(supervoxels.roots[numbers[labels > 0]])
    supervoxels.join(pair[None])
    # Within one object made of both it is a hole.
    supervoxels.join(find_enclosed_background(supervoxels))
    assert (supervoxels.labels()[numbers][2:14, 2:14, 2:22] == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_holes_are_those_of_scipy_for_each_object(seed: int) -> None:
    generator = np.random.default_rng(seed)
    fine, coarse = (
        ndimage.gaussian_filter(generator.normal(size=(26, 28, 30)), sigma) for sigma in (1.0, 3.0)
    )
    part = np.where(
        fine < np.quantile(fine, 0.12), 0, np.digitize(coarse, np.quantile(coarse, (0.1, 0.6))) + 1
    )
    labels = np.zeros(part.shape, np.uint32)
    for level in (1, 2, 3):
        components = cc3d.connected_components(part == level, connectivity=6).astype(np.uint32)
        labels = np.where(part == level, components + labels.max(), labels)
    expected, sizes = labels.copy(), np.bincount(labels.ravel())
    # The largest object first, so that the innermost object around a hole is the last to fill it.
    for label in np.argsort(-sizes[1:]) + 1:
        expected[ndimage.binary_fill_holes(labels == label) & (labels == 0)] = label
    assert (expected != labels).sum() > 20
    for block in (8, (26, 9, 30), 64):
        supervoxels, numbers = supervoxels_of(labels, block, halo=30)
        supervoxels.join(find_enclosed_background(supervoxels))
        final = supervoxels.labels()[numbers]
        pairs = np.unique(np.stack([expected.ravel(), final.ravel()]), axis=1)
        assert pairs.shape[1] == len(np.unique(expected)) == len(np.unique(final))


@pytest.mark.parametrize("block", BLOCKS)
def test_mostly_truncated_objects_are_dropped(block: int) -> None:
    labels = two_boxes()
    # By area 25 000 of 50 000 nm² of the first box's surface lie on the border, 33 300 of 108 600 of the second's.
    fractions = {1: 0.5, 2: (7 * 9 * 100 + 6 * 9 * 500) / (2 * (7 * 9 * 100 + 6 * 9 * 500 + 6 * 7 * 500))}
    assert fractions[2] == pytest.approx(0.3066, abs=1e-4)
    for limit, expected in ((1.0, 2), (0.51, 2), (0.49, 1), (0.31, 1), (0.30, 0)):
        left = chosen(labels, block, max_truncated_fraction=limit)
        assert left.max() == expected
        assert np.array_equal(left > 0, labels > 2 - expected)


@pytest.mark.parametrize("block", BLOCKS)
def test_min_diameter_applies_to_whole_objects(block: int) -> None:
    labels = two_boxes()
    # 120 and 378 voxels of 5000 nm³: balls of 104.6 and 153.3 nm across.
    for least, expected in ((0.0, 2), (0.104, 2), (0.105, 1), (0.153, 1), (0.154, 0)):
        assert chosen(labels, block, min_diameter_um=least).max() == expected
