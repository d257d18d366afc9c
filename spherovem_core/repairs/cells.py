"""Mean grey values of a slice on a coarse grid of cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def cell_means(values: NDArray[Any], grid: Sequence[int]) -> NDArray[np.float64]:
    """Average a slice over cells that differ by at most one pixel in height and in width.

    Parameters
    ----------
    values : (Y, X) ndarray
        At least one pixel per cell.
    grid
        Number of cells along y and x.

    Returns
    -------
    ndarray of float64, of the shape `grid`
    """
    edges = [
        np.linspace(0, extent, n + 1).astype(int)[:-1] for extent, n in zip(values.shape, grid, strict=True)
    ]
    sums = np.add.reduceat(np.add.reduceat(values, edges[0], 0, dtype=np.float64), edges[1], 1)
    heights, widths = (np.diff([*edge, extent]) for edge, extent in zip(edges, values.shape, strict=True))
    return np.asarray(sums / (heights[:, None] * widths))
