"""Threshold of the evidence at a coarser spacing: one decision for each box of voxels.

The decision is the same in any block. The numba kernel releases the GIL; it has no GPU counterpart.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm


def box_shape(coarse_nm: float, spacing_nm: SpacingNm) -> tuple[int, int, int]:
    """Choose the voxels per box along each axis, so that its sides come closest to `coarse_nm`; at least one voxel."""
    z, y, x = (max(1, round(coarse_nm / step)) for step in spacing_nm)
    return z, y, x


@njit(cache=True, nogil=True)
def _threshold(evidence, box, first, threshold, out):  # type: ignore[no-untyped-def]
    depth, height, width = evidence.shape
    sums = np.empty(width, np.float64)
    for z0 in range(-first[0], depth, box[0]):
        for y0 in range(-first[1], height, box[1]):
            z_start, z_stop = max(z0, 0), min(z0 + box[0], depth)
            y_start, y_stop = max(y0, 0), min(y0 + box[1], height)
            sums[:] = 0.0
            for z in range(z_start, z_stop):
                for y in range(y_start, y_stop):
                    for x in range(width):
                        sums[x] += evidence[z, y, x]
            rows = (z_stop - z_start) * (y_stop - y_start)
            for x0 in range(-first[2], width, box[2]):
                x_start, x_stop = max(x0, 0), min(x0 + box[2], width)
                total = 0.0
                for x in range(x_start, x_stop):
                    total += sums[x]
                if total > threshold * rows * (x_stop - x_start):
                    out[z_start:z_stop, y_start:y_stop, x_start:x_stop] = True


def threshold_boxes(
    evidence: NDArray[np.float32],
    box: tuple[int, int, int],
    threshold: float,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> NDArray[np.bool_]:
    """Average evidence over boxes and mark the boxes whose mean is above a threshold.

    Parameters
    ----------
    evidence : (Z, Y, X) ndarray of float32
        A block of a volume.
    box
        Voxels per box along each axis. Boxes start at the first voxel of the volume; they may be smaller at its far
        borders.
    threshold
        Log odds.
    origin
        First voxel of the block in the volume. A box that the block's border cuts is judged by the part inside, which is
        right only at the border of the volume.

    Returns
    -------
    (Z, Y, X) ndarray of bool
        At the spacing of `evidence`; all voxels of a box have one value.
    """
    out = np.zeros(evidence.shape, np.bool_)
    first = np.array([o % n for o, n in zip(origin, box, strict=True)])
    _threshold(np.ascontiguousarray(evidence), np.array(box), first, threshold, out)
    return out
