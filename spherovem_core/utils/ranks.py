"""Ranks of values, without `scipy.stats`, whose import takes longer than most that is ranked here."""

import numpy as np
from numpy.typing import NDArray


def average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each row in each column, from 1; equal values share their mean rank, as in `scipy.stats.rankdata`.

    Parameters
    ----------
    values : (N, M) ndarray of float64
        Without NaN.

    Returns
    -------
    (N, M) ndarray of float64
    """
    ordered = np.sort(values, axis=0)
    ranks = np.empty(values.shape)
    for place in range(values.shape[1]):
        own = values[:, place]
        first, last = (np.searchsorted(ordered[:, place], own, side) for side in ("left", "right"))
        ranks[:, place] = (first + 1 + last) / 2
    return ranks
