"""Boxes, counts and moments of labels: across blocks, of noise, of nothing."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spherovem_core.label_statistics import collect_label_statistics


@pytest.mark.parametrize("edge", [1, 2, 7, 16])
def test_blocks_of_any_size_say_the_same(edge, monkeypatch):
    labels = np.random.default_rng(0).integers(0, 4, (7, 15, 17)).astype(np.uint16)
    labels[2:6, 3:12, 4:16] = 9
    whole = collect_label_statistics(labels)
    monkeypatch.setattr("spherovem_core.label_statistics.BLOCK_EDGE", edge)
    with ThreadPoolExecutor(2) as executor:
        blocked = collect_label_statistics(labels, executor)
    for name, value in vars(blocked).items():
        np.testing.assert_allclose(value, getattr(whole, name), rtol=1e-12, atol=1e-9, err_msg=name)


def test_a_box_at_the_border():
    """Faces and moments of a box of 3 x 4 x 5 voxels that touches the volume's first planes and another label."""
    labels = np.zeros((9, 10, 11), np.uint32)
    labels[:3, :4, :5] = 6
    labels[0, 0, 5] = 7
    census = collect_label_statistics(labels)
    assert census.faces[0].tolist() == [20, 15, 12]
    assert census.cuts[0].tolist() == [20, 15, 12]
    np.testing.assert_allclose(census.centroid[0], [1, 1.5, 2])
    np.testing.assert_allclose(census.covariance[0], np.diag([2 / 3, 1.25, 2]), atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_census_of_noise(seed):
    """More labels than a slab's first table holds, and names over the whole range of uint32."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(rng.integers(0, 2**32, 1500, np.uint32), (6, 20, 31))
    census = collect_label_statistics(labels)
    names, counts = np.unique(labels[labels > 0], return_counts=True)
    np.testing.assert_array_equal(census.labels, names)
    np.testing.assert_array_equal(census.voxel_count, counts)
    inside = sum(np.count_nonzero(np.diff(labels.astype(np.int64), axis=axis)) for axis in range(3))
    background = sum(
        np.count_nonzero((np.diff(np.sign(labels.astype(np.int64)), axis=axis)) != 0) for axis in range(3)
    )
    assert census.faces.sum() == 2 * inside - background


def test_boxes_of_labels_across_blocks() -> None:
    labels = np.zeros((5, 300, 520), np.uint32)
    labels[1:4, 250:260, 100:519] = 4_000_000_000
    labels[2, 255, 300] = 7
    boxes = collect_label_statistics(labels)
    assert boxes.labels.tolist() == [7, 4_000_000_000]
    assert boxes.low.tolist() == [[2, 255, 300], [1, 250, 100]]
    assert boxes.high.tolist() == [[3, 256, 301], [4, 260, 519]]
    assert boxes.voxel_count.tolist() == [1, 3 * 10 * 419 - 1]


def test_nothing_labelled():
    assert len(collect_label_statistics(np.zeros((4, 5, 6), np.uint32))) == 0
