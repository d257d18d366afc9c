"""Points well inside an object, at which operations are anchored."""

import math
from collections.abc import Callable, Sequence

import edt
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region, block_grid
from spherovem_core.spacing import SpacingNm

LARGEST_BOX = 2**22
"""Voxels searched at once."""

Inside = Callable[[Region], NDArray[np.bool_]]


def fitting_shape(extent: Sequence[int], most_voxels: int) -> tuple[int, ...]:
    """Return the extents of a box, the longest ones halved until it has at most `most_voxels`."""
    shape = list(extent)
    while math.prod(shape) > most_voxels:
        longest = shape.index(max(shape))
        shape[longest] = -(-shape[longest] // 2)
    return tuple(shape)


def find_inner_point(
    box: NDArray[np.int64], inside: Inside, spacing_nm: SpacingNm
) -> tuple[int, int, int] | None:
    """Find a voxel far from the border of a set of voxels; return None if the set is empty.

    Searches the middle of the box, and only if the set is not there the rest of it. Runs on the CPU.

    Parameters
    ----------
    box : (3, 2) ndarray of int64
        Bounding box of the set: first voxel and the one after the last along z, y, x.
    inside
        Function that returns the set in a region of the volume.
    spacing_nm
        Voxel size in nm.
    """
    extent = box[:, 1] - box[:, 0]
    shape = np.array(fitting_shape(extent.tolist(), LARGEST_BOX))
    low = box[:, 0] + (extent - shape) // 2
    middle = tuple(slice(int(a), int(a + n)) for a, n in zip(low, shape, strict=True))
    found = _deepest(middle, inside, spacing_nm)
    if found is not None or tuple(shape) == tuple(extent):
        return found
    for block in block_grid(extent.tolist(), shape.tolist()):
        region = tuple(
            slice(int(a) + part.start, int(a) + part.stop)
            for a, part in zip(box[:, 0], block.core, strict=True)
        )
        if (found := _deepest(region, inside, spacing_nm)) is not None:
            return found
    return None


def _deepest(region: Region, inside: Inside, spacing_nm: Sequence[float]) -> tuple[int, int, int] | None:
    found = np.ascontiguousarray(inside(region))
    if not found.any():
        return None
    depth = edt.edt(found, anisotropy=tuple(spacing_nm), black_border=True)
    z, y, x = np.unravel_index(int(np.argmax(depth)), found.shape)
    return region[0].start + int(z), region[1].start + int(y), region[2].start + int(x)
