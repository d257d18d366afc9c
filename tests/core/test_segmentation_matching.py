"""Matching of instances, in cases small enough to count by hand."""

import numpy as np
import pytest

from spherovem_core.errors import ParameterError, ShapeMismatchError
from spherovem_core.segmentation import match_labels


def line(*runs: tuple[int, int]) -> np.ndarray:
    return np.concatenate([np.full(length, label, np.uint32) for label, length in runs])[None, None]


def test_found_missed_and_invented_objects_are_counted() -> None:
    truth = line((0, 2), (5, 8), (0, 2), (9, 4), (0, 4))
    found = line((0, 4), (1, 8), (0, 4), (2, 4))
    result = match_labels(truth, found)
    # Object 5 overlaps 1 in 6 of 10 voxels; object 9 overlaps nothing.
    assert result.matches.tolist() == [[5, 1]]
    assert result.ious.tolist() == [0.6]
    assert (result.precision, result.recall, result.f1) == (0.5, 0.5, 0.5)
    assert match_labels(truth, found, iou=0.61).f1 == 0.0


def test_volume_errors_are_relative_to_the_truth() -> None:
    result = match_labels(line((1, 8), (0, 2), (2, 10)), line((1, 10), (2, 8), (0, 2)))
    assert result.volume_errors.tolist() == pytest.approx([0.25, -0.2])
    assert result.median_volume_error == pytest.approx(0.225)


def test_split_object_has_one_partner_at_most() -> None:
    result = match_labels(line((1, 8)), line((1, 4), (2, 4)))
    assert result.matches.tolist() == [[1, 1]]
    assert (result.precision, result.recall) == (0.5, 1.0)
    # Two true objects of 4 voxels within a predicted one of 8: only one can be its partner.
    assert match_labels(line((1, 4), (2, 4)), line((3, 8))).matches.tolist() == [[1, 3]]


def test_small_objects_do_not_count() -> None:
    truth = line((1, 10), (0, 1), (2, 3), (0, 1), (3, 3), (0, 8))
    found = line((1, 10), (0, 1), (2, 3), (0, 8), (4, 2), (5, 2))
    assert match_labels(truth, found).f1 == pytest.approx(4 / 7)
    result = match_labels(truth, found, min_voxels=4)
    assert (result.precision, result.recall) == (1.0, 1.0)
    assert result.matches.tolist() == [[1, 1]]


def test_large_prediction_for_a_small_truth_is_no_error() -> None:
    # The true object has 3 voxels, below the limit; its match has 5, above it.
    result = match_labels(line((1, 3), (0, 7), (2, 10)), line((1, 5), (0, 5), (2, 10)), min_voxels=4)
    assert (result.precision, result.recall) == (1.0, 1.0)


def test_two_empty_volumes_agree() -> None:
    empty = np.zeros((2, 3, 4), np.uint32)
    assert match_labels(empty, empty).f1 == 1.0
    assert np.isnan(match_labels(empty, empty).median_volume_error)
    assert match_labels(empty, empty + 1).f1 == 0.0


def test_scores_do_not_depend_on_numbering() -> None:
    generator = np.random.default_rng(0)
    truth = np.repeat(np.repeat(generator.integers(0, 30, (4, 5, 6)), 5, axis=1), 7, axis=2).astype(np.uint32)
    lookup = generator.permutation(100)[:30].astype(np.uint32) + 1
    lookup[0] = 0
    result = match_labels(truth, lookup[truth])
    assert result.f1 == 1.0
    assert np.array_equal(result.matches[:, 1], lookup[result.matches[:, 0]])


def test_unequal_shapes_and_low_ious_are_refused() -> None:
    with pytest.raises(ShapeMismatchError, match="resample"):
        match_labels(np.zeros((2, 2, 2), int), np.zeros((2, 2, 3), int))
    with pytest.raises(ParameterError, match=r"0\.5"):
        match_labels(np.zeros((2, 2), int), np.zeros((2, 2), int), iou=0.4)
