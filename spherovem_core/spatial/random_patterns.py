"""Counts in the pattern of one cell: pairs, nearest neighbours, and volume by distance to the nucleus."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.spatial.random_space import CellSpace, Floats, OpenSpace

MOST_IN_PAIRS = 5000
"""Particles of a cell whose pairs are counted; of more, a random sample."""

POINTS_IN_BALL = 256
"""Points that stand for the volume of a ball; of 64, caps at a membrane were 3 % too large."""


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def count_pairs(points: Any, edges: Any, pairs: Any, nearest: Any) -> None:
    """Count the pairs of points, and their nearest neighbours, by distance.

    Parameters
    ----------
    points : (S, N, 3) ndarray of float32
        Patterns.
    edges : (R,) ndarray of float64
        Radii, rising and equally spaced from 0: shell k holds distances above the radius before it and up to its own.
    pairs, nearest : (S, R) ndarray of int32
        Take the counts.
    """
    count = points.shape[1]
    last = edges[-1]
    step = last / len(edges)
    best = np.empty(count)
    for s in range(len(points)):
        best[:] = np.inf
        for i in range(count):
            for j in range(i):
                squared = 0.0
                for axis in range(3):
                    squared += (np.float64(points[s, i, axis]) - points[s, j, axis]) ** 2
                best[i] = min(best[i], squared)
                best[j] = min(best[j], squared)
                if squared <= last * last:
                    pairs[s, _shell(np.sqrt(squared), step, len(edges))] += 1
        for i in range(count):
            if best[i] <= last * last:
                nearest[s, _shell(np.sqrt(best[i]), step, len(edges))] += 1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shell(distance: Any, step: Any, count: int) -> int:
    return min(max(int(np.ceil(distance / step)) - 1, 0), count - 1)


def ball_points() -> Floats:
    """Return points spread evenly over the ball of radius 1: a spiral with radii of equal volume, and its mirror image."""
    n = np.arange(POINTS_IN_BALL // 2) + 0.5
    # The radii follow a sequence of low discrepancy, so that neighbours on the spiral have different ones.
    radius = np.cbrt((n * (np.sqrt(5) - 1) / 2) % 1.0)
    height = 1 - 4 * n / POINTS_IN_BALL
    angle = n * np.pi * (3 - np.sqrt(5))
    across = np.sqrt(1 - height**2)
    points = np.stack([height, across * np.cos(angle), across * np.sin(angle)], axis=1)
    half = points * radius[:, None]
    return np.concatenate([half, -half])


def volumes_by_distance(
    space: CellSpace | OpenSpace, places: NDArray[np.float32], radii: Floats, volumes: Floats, width: float
) -> NDArray[np.float64]:
    """Sum the volume of particles in bins of the distance to the nucleus, for each pattern.

    A particle of some volume is spread evenly over a ball of its radius (0 for a point), and counts where that lies in voxels of
    the cell. Bins are those of `spherovem_core.spatial.distance_bins`.

    Returns
    -------
    (S, B) ndarray of float64
        Volume in µm³, 0 bins for a cell with no nucleus.
    """
    furthest = 0.0
    for slab in space.slabs():
        if np.isfinite(slab.to_nucleus).any():
            furthest = max(furthest, float(np.nanmax(slab.to_nucleus)))
    known = furthest > 0
    bins = int(np.ceil(furthest / width)) + 1 if known else 0
    found = np.zeros((len(places), bins))
    if known:
        for slab in space.slabs():
            start = (slab.start * space.spacing + space.origin) / space.spacing
            spread_balls(
                slab.to_nucleus,
                (slab.core.start, slab.core.stop),
                start,
                space.spacing,
                places,
                radii,
                volumes,
                ball_points(),
                width,
                found,
            )
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def spread_balls(
    distance: Any,
    core: Any,
    start: Any,
    spacing: Any,
    places: Any,
    radii: Any,
    volumes: Any,
    offsets: Any,
    width: float,
    found: Any,
) -> None:
    """Add the volume of balls by the distance in the voxels that hold their points; runs on the CPU."""
    _, height, length = distance.shape
    for s in range(places.shape[0]):
        for n in range(places.shape[1]):
            part = volumes[n] / len(offsets)
            for k in range(len(offsets)):
                z = int(np.rint((places[s, n, 0] + radii[n] * offsets[k, 0]) / spacing[0] - start[0]))
                y = int(np.rint((places[s, n, 1] + radii[n] * offsets[k, 1]) / spacing[1] - start[1]))
                x = int(np.rint((places[s, n, 2] + radii[n] * offsets[k, 2]) / spacing[2] - start[2]))
                if core[0] <= z < core[1] and 0 <= y < height and 0 <= x < length:
                    value = distance[z, y, x]
                    if np.isfinite(value):
                        found[s, int(np.ceil(np.float64(value) / width))] += part
