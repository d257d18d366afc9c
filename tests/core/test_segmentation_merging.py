"""Fragments of one object are merged, neighbours are not, in scenes with a known answer."""

import numpy as np
import pytest
from segmentation_scenes import EVERYTHING, SPACING, ideal, segment, supervoxels_of

from spherovem_core.execution import Execution
from spherovem_core.segmentation import MaskInputs, match_labels
from spherovem_core.segmentation.flow_error import volume_flows
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.merging import AdjacencyGraph, merge_weak_boundaries
from spherovem_core.segmentation.selection import choose_objects

MERGE = EVERYTHING.model_copy(update={"merge_boundary_strength": 0.15, "merge_contact_fraction": 0.12})
BLOCKS = (7, (16, 9, 22), 64)


def over_split(scale: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return eight touching boxes, their two to four fragments each, and the two voxels at true borders."""
    shape = (24 * scale, 40 * scale, 52 * scale)
    z, y, x = (n // scale for n in np.indices(shape))
    truth = (1 + (z >= 11) + 2 * (y >= 20) + 4 * (x >= 26)).astype(np.uint32)
    cut = (y % 20 > 9).astype(np.uint32) + 2 * ((x % 26 > 11) & (truth > 4))
    border = np.zeros(shape, bool)
    for axis in range(3):
        differ = np.diff(truth, axis=axis) != 0
        pad = [(0, 0)] * 3
        pad[axis] = (0, 1)
        border |= np.pad(differ, pad)
        pad[axis] = (1, 0)
        border |= np.pad(differ, pad)
    return truth, np.unique(4 * truth + cut, return_inverse=True)[1].astype(np.uint32) + 1, border


def merged(labels: np.ndarray, values: np.ndarray, block: int, **changes: float) -> np.ndarray:
    """Merge labels by the probability and gradient of each voxel."""
    parameters = MERGE.model_copy(update=changes)
    supervoxels, numbers = supervoxels_of(labels, block, values)
    grid = Grid(labels.shape, SPACING)
    choose_objects(supervoxels, MaskInputs(np.zeros((4, *labels.shape)), grid, grid), numbers, parameters, {})
    return supervoxels.labels()[numbers]


def same_objects(first: np.ndarray, second: np.ndarray) -> bool:
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    return bool(pairs.shape[1] == len(np.unique(first)) == len(np.unique(second)))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("evidence", ["probability", "gradient"])
def test_fragments_are_merged_into_their_objects(block: int, evidence: str) -> None:
    truth, fragments, border = over_split()
    assert fragments.max() > 2 * truth.max()
    values = np.stack([np.full(truth.shape, 0.9), np.full(truth.shape, 10.0)])
    if evidence == "probability":
        values[0, border] = 0.6
    else:
        values[1, border] = 30.0
    assert same_objects(merged(fragments, values, block), truth)
    assert same_objects(merged(fragments, values, block, merge_boundary_strength=0.0), fragments)
    # Without boundaries all that touches with enough of its surface is one object.
    values[:] = values[:, 5:6, 5:6, 5:6]
    assert merged(fragments, values, block).max() == 1


@pytest.mark.parametrize("block", BLOCKS)
def test_a_narrow_neck_keeps_objects_apart(block: int) -> None:
    labels = np.zeros((16, 20, 44), np.uint32)
    labels[2:14, 3:17, 2:20], labels[2:14, 3:17, 24:42] = 1, 2
    labels[6:10, 8:12, 20:22], labels[6:10, 8:12, 22:24] = 1, 2
    values = np.stack([np.full(labels.shape, 0.9), np.full(labels.shape, 10.0)])
    assert merged(labels, values, block).max() == 2
    # 4 x 4 faces along x of 500 nm² out of a surface of 395 200 nm².
    fraction = 16 * 500 / (2 * (14 * 18 * 100 + 12 * 18 * 500 + 12 * 14 * 500) + 2 * 2 * 4 * (100 + 500))
    graph = AdjacencyGraph(supervoxels_of(labels, block, values)[0], SPACING)
    first, second = graph.objects
    assert graph.contact_fraction(first, second) == pytest.approx(fraction, rel=1e-12)
    assert merged(labels, values, block, merge_contact_fraction=fraction - 1e-9).max() == 1
    assert merged(labels, values, block, merge_contact_fraction=fraction + 1e-9).max() == 2


def test_boundary_strength_equals_the_value_by_hand() -> None:
    labels = np.ones((10, 10, 20), np.uint32)
    labels[:, :, 10:] = 2
    values = np.stack([np.full(labels.shape, 0.8), np.full(labels.shape, 5.0)])
    values[0, :, :, 9], values[0, :, :, 10] = 0.3, 0.4
    graph = AdjacencyGraph(supervoxels_of(labels, 7, values)[0], SPACING)
    first, second = graph.objects
    # 0.35 at the contact, 0.8 but for two planes of twenty in the mean.
    assert graph.boundary_strength(first, second) == pytest.approx(1 - 0.35 / ((18 * 0.8 + 0.7) / 20))
    values[0], values[1, :, :, 9:11] = 0.8, 20.0
    graph = AdjacencyGraph(supervoxels_of(labels, 7, values)[0], SPACING)
    mean = (18 * 5.0 + 2 * 20.0) / 20
    assert graph.boundary_strength(first, second) == pytest.approx((20 - mean) / (20 + mean))
    values[:] = 0
    assert AdjacencyGraph(supervoxels_of(labels, 7, values)[0], SPACING).boundary_strength(first, second) == 0


def test_a_fragment_is_compared_with_the_whole_object_after_a_merger() -> None:
    # A plate on four quarters, each of which it touches with 0.12 of its surface.
    labels = np.zeros((10, 20, 40), np.uint32)
    labels[:, :10, :20], labels[:, 10:, :20], labels[:, :10, 20:], labels[:, 10:, 20:] = 1, 2, 3, 4
    labels[5] = 5
    labels[6:] = 0
    values = np.stack([np.full(labels.shape, 0.9), np.full(labels.shape, 10.0)])
    supervoxels, _ = supervoxels_of(labels, 64, values)
    graph = AdjacencyGraph(supervoxels, (10.0, 10.0, 10.0))
    *quarters, plate = graph.objects
    # Of the smaller surface, which is that of the quarter.
    assert graph.contact_fraction(quarters[0], plate) == 200 / (2 * 200 + 2 * 50 + 2 * 100)
    assert len(merge_weak_boundaries(graph, MERGE)) == 4
    assert len(graph.objects) == 1
    # Sums of the parts are those of the whole, to the last bit of an integer.
    whole = AdjacencyGraph(supervoxels_of((labels > 0).astype(np.uint32), 64, values)[0], (10.0, 10.0, 10.0))
    (left,), (right,) = graph.objects.values(), whole.objects.values()
    assert (left.area, left.count) == (right.area, right.count)
    assert np.allclose(left.sums, right.sums)


def test_a_small_fragment_is_merged_after_its_neighbours() -> None:
    # A small fragment touches each half of a cell with less than the limit, and their union with more.
    labels = np.zeros((18, 20, 30), np.uint32)
    labels[:14, :, :15], labels[:14, :, 15:] = 1, 2
    labels[14:18, 6:14, 11:19] = 3
    values = np.stack([np.full(labels.shape, 0.9), np.full(labels.shape, 10.0)])
    graph = AdjacencyGraph(supervoxels_of(labels, 64, values)[0], (10.0, 10.0, 10.0))
    one, two, small = graph.objects
    half, halves = 32 / (2 * 64 + 4 * 32), 14 * 20 / (2 * (14 * 20 + 14 * 15 + 20 * 15))
    assert graph.contact_fraction(one, small) == graph.contact_fraction(two, small) == half
    assert graph.contact_fraction(one, two) == halves > 1.2 * half
    alone = MERGE.model_copy(update={"merge_contact_fraction": 1.2 * halves})
    assert not len(merge_weak_boundaries(graph, alone))
    parameters = MERGE.model_copy(update={"merge_contact_fraction": 1.2 * half})
    assert merge_weak_boundaries(graph, parameters).tolist() == [[one, two], [one, small]]


def test_flows_and_image_in_blocks_give_the_true_objects() -> None:
    truth, fragments, border = over_split(2)
    grid = Grid(truth.shape, SPACING)
    flows = np.concatenate([volume_flows(fragments), np.full((1, *truth.shape), 4.0)]).astype(np.float32)
    image = np.full(truth.shape, 128, np.uint8)
    image[border] = 60
    image = np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    parameters = MERGE.model_copy(update={"merge_boundary_strength": 0.3})
    results = []
    for side in (128, 40):
        execution = Execution(block_voxels=side, block_halo_voxels=16)
        labels, count = segment(flows, grid, grid, parameters, image, execution)
        assert count == truth.max()
        assert match_labels(truth, labels, iou=0.95).f1 == 1.0
        results.append(labels)
        plain, plain_count = segment(flows, grid, grid, EVERYTHING, image, execution)
        assert plain_count == plain.max() == fragments.max()
    assert (results[0] == results[1]).mean() > 0.995
    # Without the image nothing shows the borders: the probability is the same everywhere.
    assert segment(flows, grid, grid, parameters, execution=execution)[1] == 1


def test_cells_with_gaps_are_not_merged() -> None:
    labels = np.zeros((12, 30, 60), np.uint32)
    for n in range(3):
        labels[2:10, 5:25, 2 + 19 * n : 20 + 19 * n] = n + 1
    grid = Grid(labels.shape, SPACING)
    found, count = segment(ideal(labels), grid, grid, MERGE)
    assert count == 3
    assert np.array_equal(found, labels)
