"""Memory that is free again, handed back to the operating system."""

import ctypes
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _c_library() -> Any:
    return ctypes.CDLL(None)


def release_free_memory() -> None:
    """Hand freed memory back where the C library can (glibc); elsewhere do nothing.

    Threads that allocate and free arrays of many sizes leave holes in the allocator's heaps, which grow for hours. To be
    called after some seconds of work: what is handed back must be fetched again.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)
