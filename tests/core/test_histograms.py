"""Histograms of intensities against NumPy's own counts and percentiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spherovem_core.histograms import count_intensities, map_counts, percentile_of_counts, quantiles_of_bins


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(0,), (3,), (37, 41), (5, 6, 7), (2, 0)])
def test_counts_equal_those_of_numpy(dtype: type, shape: tuple[int, ...]) -> None:
    levels = np.iinfo(dtype).max + 1
    image = np.random.default_rng(0).integers(0, levels, shape, dtype=dtype)
    np.testing.assert_array_equal(count_intensities(image), np.bincount(image.ravel(), minlength=levels))


def test_counts_of_a_strided_view_equal_those_of_its_copy() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    for view in (image[2:9, 3:27:2], image[::-1, ::-3], image.T):
        np.testing.assert_array_equal(count_intensities(view), count_intensities(view.copy()))


@given(st.lists(st.integers(0, 255), min_size=1, max_size=60), st.floats(0, 100))
def test_percentile_of_counts_equals_that_of_the_values(values: list[int], percent: float) -> None:
    counts = count_intensities(np.array(values, np.uint8))
    assert percentile_of_counts(counts, percent) == pytest.approx(np.percentile(values, percent), abs=1e-9)


def test_quantiles_spread_the_counts_of_a_bin_over_it() -> None:
    np.testing.assert_allclose(quantiles_of_bins(np.full(4, 7), [0.1, 0.5, 0.85]), [-0.1, 1.5, 2.9])
    assert quantiles_of_bins(np.array([0, 5, 0, 0, 5]), [0.25])[0] == pytest.approx(1.0)


def test_mapped_counts_keep_their_sum_and_move_with_the_map() -> None:
    counts = np.random.default_rng(0).integers(0, 50, 40)
    edges = np.arange(1, 100) - 0.5
    mapped = map_counts(counts, 1.5, 10.0, edges)
    assert mapped.sum() == pytest.approx(counts.sum())
    mean = (counts * np.arange(40)).sum() / counts.sum()
    assert (mapped * np.arange(100)).sum() / mapped.sum() == pytest.approx(1.5 * mean + 10, abs=0.05)
    np.testing.assert_array_equal(map_counts(counts, 1.0, 0.0, np.arange(1, 40) - 0.5), counts)
    clipped = map_counts(counts, 1.0, 0.0, np.array([9.5, 19.5]))
    np.testing.assert_array_equal(clipped, [counts[:10].sum(), counts[10:20].sum(), counts[20:].sum()])
