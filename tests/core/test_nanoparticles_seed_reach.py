"""Reach of seeds: painting around each one equals a dilation of the slice."""

import cv2
import numpy as np
import pytest

from spherovem_core.blocks import block_grid
from spherovem_core.nanoparticles import seed_reach
from spherovem_core.nanoparticles.seed_reach import highest_near, mark_candidates

LEVEL = 65000


@pytest.mark.parametrize("dense", [0.0, np.inf])
@pytest.mark.parametrize("reach", [(7, 7), (3, 9), (0, 2)])
def test_highest_seed_near_equals_a_dilation(
    dense: float, reach: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_reach, "_DENSE", dense)
    contrast = np.random.default_rng(0).integers(0, 65536, (50, 47)).astype(np.uint16)
    contrast[:, 30:] = 0
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach[1] + 1, 2 * reach[0] + 1))
    expected = cv2.dilate(np.where(contrast >= LEVEL, contrast, np.uint16(0)), kernel)
    columns = block_grid(contrast.shape, (20, 15), reach)
    found = [highest_near(contrast, LEVEL, kernel, column) for column in columns]
    assert any(part is None for part in found)
    for column, part in zip(columns, found, strict=True):
        np.testing.assert_array_equal(0 if part is None else part, expected[column.core])


def test_candidates_have_a_fraction_of_the_highest_seed_of_the_slices_near() -> None:
    contrast = np.array([[0, 39, 40, 41, 90]], np.uint16)
    highest = np.array([[[0, 0, 0, 100, 0]], [[100, 100, 100, 0, 0]]], np.uint16)
    marks = np.zeros((1, 5), np.uint8)
    mark_candidates(contrast, highest, 0, 0, np.float32(0.4), marks)
    np.testing.assert_array_equal(marks, [[0, 0, 0, 1, 0]])
