"""The boundary gradient is the morphological gradient of the smoothed image."""

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.boundary_gradient import SMOOTHING, boundary_gradient


@pytest.mark.parametrize("shape", [(7, 9, 11), (1, 5, 1), (2, 2, 2), (12, 1, 7)])
def test_the_range_is_that_of_the_plain_filter(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    smooth = ndimage.gaussian_filter(image.astype(np.float32), SMOOTHING, truncate=3.0)
    expected = ndimage.morphological_gradient(smooth, size=(3, 3, 3))
    np.testing.assert_array_equal(boundary_gradient(image), expected)
    assert boundary_gradient(image).dtype == np.float32
