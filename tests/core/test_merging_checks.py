"""Checks of labelled slices for the learning of merging, before a network is trained."""

import logging

import numpy as np
import pytest

from spherovem_core.errors import LabelsError
from spherovem_core.segmentation.fine_tuning.merging_checks import check_slices_for_merging
from spherovem_core.segmentation.fine_tuning.training_regions import PlacedSlice


def placed(index: int, labels: np.ndarray) -> PlacedSlice:
    region = (slice(index, index + 1), slice(0, labels.shape[0]), slice(0, labels.shape[1]))
    return PlacedSlice(f"a-xy-{index:04d}", 0, index, region, labels.astype(np.uint32))


def chessboard(side: int = 8) -> np.ndarray:
    y, x = np.indices((64, 64))
    return np.where((y % side == 0) | (x % side == 0), 0, 1 + (y // side) * 100 + x // side)


def test_slices_with_touching_objects_pass(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_slices_for_merging([placed(n, chessboard()) for n in range(2)])
    assert not caplog.records


def test_few_touching_objects_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_slices_for_merging([placed(n, chessboard(32)) for n in range(2)])
    # Four objects beside or across from one another.
    assert (
        "show 4 pairs of touching objects" in caplog.text or "show 6 pairs of touching objects" in caplog.text
    )


def test_slices_that_show_too_little_are_refused() -> None:
    with pytest.raises(LabelsError, match="1 labelled slice lies in the volume; merging is learned from 2"):
        check_slices_for_merging([placed(0, chessboard())])
    alone = (chessboard() == 1).astype(np.uint32)
    with pytest.raises(LabelsError, match="no slice of a-xy-0001, a-xy-0003 shows two objects"):
        check_slices_for_merging([placed(n, alone if n % 2 else chessboard()) for n in range(4)])
