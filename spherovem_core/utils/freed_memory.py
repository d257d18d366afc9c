"""Freed memory that the C library keeps, and its return to the operating system."""

import ctypes
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _c_library() -> Any:
    return ctypes.CDLL(None)


def release_free_memory() -> None:
    """Return freed memory to the operating system where the C library can (glibc); elsewhere do nothing.

    Threads that allocate and free arrays of many sizes leave holes in the heaps of the allocator, which grow for hours. Call it
    after some seconds of work and not more often, because the next allocation must fetch the memory again.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)
