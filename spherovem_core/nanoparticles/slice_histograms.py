"""Histograms of the tiles of a slice."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.histograms import count_intensities


def count_tiles(image: NDArray[Any], across: int) -> NDArray[np.int64]:
    """Count the voxels at each intensity in each of `across` x `across` tiles of a slice (Y, X); returns (tiles, levels)."""
    rows, columns = (np.linspace(0, n, across + 1).astype(int) for n in image.shape)
    return np.stack(
        [
            count_intensities(image[y0:y1, x0:x1])
            for y0, y1 in itertools.pairwise(rows)
            for x0, x1 in itertools.pairwise(columns)
        ]
    )
