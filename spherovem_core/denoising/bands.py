"""Bands of rows of a slice, computed by threads: the temporary arrays stay small."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, block_grid

BAND_ROWS = 256


def compute_in_bands(
    compute: Callable[[NDArray[np.float32], NDArray[Any]], NDArray[np.float32]],
    denoised: NDArray[np.float32],
    observed: NDArray[Any],
    halo: int,
    workers: int,
    band_rows: int,
) -> NDArray[np.float32]:
    """Apply a function of a slice before and after denoising to bands of its rows.

    Parameters
    ----------
    compute
        Takes a part of `denoised` and of `observed`, and returns as many pixels.
    denoised, observed : (Y, X) ndarray
        Grey values after and before denoising.
    halo
        Pixels up to this distance change a pixel's result.
    workers
        Threads; their number does not change the result.
    band_rows
        Rows computed at a time; they do not change the result.

    Returns
    -------
    (Y, X) ndarray of float32
    """
    out = np.empty_like(denoised)

    def compute_rows(rows: Block) -> None:
        out[rows.core] = compute(denoised[rows.outer], observed[rows.outer])[rows.inner]

    parts = block_grid(denoised.shape, (band_rows, denoised.shape[1]), (halo, 0))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        list(pool.map(compute_rows, parts))
    return out
