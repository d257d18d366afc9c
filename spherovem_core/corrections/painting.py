"""Codes of the voxels that an object gains or loses, for the mask of a `Replace`."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region, block_grid
from spherovem_core.corrections.operations import BACKGROUND, FIRST_TARGET
from spherovem_core.corrections.renumbering import Renumbering

READ_VOXELS = 2**22
"""Voxels of present and of wanted labels that are read at once."""


@dataclass(frozen=True)
class Painting:
    """Change of one object in a box.

    Attributes
    ----------
    corner
        First voxel z, y, x of the box.
    codes : (Z, Y, X) ndarray of uint8
        `FIRST_TARGET` where the object gains a voxel, `BACKGROUND` where it loses one to the background.
    taken
        Voxels that it takes from each other object.
    gained, lost
        Voxels with the one and the other code.
    """

    corner: tuple[int, int, int]
    codes: NDArray[np.uint8]
    taken: dict[int, int]
    gained: int
    lost: int

    @property
    def box(self) -> NDArray[np.int64]:
        """First voxel of the box and the one after the last along z, y, x."""
        low = np.array(self.corner)
        return np.stack([low, low + self.codes.shape], axis=1)

    def gains(self, region: Region) -> NDArray[np.bool_]:
        """Return where the object gains voxels in a region of the volume, which lies in the box."""
        own = tuple(slice(s.start - c, s.stop - c) for s, c in zip(region, self.corner, strict=True))
        found: NDArray[np.bool_] = self.codes[own] == FIRST_TARGET
        return found


def paint_object(
    present: ArrayLike, wanted: ArrayLike, after_merging: Renumbering, number: int, region: Region
) -> Painting | None:
    """Find the voxels of a region that an object gains, or loses to the background; return None if there are none.

    Parameters
    ----------
    present, wanted : (Z, Y, X) array-like of integers
        Labels as they are and as they should be.
    after_merging
        Numbers of the present objects after whole ones were deleted and merged.
    number
        The object.
    region
        Region of the volume; it is read in pieces of `READ_VOXELS`.
    """
    low = [part.start for part in region]
    codes = np.zeros([part.stop - part.start for part in region], np.uint8)
    taken: dict[int, int] = {}
    for block in block_grid(codes.shape, _piece(codes.shape)):
        place = tuple(slice(a + s.start, a + s.stop) for a, s in zip(low, block.core, strict=True))
        before = after_merging.apply(np.asarray(present[place]))
        after = np.asarray(wanted[place])
        gains = (after == number) & (before != number)
        codes[block.core] = FIRST_TARGET * gains + BACKGROUND * ((before == number) & (after == 0))
        others, counts = np.unique(before[gains], return_counts=True)
        for other, count in zip(others.tolist(), counts.tolist(), strict=True):
            if other:
                taken[other] = taken.get(other, 0) + count
    if not codes.any():
        return None
    used = [np.flatnonzero(codes.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    codes = codes[tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in used)]
    z, y, x = (a + int(axis[0]) for a, axis in zip(low, used, strict=True))
    counts = np.bincount(codes.reshape(-1), minlength=FIRST_TARGET + 1)
    return Painting((z, y, x), codes, taken, int(counts[FIRST_TARGET]), int(counts[BACKGROUND]))


def cut_box(box: NDArray[np.int64], most_voxels: int) -> Iterator[Region]:
    """Cut a box in halves along its longest sides until each part has at most `most_voxels`."""
    extent = box[:, 1] - box[:, 0]
    if np.prod(extent) <= most_voxels:
        yield tuple(slice(int(a), int(b)) for a, b in box)
        return
    axis = int(np.argmax(extent))
    middle = int(box[axis].sum()) // 2
    for start, stop in ((box[axis, 0], middle), (middle, box[axis, 1])):
        half = box.copy()
        half[axis] = start, stop
        yield from cut_box(half, most_voxels)


def _piece(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of at most `READ_VOXELS` with whole rows if possible."""
    depth, height, width = shape
    height = max(1, min(height, READ_VOXELS // width))
    return max(1, min(depth, READ_VOXELS // (height * width))), height, min(width, READ_VOXELS)
