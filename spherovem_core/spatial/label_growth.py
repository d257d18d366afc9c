"""Growth of labels into the narrow gaps between them, so that cells that nearly touch meet half-way.

A voxel is in a gap if a ball of the gap's width does not pass there without meeting a label: it belongs to the morphological
closing of all labels by that ball (J. Serra, *Image Analysis and Mathematical Morphology*, Academic Press, 1982). Around the free
edge of a contact, where nothing is between two labels, they do not grow.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm

NONE = np.int32(-1)


def gap_reach(gap_um: float, spacing_um: SpacingNm) -> tuple[int, int, int]:
    """Return the voxels along z, y, x on which the growth of a voxel depends."""
    z, y, x = (2 * int((gap_um / side + 1) / 2 + 1e-9) for side in spacing_um)
    return z, y, x


def grow_labels(
    labels: NDArray[np.uint32],
    gap_um: float,
    spacing_um: SpacingNm,
    chosen: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Find the nearest labelled voxel of each voxel in a gap between labels; runs on the CPU.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of uint32
        0 is background. Beyond the array nothing is known: a label that is near its border counts as if a gap were there.
    gap_um
        Widest gap that is closed. Between flat surfaces across an axis it is closed where the number of empty voxels times
        their side is not more.
    spacing_um
        Voxel size in µm.
    chosen : (Z, Y, X) ndarray of bool, optional
        Voxels to look at, which takes less time than all. What is found at another voxel, or nearer to one than half of
        `gap_reach`, is of no use.

    Returns
    -------
    (Z, Y, X) ndarray of int32
        Flat index of the nearest labelled voxel by the distance of centres, its own where it has a label; -1 outside gaps.
        Of labels at one distance the smaller takes the voxel.
    """
    side = np.array(spacing_um, np.float64)
    # Half axes of the ball in voxels: a gap of n voxels lies between centres n + 1 voxels apart.
    half = (gap_um / side + 1) / 2 + 1e-9
    chosen = np.ones(labels.shape, np.bool_) if chosen is None else chosen
    # The same memory twice, and no more than it takes: fresh memory costs more than what is done with it.
    kind = np.int16 if labels.shape[2] < np.iinfo(np.int16).max else np.int32
    rows = (np.empty(labels.shape, kind), np.empty(labels.shape, kind))
    found: NDArray[np.int32] = _nearest(labels, side, half, chosen, rows)
    _leave_open(labels, found, half, chosen, rows)
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _nearest(labels: Any, side: Any, half: Any, wanted: Any, rows: Any) -> Any:
    """Find the nearest labelled voxel within an ellipsoid."""
    depth, height, width = labels.shape
    flat = labels.reshape(-1)
    reach_z, reach_y = int(half[0]), int(half[1])
    before, after = rows
    _fill_rows(labels != 0, int(half[2]), _needed(wanted, reach_z, reach_y), before, after)
    found = np.full(labels.shape, NONE, np.int32)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if labels[z, y, x] != 0:
                    found[z, y, x] = (z * height + y) * width + x
                    continue
                if not wanted[z, y, x]:
                    continue
                best, place = np.inf, NONE
                for k in range(max(0, z - reach_z), min(depth, z + reach_z + 1)):
                    for j in range(max(0, y - reach_y), min(height, y + reach_y + 1)):
                        scaled = ((k - z) / half[0]) ** 2 + ((j - y) / half[1]) ** 2
                        if scaled > 1:
                            continue
                        across = ((k - z) * side[0]) ** 2 + ((j - y) * side[1]) ** 2
                        for at in (before[k, j, x], after[k, j, x]):
                            if at < 0 or scaled + ((at - x) / half[2]) ** 2 > 1:
                                continue
                            total = across + ((at - x) * side[2]) ** 2
                            candidate = (k * height + j) * width + at
                            if total < best * (1 - 1e-9):
                                best, place = total, np.int32(candidate)
                            elif total <= best * (1 + 1e-9) and flat[candidate] < flat[place]:
                                place = np.int32(candidate)
                found[z, y, x] = place
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _leave_open(labels: Any, nearest: Any, half: Any, wanted: Any, rows: Any) -> None:
    """Take the growth back where the ball passes: near a voxel that no label reached."""
    depth, height, width = labels.shape
    reach_z, reach_y = int(half[0]), int(half[1])
    before, after = rows
    _fill_rows(nearest < 0, int(half[2]), _needed(wanted, reach_z, reach_y), before, after)
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if labels[z, y, x] != 0 or nearest[z, y, x] < 0 or not wanted[z, y, x]:
                    continue
                free = False
                for k in range(max(0, z - reach_z), min(depth, z + reach_z + 1)):
                    for j in range(max(0, y - reach_y), min(height, y + reach_y + 1)):
                        scaled = ((k - z) / half[0]) ** 2 + ((j - y) / half[1]) ** 2
                        for at in (before[k, j, x], after[k, j, x]):
                            free = free or (at >= 0 and scaled + ((at - x) / half[2]) ** 2 <= 1)
                    if free:
                        break
                if free:
                    nearest[z, y, x] = NONE


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _needed(wanted: Any, reach_z: int, reach_y: int) -> Any:
    """Return which rows along x lie within reach of wanted voxels."""
    depth, height, _ = wanted.shape
    needed = np.zeros((depth, height), np.bool_)
    for z in range(depth):
        for y in range(height):
            if wanted[z, y].any():
                needed[max(0, z - reach_z) : z + reach_z + 1, max(0, y - reach_y) : y + reach_y + 1] = True
    return needed


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_rows(chosen: Any, steps: int, needed: Any, before: Any, after: Any) -> None:
    """Write the nearest chosen voxel at or before, and at or after each voxel of its row; -1 beyond `steps` voxels.

    Rows that are not needed stay as they are.
    """
    depth, height, width = chosen.shape
    for z in range(depth):
        for y in range(height):
            if not needed[z, y]:
                continue
            last = -steps - 1
            for x in range(width):
                if chosen[z, y, x]:
                    last = x
                before[z, y, x] = last if x - last <= steps else -1
            last = width + steps
            for x in range(width - 1, -1, -1):
                if chosen[z, y, x]:
                    last = x
                after[z, y, x] = last if last - x <= steps else -1
