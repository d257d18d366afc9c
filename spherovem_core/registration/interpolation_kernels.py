"""Tables of interpolation kernels."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PHASES = 1024


@lru_cache
def interpolation_table(interpolation: str) -> NDArray[np.float32]:
    """Compute the weights of the pixels around a position, for 1024 positions between two pixels.

    ``linear``; ``cubic``: the cubic convolution of Keys (1981), which reproduces parabolas; ``lanczos``: the sinc
    windowed over three pixels to each side, which keeps most fine detail but rings most. Each row sums to one, so that flat
    regions stay flat. Positions are rounded to 1/1024 of a pixel.

    Returns
    -------
    (1025, taps) ndarray of float32
        The first tap is ``taps / 2 - 1`` pixels before the pixel that holds the position.
    """
    fraction = np.arange(PHASES + 1)[:, None] / PHASES
    taps = {"linear": 2, "cubic": 4, "lanczos": 6}[interpolation]
    distance = np.abs(fraction - (np.arange(taps) - (taps // 2 - 1)))
    if interpolation == "linear":
        weights = np.maximum(0.0, 1.0 - distance)
    elif interpolation == "cubic":
        near = (1.5 * distance - 2.5) * distance**2 + 1.0
        far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
        weights = np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))
    else:
        weights = np.where(distance < 3.0, np.sinc(distance) * np.sinc(distance / 3.0), 0.0)
        weights[np.abs(weights) < 1e-12] = 0.0
    table: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    table.setflags(write=False)
    return table
