"""Compiled products of two slices shifted against each other, on one thread."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.compiled_loops import compiled

Image = NDArray[np.float32]


@compiled  # type: ignore[untyped-decorator]
def sum_products(a: Image, b: Image, down: int, along: int) -> float:
    """Sum the products of each pixel of the first slice and the one `down` rows and `along` columns further in the second."""
    rows, columns = a.shape
    total = 0.0
    for y in range(rows - down):
        total += np.float64(_dot(a[y, : columns - along], b[y + down, along:]))
    return total


@compiled  # type: ignore[untyped-decorator]
def _dot(a: Image, b: Image) -> np.float32:
    total = np.float32(0.0)
    for x in range(len(a)):
        total += a[x] * b[x]
    return total
