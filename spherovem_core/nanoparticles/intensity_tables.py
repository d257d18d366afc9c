"""Tables of intensities, and their application to images."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _look_up(image, table, out):  # type: ignore[no-untyped-def]
    flat, result = image.ravel(), out.ravel()
    for n in range(flat.size):
        result[n] = table[flat[n]]


def look_up(image: NDArray[Any], table: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Replace each intensity by its entry in a table."""
    image = np.ascontiguousarray(image)
    if out is None:
        out = np.empty(image.shape, table.dtype)
    _look_up(image, table, out)
    return out
