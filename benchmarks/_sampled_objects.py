"""Populations of objects of many sizes, of which a window shows a part: for intervals of means."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SPREADS = {"sizes within 15 %": 0.15, "sizes within 30 %": 0.3}
"""Standard deviation of the logarithm of the diameter."""

WINDOWS = {"3 to 5 diameters": (60, 100, 100), "6 to 10 diameters": (120, 200, 200)}
DIAMETER_PX = 20.0
ELONGATION = 0.15
"""Standard deviation of the logarithm of each side of an object."""


def window_of_objects(
    rng: np.random.Generator, spread: float, window: tuple[int, int, int]
) -> tuple[pd.DataFrame, float]:
    """Draw ellipsoids at random places; return their boxes within a window as a table, and the true mean volume.

    Parameters
    ----------
    spread
        Standard deviation of the logarithm of the diameter.
    window
        Shape of the volume that is seen, in voxels.
    """
    reach = 4 * DIAMETER_PX
    room = np.array(window) + 2 * reach
    n = rng.poisson(np.prod(room) / (1.6 * DIAMETER_PX) ** 3)
    diameters = (
        DIAMETER_PX * np.exp(rng.normal(0, spread, n))[:, None] * np.exp(rng.normal(0, ELONGATION, (n, 3)))
    )
    sides = np.maximum(1, np.rint(diameters)).astype(int)
    low = np.floor(rng.random((n, 3)) * room - reach - sides / 2).astype(int)
    high = low + sides
    seen = ((high > 0) & (low < np.array(window))).all(axis=1)
    clipped = np.maximum(low, 0)[seen], np.minimum(high, window)[seen]
    volumes = _volume(clipped[1] - clipped[0])
    table = pd.DataFrame({"label": np.arange(seen.sum()) + 1, "volume_um3": volumes})
    for axis, name in enumerate("zyx"):
        table[f"bbox_{name}0"], table[f"bbox_{name}1"] = clipped[0][:, axis], clipped[1][:, axis]
    # Rounded sides have the mean of the sides; those of a lognormal distribution are known.
    truth = np.pi / 6 * DIAMETER_PX**3 * np.exp(9 / 2 * spread**2 + 3 / 2 * ELONGATION**2)
    return table, float(truth)


def _volume(sides: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.pi / 6 * np.prod(np.asarray(sides, float), axis=1)
