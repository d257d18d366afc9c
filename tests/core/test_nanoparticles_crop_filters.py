"""Filters of crops give the bits of SciPy's."""

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.nanoparticles.crop_filters import gaussian, widened


@pytest.mark.parametrize("shape", [(9, 31, 40), (1, 20, 7), (3, 2, 50), (2, 1, 1)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("sigmas", [(0.6, 3.0, 3.0), (3.0, 2.5, 3.3), (0.0, 1.0, 0.1)])
def test_gaussian_has_the_bits_of_scipy(
    shape: tuple[int, ...], sigmas: tuple[float, ...], kind: type
) -> None:
    volume = np.random.default_rng(0).normal(100, 30, shape).astype(kind)
    expected = ndimage.gaussian_filter(volume, sigmas, truncate=3.0)
    found = gaussian(volume, sigmas, 3.0)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(9, 31, 40), (1, 20, 7), (3, 2, 1)])
@pytest.mark.parametrize("steps", [1, 2])
def test_masks_are_widened_as_by_scipy(shape: tuple[int, ...], steps: int) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.03
    mask[0, 0, 0] = True
    np.testing.assert_array_equal(widened(mask, steps), ndimage.binary_dilation(mask, iterations=steps))
