"""Smooth trends with steps: what jitter explains is no trend, and what stands out from it is kept."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spherovem_core.registration.affine import shift_matrix
from spherovem_core.registration.drift import slow_trend
from spherovem_core.registration.smooth_trend import local_lines, smooth_trend

WINDOW, FLOOR = 50.0, 0.05


def jittered(count: int, jitter: float, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, jitter, (count, 2))


def nowhere(count: int) -> NDArray[np.bool_]:
    return np.zeros(count, dtype=bool)


def far(errors: list[NDArray[np.float64]]) -> float:
    """Root mean square, over stacks, of the largest deviation in each."""
    return float(np.sqrt(np.mean([np.abs(e - e.mean(0)).max() ** 2 for e in errors])))


def test_jitter_alone_bends_the_trend_less_than_local_lines() -> None:
    stacks = [jittered(150, 2.0, seed) for seed in range(12)]
    smooth = far([smooth_trend(v, WINDOW, nowhere(150), (), FLOOR).values for v in stacks])
    lines = far([local_lines(v, WINDOW, np.ones_like(v)) for v in stacks])
    assert smooth < 0.75 * lines


@pytest.mark.parametrize(("count", "first"), [(60, 11), (150, 75), (150, 140)])
def test_a_step_of_a_jittered_series_leaves_the_trend_alone(count: int, first: int) -> None:
    with_step, without = [], []
    for seed in range(12):
        values = jittered(count, 2.0, seed)
        without.append(smooth_trend(values, WINDOW, nowhere(count), (), FLOOR).values)
        values[first:] += (80.0, -30.0)
        found = smooth_trend(values, WINDOW, nowhere(count), (first,), FLOOR)
        with_step.append(found.values)
        # Four standard errors of a step whose place is known beside a slope that is not.
        np.testing.assert_allclose(
            found.heights[0], (80.0, -30.0), atol=4.0 * 2.0 * (4.0 / min(first, count - first)) ** 0.5
        )
    # A line through jitter and a step is known half as well as one through jitter, at its ends.
    assert far(with_step) < 2.0 * far(without) + 0.3


def test_a_sure_bend_is_kept_as_local_lines_keep_it() -> None:
    z = np.arange(200)[:, None]
    values = 30.0 * np.sin(2.0 * np.pi * z / np.array([120.0, 200.0])) + jittered(200, 1.0, 1)
    found = smooth_trend(values, WINDOW, nowhere(200), (), FLOOR).values
    kept = slow_trend(np.stack([shift_matrix(*value) for value in values]), WINDOW)
    np.testing.assert_allclose(found, kept[:, :, 2], atol=1e-2)


def test_a_lean_with_a_step_and_a_wild_value_is_exact_without_jitter() -> None:
    z = np.arange(40)
    values = np.stack([0.7 * z, -1.5 * z], 1)
    levels = (z >= 17)[:, None] * np.array([5.0, -90.0])
    shown = values + levels
    shown[30] += 400.0
    found = smooth_trend(shown, WINDOW, z == 30, (17,), FLOOR)
    np.testing.assert_allclose(found.values, values, atol=1e-3)
    np.testing.assert_allclose(found.heights, [[5.0, -90.0]], atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 3000])
def test_series_of_any_length_have_a_finite_trend(count: int) -> None:
    values = jittered(count, 1.0, 3) + np.arange(count)[:, None]
    without = np.arange(count) % 2 == 1
    found = smooth_trend(values, WINDOW, without, (), FLOOR).values
    assert np.isfinite(found).all()
    assert np.abs(found - values).max() < 8.0
