"""Decorator of the compiled loops over pixels."""

from typing import Any

import numba

compiled: Any = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"contract", "arcp", "nsz", "reassoc"}
)
"""Compile without the interpreter lock; sums may be reordered, so that they run on several pixels at a time."""
