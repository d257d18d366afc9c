"""Openings by rectangles are those of OpenCV, bit for bit."""

import cv2
import numpy as np
import pytest

from spherovem_core.nanoparticles.rectangle_openings import open_by_rectangles

SIDES = [(19, 19), (3, 7), (77, 77), (5, 21), (1, 1), (1, 5), (9, 1)]


@pytest.mark.parametrize("shape", [(40, 50), (7, 90), (100, 33), (1, 1), (1, 60)])
def test_openings_equal_those_of_opencv(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.2))
    expected = [
        cv2.morphologyEx(image, cv2.MORPH_OPEN, np.ones(s, np.uint8), borderType=cv2.BORDER_REPLICATE) for s in SIDES
    ]  # fmt: skip
    np.testing.assert_array_equal(open_by_rectangles(image, SIDES), np.stack(expected))
