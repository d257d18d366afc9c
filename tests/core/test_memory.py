"""Freed memory goes back to the operating system when it is told to."""

import ctypes

import numpy as np
import psutil
import pytest

from spherovem_core.utils.memory import release_free_memory

MIB = 1 << 20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_holes_in_the_heap_are_handed_back() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    # 120 KB is below what the allocator maps by itself; every hundredth array stays and pins the heap.
    arrays = [np.ones(15_000) for _ in range(1000)]
    kept = arrays[::100]
    assert process.memory_info().rss - before > 100 * MIB
    del arrays
    release_free_memory()
    assert process.memory_info().rss - before < 20 * MIB
    assert all(array.sum() == 15_000 for array in kept)
