"""Comparison of present with imported labels: what was kept, changed, merged, split, is new or gone."""

import numpy as np
import pytest
from hand_edits import SPACING, random_cells
from hypothesis import given, settings
from hypothesis import strategies as st

from spherovem_core.corrections.comparison import compare_labels
from spherovem_core.errors import CorrectionError, ShapeMismatchError


def bars() -> np.ndarray:
    labels = np.zeros((4, 40, 24), np.uint32)
    for bar in range(5):
        labels[:, 1 + 7 * bar : 7 + 7 * bar, 2:22] = 10 * (bar + 1)
    return labels


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_equal_and_renumbered_labels_are_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    present = random_cells(rng)
    numbers = rng.permutation(int(present.max()) + 1).astype(np.uint64) + 2**31
    imported = np.where(present > 0, numbers[present], 0)
    comparison = compare_labels(present, imported, SPACING)
    assert comparison.changes == ()
    assert comparison.voxels_changed == 0
    assert comparison.kept_count == comparison.present_count == len(np.unique(present[present > 0]))
    assert comparison.overlap == 1


def test_every_fate_is_reported_with_its_numbers_and_voxels() -> None:
    present = bars()
    imported = np.where(present, present + 1, 0)
    imported[present == 20] = 11
    imported[(present == 30) & (np.arange(24) > 14)] = 99
    imported[present == 40] = 0
    imported[:, 35, 2:22] = 51
    imported[0, 39, 0] = 500
    comparison = compare_labels(present, imported, SPACING, (0.0, 0.0, 0.0))
    bar = 4 * 6 * 20
    changed, merged, split, new, gone = comparison.changes
    assert (changed.fate, changed.present, changed.imported) == ("changed", (50,), (51,))
    assert (changed.voxels_before, changed.voxels_after, changed.voxels_changed) == (bar, bar + 80, 80)
    assert changed.iou == pytest.approx(bar / (bar + 80))
    assert (merged.fate, merged.present, merged.imported) == ("merged", (10, 20), (11,))
    assert (merged.voxels_before, merged.voxels_after, merged.voxels_changed) == (2 * bar, 2 * bar, bar)
    assert (split.fate, split.present, split.imported) == ("split", (30,), (31, 99))
    assert split.voxels_changed == 4 * 6 * 7
    assert split.iou == pytest.approx(13 / 20)
    assert (new.fate, new.imported, new.voxels_after) == ("new", (500,), 1)
    assert new.place_um == pytest.approx((0.0, 0.39, 0.0))
    assert (gone.fate, gone.present, gone.voxels_before, gone.voxels_changed) == ("gone", (40,), bar, bar)
    assert gone.place_um == pytest.approx((1.5 * 0.05, 24.5 * 0.01, 11.5 * 0.008))
    assert comparison.kept_count == 0
    assert comparison.counts == {"changed": 1, "merged": 1, "split": 1, "new": 1, "gone": 1}
    assert comparison.voxels_changed == bar + 4 * 6 * 7 + bar + 80 + 1


def test_overlap_of_unrelated_cells_is_low() -> None:
    shape = (24, 60, 60)
    present = random_cells(np.random.default_rng(1), shape, 40)
    imported = random_cells(np.random.default_rng(2), shape, 40)
    comparison = compare_labels(present, imported, SPACING)
    assert comparison.overlap < 0.3


def test_labels_of_another_shape_and_fractions_are_refused() -> None:
    present = bars()
    with pytest.raises(ShapeMismatchError, match=r"\(4, 40, 23\).*\(4, 40, 24\)"):
        compare_labels(present, present[:, :, :-1], SPACING)
    with pytest.raises(CorrectionError, match="float64"):
        compare_labels(present, present.astype(float), SPACING)
