"""Ripley's K and L of points in a box, in three dimensions."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike as Numbers
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from spherovem_core.errors import ParameterError


def ripley(
    points_um: NDArray[np.float64], low_um: Numbers, high_um: Numbers, radii_um: Numbers
) -> pd.DataFrame:
    """Measure whether points cluster or keep apart, at each radius.

    K is the mean number of other points within a radius of a point, divided by the density [1]_. Near the border of the box
    the ball around a point extends beyond the box, and its count would be too low. Therefore only points at least one radius
    away from the border are centres, while all points are neighbours (border correction, or reduced sample [2]_). This is
    unbiased and assumes nothing about the space outside, but few centres remain for radii near half the shortest side. L is
    the radius of the ball with volume K.

    Parameters
    ----------
    points_um : (N, 3) ndarray
        Points inside the box.
    low_um, high_um : (3,)
        Corners of the box.
    radii_um : (R,)
        Radii, not negative.

    Returns
    -------
    DataFrame
        One row per radius: ``radius_um``; ``centre_count``; ``ripley_k_um3``; ``ripley_l_um``; ``ripley_l_excess_um``, L
        minus the radius: 0 for points spread at random, positive if they cluster. NaN without a centre or with fewer than
        two points.

    Raises
    ------
    ParameterError
        If the box is empty, a point is outside it, or a radius is negative.

    References
    ----------
    .. [1] B. D. Ripley, "Modelling spatial patterns", Journal of the Royal Statistical Society B 39, 172-212 (1977).
    .. [2] A. J. Baddeley, R. A. Moyeed, C. V. Howard, A. Boyde, "Analysis of a three-dimensional point pattern with
       replication", Journal of the Royal Statistical Society C 42, 641-668 (1993).
    """
    points = np.asarray(points_um, np.float64).reshape(-1, 3)
    low, high, radii = (np.asarray(values, np.float64) for values in (low_um, high_um, radii_um))
    _check(points, low, high, radii)
    counts, centres = _count_neighbours(points, np.minimum(points - low, high - points).min(axis=1), radii)
    volume = float(np.prod(high - low))
    neighbours_per_centre = counts / np.where(centres > 0, centres, np.nan)
    # A point has N - 1 others, so that their density is that of N - 1 points.
    k = neighbours_per_centre * volume / (len(points) - 1) if len(points) > 1 else np.full(len(radii), np.nan)
    ell = np.cbrt(k * 3 / (4 * np.pi))
    return pd.DataFrame(
        {
            "radius_um": radii,
            "centre_count": centres,
            "ripley_k_um3": k,
            "ripley_l_um": ell,
            "ripley_l_excess_um": ell - radii,
        }
    )


def default_radii(low_um: Numbers, high_um: Numbers, max_um: float | None, steps: int) -> NDArray[np.float64]:
    """Choose evenly spaced radii up to `max_um`; None (or 0) takes a quarter of the shortest side of the box."""
    shortest = float(np.min(np.asarray(high_um, np.float64) - np.asarray(low_um, np.float64)))
    return np.linspace(0, max_um or shortest / 4, steps + 1)[1:]


def nearest_neighbours(
    points_um: NDArray[np.float64], counted: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Measure the distance from each point to the nearest other point in µm; NaN if there is no other point.

    Parameters
    ----------
    points_um : (N, 3) ndarray
    counted : (N,) ndarray of bool
        Points that are neighbours of others; None counts all.
    """
    points = np.asarray(points_um, np.float64).reshape(-1, 3)
    own = np.ones(len(points), bool) if counted is None else np.asarray(counted, bool)
    distances = np.full(len(points), np.nan)
    tree = cKDTree(points[own])
    # Among the neighbours that count, the nearest of a point that counts is itself.
    for asking, nearest in ((own, 2), (~own, 1)):
        if asking.any() and tree.n >= nearest:
            found, _ = tree.query(points[asking], k=[nearest])
            distances[asking] = np.asarray(found, np.float64)[:, 0]
    return distances


def _count_neighbours(
    points: NDArray[np.float64], to_border: NDArray[np.float64], radii: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count, for each radius, the neighbours of all centres and the centres."""
    everything = cKDTree(points) if len(points) else None
    counts, centres = np.zeros(len(radii), np.int64), np.zeros(len(radii), np.int64)
    for n, radius in enumerate(radii):
        inner = points[to_border >= radius]
        centres[n] = len(inner)
        if everything is not None and len(inner):
            counts[n] = int(cKDTree(inner).count_neighbors(everything, radius)) - len(inner)
    return counts, centres


def _check(
    points: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> None:
    if low.shape != (3,) or high.shape != (3,) or not (high > low).all():
        raise ParameterError(
            f"the box from {low} to {high} µm is empty; give its lower and upper corner (z, y, x)"
        )
    if (radii < 0).any():
        raise ParameterError(f"radius {radii.min()} µm is negative; give radii of 0 or more")
    outside = ~((points >= low) & (points <= high)).all(axis=1)
    if outside.any():
        raise ParameterError(
            f"{int(outside.sum())} of {len(points)} points, the first at {points[outside][0]} µm, lie outside the box "
            f"from {low} to {high} µm; give the box that was searched for points"
        )
