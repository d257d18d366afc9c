"""Boxes, counts, moments and faces of labels: across blocks, of noise, of nothing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spherovem_core.label_statistics import collect_label_statistics, merge_boxes
from spherovem_core.spatial import measure_cells


@pytest.mark.parametrize("edge", [1, 2, 7, 16])
def test_blocks_of_any_size_give_the_same_statistics(edge, monkeypatch):
    labels = np.random.default_rng(0).integers(0, 4, (7, 15, 17)).astype(np.uint16)
    labels[2:6, 3:12, 4:16] = 9
    whole = collect_label_statistics(labels)
    monkeypatch.setattr("spherovem_core.label_statistics.BLOCK_EDGE", edge)
    with ThreadPoolExecutor(2) as executor:
        blocked = collect_label_statistics(labels, executor)
    for name, value in vars(blocked).items():
        np.testing.assert_allclose(value, getattr(whole, name), rtol=1e-12, atol=1e-9, err_msg=name)


def test_faces_and_moments_of_a_box_at_the_border_are_exact():
    """A box of 3 x 4 x 5 voxels touches the volume's first planes and another label."""
    labels = np.zeros((9, 10, 11), np.uint32)
    labels[:3, :4, :5] = 6
    labels[0, 0, 5] = 7
    statistics = collect_label_statistics(labels)
    assert statistics.faces[0].tolist() == [20, 15, 12]
    assert statistics.cuts[0].tolist() == [20, 15, 12]
    np.testing.assert_allclose(statistics.centroid[0], [1, 1.5, 2])
    np.testing.assert_allclose(statistics.covariance[0], np.diag([2 / 3, 1.25, 2]), atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_noise_with_labels_over_all_of_uint32_is_counted_exactly(seed):
    """The noise has more labels than a block's first table holds."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(rng.integers(0, 2**32, 1500, np.uint32), (6, 20, 31))
    statistics = collect_label_statistics(labels)
    names, counts = np.unique(labels[labels > 0], return_counts=True)
    np.testing.assert_array_equal(statistics.labels, names)
    np.testing.assert_array_equal(statistics.voxel_count, counts)
    changes = sum(np.count_nonzero(np.diff(labels.astype(np.int64), axis=axis)) for axis in range(3))
    to_background = sum(
        np.count_nonzero((np.diff(np.sign(labels.astype(np.int64)), axis=axis)) != 0) for axis in range(3)
    )
    assert statistics.faces.sum() == 2 * changes - to_background


def test_boxes_of_labels_span_blocks() -> None:
    labels = np.zeros((5, 300, 520), np.uint32)
    labels[1:4, 250:260, 100:519] = 4_000_000_000
    labels[2, 255, 300] = 7
    statistics = collect_label_statistics(labels)
    assert statistics.labels.tolist() == [7, 4_000_000_000]
    assert statistics.low.tolist() == [[2, 255, 300], [1, 250, 100]]
    assert statistics.high.tolist() == [[3, 256, 301], [4, 260, 519]]
    assert statistics.voxel_count.tolist() == [1, 3 * 10 * 419 - 1]
    assert statistics.region(0) == (slice(2, 3), slice(255, 256), slice(300, 301))


def test_cells_with_known_statistics_are_counted_without_reading_them() -> None:
    cells = np.zeros((4, 6, 8), np.uint32)
    cells[1:3, 1:5, 2:7] = 3
    nuclei = pd.DataFrame({"parent_cell": [3]})
    particles = pd.DataFrame({"parent_cell": [3, 3], "volume_um3": [0.5, 0.25]})
    expected = measure_cells(cells, nuclei, particles, (50.0, 10.0, 10.0))
    statistics = collect_label_statistics(cells)
    unreadable: Any = None
    found = measure_cells(unreadable, nuclei, particles, (50.0, 10.0, 10.0), statistics=statistics)
    pd.testing.assert_frame_equal(found, expected)


def test_volume_without_labels_has_no_rows():
    assert len(collect_label_statistics(np.zeros((4, 5, 6), np.uint32))) == 0


def test_merged_box_holds_the_boxes_of_its_group():
    boxes = np.array([[4, 1, 2, 6, 3, 9], [0, 5, 5, 2, 7, 6], [3, 3, 3, 4, 4, 4]])
    merged = merge_boxes(boxes, np.array([2, 2, 0]), 3)
    assert merged[2].tolist() == [0, 1, 2, 6, 7, 9]
    assert merged[0].tolist() == [3, 3, 3, 4, 4, 4]
    assert merged[1].tolist() == [np.iinfo(np.int64).max] * 3 + [0] * 3
