"""Selection of the n-th smallest equals that of NumPy."""

import numpy as np
import pytest

from spherovem_core.nanoparticles.selection import median, median_of_integers, select_smallest


@pytest.mark.parametrize("count", [1, 2, 7, 100, 3001])
def test_selection_equals_a_sort(count: int) -> None:
    random = np.random.default_rng(count)
    for values in (random.normal(0, 50, count), random.integers(-3, 4, count), np.full(count, 0.25)):
        numbers = values.astype(np.float32)
        for place in {0, count // 3, count - 1}:
            assert select_smallest(numbers, place) == np.sort(numbers)[place]
        assert median(numbers) == np.median(numbers)
        integers = np.abs(numbers).astype(np.uint32)
        assert median_of_integers(integers.copy()) == np.median(integers)
