"""Runs of equal labels along x: what a label volume says, in a thirtieth of the entries."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def find_runs(*volumes: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the runs along the last axis in which none of the volumes changes.

    Parameters
    ----------
    volumes : (Z, Y, X) ndarrays of one shape

    Returns
    -------
    start, length : (R,) ndarrays of int64
        Flat index of each run's first voxel, and its number of voxels. Runs end at the end of a row.
    """
    first = np.ones(volumes[0].shape, bool)
    first[..., 1:] = False
    for volume in volumes:
        first[..., 1:] |= volume[..., 1:] != volume[..., :-1]
    start = np.flatnonzero(first)
    return start, np.diff(start, append=first.size)
