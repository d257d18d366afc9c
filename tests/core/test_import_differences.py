"""Imported labels as operations: the result is the imported labels, and what did not change needs no operation."""

from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np
import pytest
from corrections_reference import apply_plainly, same_up_to_numbers
from hand_edits import EDITS, SPACING, edit, random_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spherovem_core.corrections import Add, Delete, Entry, Merge, Operation, Replace, correct_labels
from spherovem_core.corrections.comparison import compare_labels, overlap_labels
from spherovem_core.corrections.continuation import find_continuation
from spherovem_core.corrections.differences import find_operations
from spherovem_core.corrections.renumbering import Renumbering
from spherovem_core.label_overlaps import count_overlaps

ORIGIN = (25.0, 5.0, 4.0)


def operations_between(
    present: NDArray[np.uint32], imported: NDArray[np.integer[Any]]
) -> tuple[Operation, ...]:
    continuation = find_continuation(overlap_labels(present, imported))
    wanted = Renumbering(continuation.numbers).apply(imported)
    return find_operations(
        present, wanted, count_overlaps(present, wanted), continuation.goes, SPACING, ORIGIN
    )


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), kinds=st.lists(st.sampled_from(EDITS), max_size=5))
def test_operations_give_the_imported_labels(seed: int, kinds: list[str]) -> None:
    rng = np.random.default_rng(seed)
    present = random_cells(rng)
    imported = present
    for kind in kinds:
        imported = edit(imported, kind, rng)
    operations = operations_between(present, imported)
    result = apply_plainly(present, operations, SPACING, ORIGIN)
    assert same_up_to_numbers(result, imported)
    assert (len(operations) == 0) == same_up_to_numbers(present, imported)
    entries = [Entry(line, f"id{line}", "", "", "", own) for line, own in enumerate(operations, 1)]
    corrected, applied = correct_labels(present, SPACING, entries, ORIGIN)
    assert [outcome.reason for outcome in applied.outcomes] == [""] * len(entries)
    assert same_up_to_numbers(corrected, imported)
    touched = {
        label for change in compare_labels(present, imported, SPACING).changes for label in change.present
    }
    for label in set(np.unique(present).tolist()) - touched - {0}:
        np.testing.assert_array_equal(corrected == label, present == label)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), kinds=st.lists(st.sampled_from(EDITS), min_size=1, max_size=5))
def test_masks_and_searches_cut_in_small_pieces_give_the_same(seed: int, kinds: list[str]) -> None:
    rng = np.random.default_rng(seed)
    present = random_cells(rng)
    imported = present
    for kind in kinds:
        imported = edit(imported, kind, rng)
    with ExitStack() as small:
        small.enter_context(mock.patch("spherovem_core.corrections.differences.MASK_VOXELS", 600))
        small.enter_context(mock.patch("spherovem_core.corrections.painting.READ_VOXELS", 70))
        small.enter_context(mock.patch("spherovem_core.corrections.inner_points.LARGEST_BOX", 50))
        operations = operations_between(present, imported)
    assert all(
        np.prod(operation.mask.shape) <= 600
        for operation in operations
        if isinstance(operation, Add | Replace)
    )
    assert same_up_to_numbers(apply_plainly(present, operations, SPACING, ORIGIN), imported)


def five_bars() -> NDArray[np.uint32]:
    """Make five bars of 4 × 6 × 20 voxels side by side along y, numbered 10, 20, ..., in 4 × 40 × 24 voxels."""
    labels = np.zeros((4, 40, 24), np.uint32)
    for bar in range(5):
        labels[:, 1 + 7 * bar : 7 + 7 * bar, 2:22] = 10 * (bar + 1)
    return labels


def test_each_edit_becomes_the_operation_of_its_kind() -> None:
    present = five_bars()
    z, y, x = np.indices(present.shape)

    def imported(place: NDArray[np.bool_], number: int) -> tuple[Operation, ...]:
        labels = present.copy()
        labels[place] = number
        return operations_between(present, labels)

    assert operations_between(present, present) == ()
    assert operations_between(present, np.where(present, 7000 - present, 0).astype(np.uint16)) == ()
    (merge,) = imported(present == 20, 10)
    assert isinstance(merge, Merge)
    assert len(merge.objects) == 2
    (delete,) = imported(present == 20, 0)
    assert isinstance(delete, Delete)
    assert delete.object.volume_um3 == pytest.approx(4 * 6 * 20 * 50 * 10 * 8 / 1e9)
    (split,) = imported((present == 20) & (x > 14), 99)
    assert isinstance(split, Replace)
    assert split.targets == (None,)
    assert split.mask.shape == (4, 6, 7)
    (paint,) = imported((y == 7) & (x == 5) & (z < 2), 10)
    assert isinstance(paint, Replace)
    assert paint.mask.shape == (2, 1, 1)
    assert paint.targets[0] is not None
    (erase,) = imported((y == 1) & (z == 3), 0)
    assert isinstance(erase, Replace)
    np.testing.assert_array_equal(erase.mask.unpack(), 1)
    (add,) = imported((y > 36) & (x == 3), 1)
    assert isinstance(add, Add)


def test_merged_and_repainted_object_is_merged_before_it_is_painted() -> None:
    present = five_bars()
    imported = np.where(present == 20, 10, present)
    imported[:, 7] = np.where(imported[:, 6], 10, 0)
    merge, paint = operations_between(present, imported)
    assert isinstance(merge, Merge)
    assert isinstance(paint, Replace)
    assert paint.mask.shape == (4, 1, 20)


def test_larger_part_of_a_split_keeps_the_number() -> None:
    present = five_bars()
    imported = present.copy()
    imported[:, :, :8][present[:, :, :8] == 30] = 77
    result = apply_plainly(present, operations_between(present, imported), SPACING, ORIGIN)
    np.testing.assert_array_equal(result == 30, imported == 30)
    np.testing.assert_array_equal(result[imported != 77], present[imported != 77])


def test_moved_border_is_painted_where_it_moved_and_numbers_stay() -> None:
    present = np.zeros((3, 20, 30), np.uint32)
    present[:, :, :15], present[:, :, 15:] = 5, 3
    imported = present.copy()
    imported[:, :, 15:17] = 5
    (paint,) = operations_between(present, imported)
    assert isinstance(paint, Replace)
    assert paint.mask.shape == (3, 20, 2)
    np.testing.assert_array_equal(apply_plainly(present, [paint], SPACING, ORIGIN), imported)


def test_anchors_lie_far_from_the_border() -> None:
    present = five_bars()
    imported = np.where(present == 20, 0, present)
    (delete,) = operations_between(present, imported)
    assert isinstance(delete, Delete)
    _, y, x = (np.array(delete.object.point_um) * 1000 - ORIGIN) / SPACING
    assert y in (10, 11)
    assert 5 <= x <= 18
