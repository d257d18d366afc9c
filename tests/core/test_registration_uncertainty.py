"""Uncertainty of a motion after a pattern that stays in the frame was subtracted."""

import numpy as np
import pytest

from spherovem_core.registration.affine import IDENTITY, rms_displacement, shift_matrix
from spherovem_core.registration.uncertainty import (
    PATTERN_FACTOR,
    PATTERN_LEFT,
    covariance_with_pattern,
    rms_of_covariance,
)

SHAPE = (121, 161)


def test_a_pattern_that_changed_the_map_leaves_a_part_of_the_change_uncertain() -> None:
    rng = np.random.default_rng(0)
    change = np.column_stack([0.01 * rng.standard_normal((2, 2)), [0.5, -0.8]])
    widened = covariance_with_pattern(np.zeros((6, 6)), IDENTITY + change, IDENTITY, SHAPE)
    expected = PATTERN_LEFT * float(rms_displacement(change, SHAPE))
    assert rms_of_covariance(widened, SHAPE) == pytest.approx(expected, rel=1e-6)


def test_a_pattern_that_changed_nothing_adds_its_noise_only() -> None:
    covariance = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    matrix = shift_matrix(1.0, 2.0)
    for before in (matrix, None):
        widened = covariance_with_pattern(covariance, matrix, before, SHAPE)
        np.testing.assert_allclose(widened, PATTERN_FACTOR * covariance)
