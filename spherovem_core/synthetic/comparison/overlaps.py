"""Overlaps of the labels of two volumes."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def count_overlaps(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> pd.DataFrame:
    """Count the voxels that each pair of labels has in common.

    Returns
    -------
    DataFrame
        Columns ``first``, ``second``, ``voxels``, without the background.
    """
    both = (first > 0) & (second > 0)
    width = np.uint64(int(second.max(initial=0)) + 1)
    codes, voxels = np.unique(first[both].astype(np.uint64) * width + second[both], return_counts=True)
    return pd.DataFrame({"first": codes // width, "second": codes % width, "voxels": voxels})


def best_partner(overlaps: pd.DataFrame) -> "pd.Series[int]":
    """Find the second label that overlaps each first label most; of equals the smallest."""
    ordered = overlaps.sort_values(["first", "voxels", "second"], ascending=[True, False, True])
    return ordered.drop_duplicates("first").set_index("first")["second"].astype(np.int64)
