"""Growth of objects into foreground without an object."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm


def expand_labels(
    labels: NDArray[np.uint32],
    foreground: NDArray[np.bool_],
    reach_nm: float,
    spacing_nm: SpacingNm,
) -> NDArray[np.uint32]:
    """Give unlabelled foreground to the nearest object within reach.

    Foreground is left without an object where too few flows converge and where objects were dropped. Distances are
    from voxel centre to voxel centre. Of objects at the same distance the smaller label takes the voxel, so that a
    voxel's label depends on nothing farther away than the reach.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of uint32
        Objects, 0 is background.
    foreground : (Z, Y, X) ndarray of bool
        Voxels into which objects may grow.
    reach_nm
        Farthest distance.
    spacing_nm
        Voxel size.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
    """
    steps, distances = _ball(reach_nm, spacing_nm)
    grown: NDArray[np.uint32] = _nearest(labels, foreground, steps, distances)
    return grown


def reach_voxels(reach_nm: float, spacing_nm: SpacingNm) -> tuple[int, int, int]:
    """Return the voxels along z, y, x within reach, which is the halo that a block needs."""
    dz, dy, dx = (int(reach_nm / side + 1e-9) for side in spacing_nm)
    return dz, dy, dx


def _ball(reach_nm: float, spacing_nm: SpacingNm) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the steps to all voxels within reach, the nearest first, and their distances."""
    axes = [np.arange(-n, n + 1) for n in reach_voxels(reach_nm, spacing_nm)]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    distances = np.round(np.sqrt(((steps * spacing_nm) ** 2).sum(axis=1)), 6)
    order = np.argsort(distances, kind="stable")
    order = order[(distances[order] > 0) & (distances[order] <= reach_nm)]
    return steps[order], distances[order]


@njit(cache=True, nogil=True, parallel=True)
def _nearest(labels, foreground, steps, distances):  # type: ignore[no-untyped-def]
    depth, rows, columns = labels.shape
    out = labels.copy()
    for z in prange(depth):
        for y in range(rows):
            for x in range(columns):
                if labels[z, y, x] or not foreground[z, y, x]:
                    continue
                found, limit = np.uint32(0), np.inf
                for n in range(len(steps)):
                    if distances[n] > limit:
                        break
                    i, j, k = z + steps[n, 0], y + steps[n, 1], x + steps[n, 2]
                    if i < 0 or j < 0 or k < 0 or i >= depth or j >= rows or k >= columns:
                        continue
                    other = labels[i, j, k]
                    if other and (found == 0 or other < found):
                        found, limit = other, distances[n]
                out[z, y, x] = found
    return out
