"""Regions of an array whose cubes are kept: the same values, each cube read once, and bounded memory."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from spherovem_core import cached_chunks
from spherovem_core.cached_chunks import CachedChunks

SHAPE = (21, 30, 37)


class CountedReads:
    """An array that counts the regions that are read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.reads = values, 0
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, region: Any) -> np.ndarray:
        self.reads += 1
        return self.values[region]


@pytest.fixture(autouse=True)
def small_cubes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_chunks, "EDGE", 8)


def array() -> CountedReads:
    return CountedReads(np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.uint32))


def regions(count: int) -> list[tuple[slice, ...]]:
    rng = np.random.default_rng(1)
    corners = [np.sort(rng.integers(0, n + 1, (count, 2)), axis=1) for n in SHAPE]
    return [tuple(slice(*map(int, axis[k])) for axis in corners) for k in range(count)]


def test_regions_hold_the_values_of_the_array() -> None:
    whole = array()
    cached = CachedChunks(whole)
    assert (cached.shape, cached.dtype) == (whole.shape, whole.dtype)
    with ThreadPoolExecutor(4) as executor:
        for region, values in zip(regions(200), executor.map(cached.__getitem__, regions(200)), strict=True):
            np.testing.assert_array_equal(values, whole.values[region])


def test_each_cube_is_read_once_while_there_is_room() -> None:
    whole = array()
    cached = CachedChunks(whole)
    for region in regions(100):
        cached[region]
    assert whole.reads <= 3 * 4 * 5


@pytest.mark.parametrize("cubes", [1, 3])
def test_memory_is_bounded(cubes: int) -> None:
    whole = array()
    cached = CachedChunks(whole, cubes * 8**3 * 4)
    for region in regions(100):
        np.testing.assert_array_equal(cached[region], whole.values[region])
        assert len(cached._cubes) <= cubes


def test_another_process_begins_without_cubes() -> None:
    cached = CachedChunks(array())
    cached[0:8, 0:8, 0:8]
    copy = pickle.loads(pickle.dumps(cached))
    assert not copy._cubes
    np.testing.assert_array_equal(copy[3:9, 4:20, 5:6], cached[3:9, 4:20, 5:6])
