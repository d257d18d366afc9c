"""The compiled Gaussian filters against SciPy's, and what lies beyond their borders."""

import numpy as np
import pytest
from gpu_devices import DEVICES
from scipy import ndimage

from spherovem_core.gaussian_filtering import (
    filter_between_zeros,
    filter_between_zeros_on,
    filter_repeating_border,
    gaussian_weights,
)
from spherovem_core.utils.accelerator import accelerator

SIGMA = (0.6, 1.5, 2.0)
RADIUS = (3, 5, 7)


def volume(shape: tuple[int, int, int] = (9, 20, 25)) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def scipy_filter(values: np.ndarray, mode: str) -> np.ndarray:
    for axis, (sigma, radius) in enumerate(zip(SIGMA, RADIUS, strict=True)):
        values = ndimage.gaussian_filter1d(values, sigma, axis=axis, mode=mode, radius=radius)
    return values


@pytest.mark.parametrize(("sigma", "radius"), [(0.0, 0), (1e-9, 1), (0.7, 3), (4.0, 12)])
def test_weights_of_both_sides_sum_to_one(sigma: float, radius: int) -> None:
    weights = gaussian_weights(sigma, radius)
    assert weights.shape == (radius + 1,)
    assert 2 * weights.sum(dtype=float) - weights[0] == pytest.approx(1, abs=1e-6)
    assert (np.diff(weights) <= 0).all()


def test_repeated_border_equals_scipy_and_any_block_of_the_volume() -> None:
    values = volume()
    whole = filter_repeating_border(values, SIGMA, RADIUS)
    np.testing.assert_allclose(whole, scipy_filter(values, "nearest"), atol=1e-6)
    block = filter_repeating_border(values[:, 2:, 3:], SIGMA, RADIUS)
    np.testing.assert_array_equal(block[:, 5:, 7:], whole[:, 7:, 10:])


def test_axis_without_a_radius_is_left_alone() -> None:
    values = volume()
    filtered = filter_repeating_border(values, SIGMA, (0, 5, 0))
    expected = ndimage.gaussian_filter1d(values, SIGMA[1], axis=1, mode="nearest", radius=5)
    np.testing.assert_allclose(filtered, expected, atol=1e-6)


def test_zeros_beyond_the_border_equal_scipy_also_where_rows_are_empty() -> None:
    values = volume()
    values[:4] = 0
    values[6, 3:17] = 0
    weights = [gaussian_weights(s, r) for s, r in zip(SIGMA, RADIUS, strict=True)]
    expected = scipy_filter(values, "constant")
    np.testing.assert_allclose(filter_between_zeros(values.copy(), weights), expected, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_array_operations_equal_the_compiled_filter(device: str) -> None:
    values = volume()
    weights = [gaussian_weights(s, r) for s, r in zip(SIGMA, RADIUS, strict=True)]
    with accelerator(device) as gpu:
        found = gpu.to_host(filter_between_zeros_on(gpu, gpu.to_device(values), weights))
    np.testing.assert_allclose(found, filter_between_zeros(values.copy(), weights), atol=1e-6)
