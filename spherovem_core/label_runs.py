"""Runs of equal labels along x: the same information as a label volume, in a thirtieth of the entries."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def find_label_runs(
    volume: NDArray[np.integer[Any]], other: NDArray[np.integer[Any]] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the runs along the last axis in which neither volume changes.

    Runs on the CPU (numba).

    Parameters
    ----------
    volume, other : (Z, Y, X) ndarrays of one shape
        Labels, of any integer type each.

    Returns
    -------
    start, length : (R,) ndarrays of int64
        Flat index of each run's first voxel, and its number of voxels. Runs end at the end of a row.
    """
    rows = _rows(volume)
    others = rows if other is None else _rows(other)
    start = _starts(rows, others)
    return start, np.diff(start, append=rows.size)


def _rows(volume: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    # Labels of TIFF files may be in the other byte order, which numba does not take.
    native = np.ascontiguousarray(volume, volume.dtype.newbyteorder("="))
    return native.reshape(int(np.prod(volume.shape[:-1])), volume.shape[-1])


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
