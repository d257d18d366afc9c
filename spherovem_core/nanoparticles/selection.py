"""Selection of the n-th smallest of many numbers, digit by digit; numba kernels on the CPU.

`numpy.partition` takes several times as long inside of compiled loops.
"""

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def select_smallest(values: Any, place: int) -> Any:
    """Return the value of this rank, from 0, of numbers (N,) of float32."""
    keys = values.view(np.uint32).copy()
    for n in range(len(keys)):
        # Bits that rise with the numbers, also below 0.
        keys[n] ^= np.uint32(0xFFFFFFFF) if keys[n] >> np.uint32(31) else np.uint32(0x80000000)
    key = _select(keys, place, 24)
    bits = np.empty(1, np.uint32)
    bits[0] = key ^ (np.uint32(0x80000000) if key >> np.uint32(31) else np.uint32(0xFFFFFFFF))
    return bits.view(np.float32)[0]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def median(values: Any) -> Any:
    """Return the median of numbers (N,) of float32, rounded as that of NumPy."""
    middle = len(values) // 2
    upper = select_smallest(values, middle)
    if len(values) % 2:
        return float(upper)
    return float((select_smallest(values, middle - 1) + upper) / np.float32(2))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def median_of_integers(keys: Any) -> Any:
    """Return the median of numbers (N,) of uint32 below 65536, which it changes."""
    middle = len(keys) // 2
    lower = keys.copy() if len(keys) % 2 == 0 else keys
    upper = _select(keys, middle, 8)
    if len(keys) % 2:
        return float(upper)
    return (float(_select(lower, middle - 1, 8)) + float(upper)) / 2


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _select(keys: Any, place: int, shift: int) -> Any:
    """Return the key of this rank; the keys are changed. `shift` is the place of their highest digit of 8 bits."""
    counts, number = np.empty(256, np.int64), len(keys)
    while True:
        counts[:] = 0
        for n in range(number):
            counts[(keys[n] >> np.uint32(shift)) & np.uint32(255)] += 1
        digit = 0
        while counts[digit] <= place:
            place -= counts[digit]
            digit += 1
        kept = 0
        for n in range(number):
            keys[kept] = keys[n]
            kept += int((keys[n] >> np.uint32(shift)) & np.uint32(255) == digit)
        number, shift = kept, shift - 8
        if number == 1 or shift < 0:
            return keys[0]
