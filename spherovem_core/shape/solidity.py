"""Solidity of a closed surface: its volume over that of its convex hull."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from spherovem_core.shape.surface import Surface

BINS = (32, 64)
"""Bins of directions, along the polar angle's cosine and around; the farthest point of each can be a corner of the hull."""
FEW_POINTS = 2000
"""So few points need no bins."""


def solidity(surface: Surface) -> float:
    """Compute the volume within a closed surface over that of its convex hull: 1 for a convex body.

    Give the surface as it was smoothed: both volumes are those of the same points, so that what smoothing takes off corners
    cancels. The hull is that of about two thousand points, within 1 % of its volume. NaN for a surface without extent.
    """
    points = _farthest_points(surface.position)
    try:
        hull = float(ConvexHull(points).volume)
    except QhullError:
        return float("nan")
    return min(1.0, surface.enclosed / hull)


def _farthest_points(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Select the farthest point from the centre in each of a few thousand directions."""
    if len(position) <= FEW_POINTS:
        return position
    offset = position - position.mean(axis=0)
    distance = np.sqrt((offset**2).sum(axis=1))
    height = offset[:, 0] / np.maximum(distance, 1e-9)
    turn = np.arctan2(offset[:, 1], offset[:, 2]) / (2 * np.pi) + 0.5
    rows = np.minimum((height + 1) / 2 * BINS[0], BINS[0] - 1).astype(np.int64)
    columns = np.minimum(turn * BINS[1], BINS[1] - 1).astype(np.int64)
    bins = rows * BINS[1] + columns
    order = np.lexsort((distance, bins))
    last = np.append(bins[order][1:] != bins[order][:-1], True)
    found: NDArray[np.float64] = position[order[last]]
    return found
