"""Runs of equal labels along x, which describe a label volume with about a thirtieth of the entries."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def find_label_runs(
    volume: NDArray[np.unsignedinteger], other: NDArray[np.unsignedinteger] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the runs of voxels along the last axis in which neither volume changes.

    Parameters
    ----------
    volume, other : (Z, Y, X) ndarrays of one shape

    Returns
    -------
    start, length : (R,) ndarrays of int64
        Flat index of the first voxel of each run, and its number of voxels. Runs end at the end of a row.
    """
    rows = np.ascontiguousarray(volume).reshape(-1, volume.shape[-1])
    others = rows if other is None else np.ascontiguousarray(other).reshape(rows.shape)
    start = _starts(rows, others)
    return start, np.diff(start, append=rows.size)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _starts(rows: Any, others: Any) -> Any:
    width = rows.shape[1]
    if width == 0:
        return np.empty(0, np.int64)
    count = 0
    for y in range(len(rows)):
        count += 1 + _changes(rows[y, :-1], rows[y, 1:], others[y, :-1], others[y, 1:])
    starts = np.empty(count, np.int64)
    k = 0
    for y in range(len(rows)):
        row, other = rows[y], others[y]
        starts[k] = y * width
        k += 1
        for x in range(1, width):
            if row[x] != row[x - 1] or other[x] != other[x - 1]:
                starts[k] = y * width + x
                k += 1
    return starts


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _changes(row: Any, row_next: Any, other: Any, other_next: Any) -> Any:
    count = np.uint32(0)
    for x in range(len(row)):
        count += np.uint32((row[x] != row_next[x]) | (other[x] != other_next[x]))
    return count
