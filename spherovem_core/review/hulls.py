"""Convex hulls of objects."""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from spherovem_core.review.object_view import ObjectView


def hull(mask: NDArray[np.bool_], view: ObjectView) -> tuple[NDArray[np.float64], float]:
    """Return the corners (N, 3) in µm of the convex hull of a mask's voxels, and its volume in µm³.

    A mask without a volume, such as a plane of voxels, has that of its voxels.
    """
    ends = view.place(_row_ends(mask))
    points, _ = hull_of_points(ends, 0.0)
    points = points if len(points) else ends
    # Voxels are boxes: the hull is that of the corners of the outermost ones.
    signs = np.array(list(product((-0.5, 0.5), repeat=3)))
    corners = (points[:, None] + signs * view.spacing_um).reshape(-1, 3)
    return hull_of_points(corners, float(mask.sum() * np.prod(view.spacing_um)))


def _row_ends(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first and the last voxel of every row along x: no others can be corners of the hull."""
    z, y = np.nonzero(mask.any(axis=2))
    rows = mask[z, y]
    first, last = rows.argmax(axis=1), rows.shape[1] - 1 - rows[:, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([z, y, first], axis=1), np.stack([z, y, last], axis=1)])


def hull_of_points(points: NDArray[np.float64], otherwise: float) -> tuple[NDArray[np.float64], float]:
    """Return the corners and the volume of the convex hull of points; the given volume where they span none."""
    try:
        found = ConvexHull(points)
    except (QhullError, ValueError):
        return points[:0], otherwise
    return points[found.vertices], float(found.volume)
