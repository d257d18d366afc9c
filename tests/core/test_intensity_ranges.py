"""Ranges between percentiles, of samples in memory and of volumes read piece by piece."""

from typing import Any

import numpy as np
import pytest

from spherovem_core import intensity_ranges
from spherovem_core.intensity_ranges import percentile_range, volume_percentile_range

PERCENTILES = (1.0, 99.0)


def test_range_of_a_sample_lies_between_its_percentiles() -> None:
    assert percentile_range(np.arange(101, dtype=np.float32), (10.0, 90.0)) == pytest.approx((10.0, 90.0))


def test_constant_sample_gets_a_range_of_width_one() -> None:
    assert percentile_range(np.full(10, 7.0, np.float32), (0.05, 99.99)) == (7.0, 8.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_range_of_an_integer_volume_is_exact(dtype: type) -> None:
    volume = np.random.default_rng(0).integers(3, 200, (40, 30, 20)).astype(dtype)
    expected = np.percentile(volume, (5, 90), method="inverted_cdf")
    assert volume_percentile_range(volume, (5.0, 90.0)) == tuple(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_range_of_other_types_is_close_to_the_percentiles(dtype: type) -> None:
    volume = (1000 * np.random.default_rng(0).normal(size=(40, 30, 20))).astype(dtype)
    # To a bin of the range, and to the distance between neighbours in the tails.
    expected = pytest.approx(tuple(np.percentile(volume, PERCENTILES)), rel=0.01)
    assert volume_percentile_range(volume, PERCENTILES) == expected
    assert volume_percentile_range(np.full_like(volume, 7), PERCENTILES) == (7.0, 7.0)


def test_values_that_are_not_finite_are_left_out() -> None:
    volume = np.random.default_rng(0).normal(size=(40, 30, 20)).astype(np.float32)
    holed = np.concatenate([volume, np.full_like(volume[:3], np.nan)])
    assert volume_percentile_range(holed, PERCENTILES) == volume_percentile_range(volume, PERCENTILES)
    assert volume_percentile_range(np.full_like(volume, np.nan), PERCENTILES) == (0.0, 0.0)


def test_volume_is_read_piece_by_piece_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = np.random.default_rng(0).integers(0, 255, (9, 31, 40)).astype(np.uint8)
    read: list[int] = []

    class Watched:
        shape, dtype = volume.shape, volume.dtype

        def __getitem__(self, region: Any) -> np.ndarray:
            read.append(volume[region].size)
            return volume[region]

    expected = volume_percentile_range(volume, PERCENTILES)
    for limit in (400, 3000):
        read.clear()
        monkeypatch.setattr(intensity_ranges, "READ_VOXELS", limit)
        assert volume_percentile_range(Watched(), PERCENTILES) == expected
        assert max(read) <= limit
        assert sum(read) == volume.size
