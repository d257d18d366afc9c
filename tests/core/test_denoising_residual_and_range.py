"""Autocorrelation of the residual and conversion to uint8."""

import numpy as np
import pytest

from spherovem_core.denoising.autocorrelation import autocorrelation, mean_autocorrelation
from spherovem_core.denoising.grey_map import GreyMap
from spherovem_core.denoising.intensities import subsample, to_uint8
from spherovem_core.intensity_ranges import percentile_range

SHAPE = (300, 400)
# Three standard errors of a correlation coefficient of that many pixels.
TOLERANCE = 3 / np.sqrt(np.prod(SHAPE))


def white(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SHAPE[0], SHAPE[1] + 1))


def test_white_noise_has_no_autocorrelation() -> None:
    found = autocorrelation(10 + 5 * white())
    np.testing.assert_allclose(found["y"], 0, atol=TOLERANCE)
    np.testing.assert_allclose(found["x"], 0, atol=TOLERANCE)


def test_a_moving_average_along_x_has_the_autocorrelation_of_theory() -> None:
    """The coefficient of a[i] + w a[i + 1] is w / (1 + w²) at lag 1 and 0 beyond."""
    weight = 0.5
    noise = white()[:, :-1] + weight * white()[:, 1:]
    found = autocorrelation(noise)
    expected = [weight / (1 + weight**2), 0, 0]
    np.testing.assert_allclose(found["x"], expected, atol=TOLERANCE)
    np.testing.assert_allclose(found["y"], 0, atol=TOLERANCE)


def test_a_wave_along_y_has_the_autocorrelation_of_its_cosine() -> None:
    period = 12
    wave = np.sin(2 * np.pi * np.arange(300) / period)[:, np.newaxis] * np.ones(SHAPE[1])
    found = autocorrelation(wave)
    # At the border the mean square changes by at most the fraction lag / rows.
    np.testing.assert_allclose(found["y"], np.cos(2 * np.pi * np.array([1, 2, 3]) / period), atol=0.01)
    np.testing.assert_allclose(found["x"], 1, atol=1e-5)


def test_a_constant_residual_gives_zeros() -> None:
    assert autocorrelation(np.full(SHAPE, 7.0)) == {"y": [0, 0, 0], "x": [0, 0, 0]}


def test_autocorrelations_are_averaged_lag_by_lag() -> None:
    slices = [{"y": [0.1, 0.0, 0.2], "x": [0.5, 0.0, 0.0]}, {"y": [0.3, 0.2, 0.0], "x": [0.1, 0.4, 0.0]}]
    found = mean_autocorrelation(slices)
    assert found["y"] == pytest.approx([0.2, 0.1, 0.1])
    assert found["x"] == pytest.approx([0.3, 0.2, 0.0])


def test_the_range_becomes_0_to_255_linearly() -> None:
    values = np.array([[100.0, 110.0, 151.0]], np.float32)
    mapped, clipped = to_uint8(values, GreyMap(low=100, high=151, linear_low=100, linear_high=151))
    assert mapped.tolist() == [[0, 50, 255]]
    assert mapped.dtype == np.uint8
    assert clipped == 0


def test_clipped_values_are_counted() -> None:
    values = np.array([[90.0, 100.0, 120.0, 170.0]], np.float32)
    mapped, clipped = to_uint8(values, GreyMap(low=100, high=151, linear_low=100, linear_high=151))
    assert mapped.tolist() == [[0, 0, 100, 255]]
    assert clipped == 0.5


def test_percentiles_are_those_of_all_samples_together() -> None:
    samples = [np.arange(0, 50, dtype=np.float32), np.arange(50, 101, dtype=np.float32)]
    assert percentile_range(np.concatenate(samples), (10.0, 90.0)) == pytest.approx((10.0, 90.0))


def test_a_constant_stack_has_a_range_of_one_grey_value() -> None:
    low, high = percentile_range(np.full(10, 7.0, np.float32), (0.05, 99.99))
    assert (low, high) == (7.0, 8.0)


def test_a_sample_keeps_at_most_4_million_values() -> None:
    plane = np.zeros((2000, 2000), np.float32)
    assert subsample(plane, 1).size == plane.size
    assert 16 * subsample(plane, 16).size <= 1 << 22
