"""Particles that the border of the volume cuts, as balls that leave no room for others."""

import numpy as np
import pandas as pd

from spherovem_core.spatial.random_places import Box, Pattern


def whole_balls(seen: Pattern, particles: pd.DataFrame, box: Box, largest_um: float) -> Pattern:
    """Return the balls of which one side of the volume cuts off a cap; others as they are seen.

    The volume ``π h² (3 R - h) / 3`` of what is left, and its height h, give the radius R. Voxels make that of a thin cap
    uncertain; none is larger than the largest whole particle, or than it is seen.

    Parameters
    ----------
    seen
        Balls of the volume that is left of each particle, about its centroid.
    particles
        Their table, with ``bbox_*`` in voxels.
    box
        Region of the volume.
    largest_um
        Radius of the largest whole particle.
    """
    low = particles[[f"bbox_{axis}0" for axis in "zyx"]].to_numpy(np.float64)
    high = particles[[f"bbox_{axis}1" for axis in "zyx"]].to_numpy(np.float64)
    size = np.rint((box.high_um - box.low_um) / box.voxel_um) + 1
    at_low, at_high = low <= 0, high >= size
    points, radii = seen.points_um.copy(), seen.radii_um.copy()
    for row in np.flatnonzero((at_low | at_high).sum(axis=1) == 1):
        axis = int(np.flatnonzero(at_low[row] | at_high[row])[0])
        height = (high[row, axis] - low[row, axis]) * box.voxel_um[axis]
        volume = 4 / 3 * np.pi * radii[row] ** 3
        radius = min(volume / (np.pi * height**2) + height / 3, max(largest_um, radii[row]))
        if not height / 2 <= radius:
            continue
        inner = box.low_um[axis] - box.voxel_um[axis] / 2 + height
        outer = box.high_um[axis] + box.voxel_um[axis] / 2 - height
        points[row, axis] = inner - radius if at_low[row, axis] else outer + radius
        radii[row] = radius
    return Pattern(points, radii)
