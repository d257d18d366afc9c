"""Voxel counts of each cell by distance to the nucleus."""

from typing import Any

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray


def count_by_bin(
    cells: NDArray[np.unsignedinteger], distance: NDArray[np.float32], width: float
) -> pd.DataFrame:
    """Count voxels per cell and distance bin.

    Parameters
    ----------
    cells, distance : ndarrays of one shape
        Label (0: no cell) and distance (NaN: none) of each voxel.
    width
        Width of a bin. Bin 0 holds distance 0, bin n the distances above n - 1 widths and up to n widths.

    Returns
    -------
    DataFrame
        ``cell``, ``bin`` and ``voxels``; only pairs with voxels. Voxels without cell or distance are not counted.
    """
    labels = np.ascontiguousarray(cells, np.uint32).ravel()
    known = np.isfinite(distance)
    furthest = float(distance.max(where=known, initial=0.0))
    changes = np.flatnonzero(np.diff(labels, prepend=labels[:1] + 1))
    names = np.unique(labels[changes])
    counts = np.zeros((len(names), int(np.ceil(furthest / width)) + 2), np.int64)
    _count(labels, np.ascontiguousarray(distance, np.float32).ravel(), names, width, counts)
    counts[names == 0] = 0
    rows, bins = np.nonzero(counts)
    return pd.DataFrame({"cell": names[rows].astype(np.int64), "bin": bins, "voxels": counts[rows, bins]})


def find_bins(distance: NDArray[np.float32], width: float) -> NDArray[np.int64]:
    """Return the bin of each finite distance, as `count_by_bin` counts it."""
    return np.ceil(distance.astype(np.float64) / width).astype(np.int64)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(labels: Any, distance: Any, names: Any, width: float, counts: Any) -> None:
    row = 0
    for i in range(len(labels)):
        if np.isfinite(distance[i]):
            if names[row] != labels[i]:
                row = np.searchsorted(names, labels[i])
            counts[row, int(np.ceil(distance[i] / width))] += 1
