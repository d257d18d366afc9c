"""Freed memory returns to the operating system on request."""

import ctypes
import subprocess
import sys

import pytest

# A separate process, because the heap of one that has done other work may already have room for these arrays.
SCRIPT = """
import numpy as np, psutil
from spherovem_core.utils.freed_memory import release_free_memory
resident = lambda: psutil.Process().memory_info().rss >> 20
before = resident()
# The allocator maps larger arrays than 120 KB one by one. Every hundredth array stays and pins the heap.
arrays = [np.ones(15_000) for _ in range(1000)]
kept = arrays[::100]
full = resident()
del arrays
release_free_memory()
assert all(array.sum() == 15_000 for array in kept)
print(full - before, resident() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_holes_in_the_heap_return_to_the_operating_system() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    ).stdout
    grown_mib, left_mib = map(int, printed.split())
    assert grown_mib > 100
    assert left_mib < 20
