"""One object of a label volume, read in blocks: it may be larger than memory."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.corrections.label_index import BLOCK_EDGE, LabelledObject
from spherovem_core.corrections.painted_labels import blocks_in

Factors = tuple[int, int, int]
Read = Callable[[Region], NDArray[np.bool_]]
ReadLabels = Callable[[Region], NDArray[np.uint32]]

LARGEST_GRID = 2**21
"""Voxels of the grid on which a cut is searched. An object whose box has more is searched on a coarser grid. 128³ voxels take
about a second."""

KEPT_IN_MEMORY = 2**25
"""Voxels of the box of an object that is read once."""


@dataclass(frozen=True)
class ObjectBox:
    """Voxels of an object within a box.

    Attributes
    ----------
    read
        Returns the voxels of a region of the box.
    shape
        Extents of the box.
    low
        Place of the box in the volume, to which the blocks are aligned.
    """

    read: Read
    shape: tuple[int, ...]
    low: tuple[int, ...] = (0, 0, 0)

    @property
    def region(self) -> Region:
        """Place of the box in the volume."""
        return self.in_volume(tuple(map(slice, [0] * 3, self.shape)))

    def in_volume(self, region: Region) -> Region:
        """Return the place in the volume of a region of the box."""
        return tuple(
            slice(side.start + low, side.stop + low) for side, low in zip(region, self.low, strict=True)
        )

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> "ObjectBox":
        """Return the box of an array in memory."""
        return cls(mask.__getitem__, mask.shape)

    def blocks(self) -> Iterator[Region]:
        """Yield the blocks of the box."""
        sides = []
        for n, low in zip(self.shape, self.low, strict=True):
            bounds = [0, *range(BLOCK_EDGE - low % BLOCK_EDGE, n, BLOCK_EDGE), n]
            sides.append([slice(*pair) for pair in itertools.pairwise(bounds)])
        yield from itertools.product(*sides)

    def coarse(self, factors: Factors) -> NDArray[np.bool_]:
        """Return the blocks of so many voxels that hold a voxel of the object."""
        if factors == (1, 1, 1):
            return self.read(tuple(map(slice, [0] * 3, self.shape)))
        found = np.zeros([-(-n // factor) for n, factor in zip(self.shape, factors, strict=True)], np.bool_)
        for region in self.blocks():
            mask = self.read(region)
            if mask.any():
                place, blocks = any_of_blocks(mask, region, factors)
                found[place] |= blocks
        return found


def box_of(labels: ReadLabels, extents: Sequence[int], label: int, known: LabelledObject) -> ObjectBox:
    """Return an object and its surroundings of one voxel, where the volume does not end.

    A box of more than `KEPT_IN_MEMORY` voxels is read in pieces, whenever they are asked for.
    """
    # The box of an edited object may be too large.
    low, high = _bounds(labels, label, known)
    low = tuple(max(0, i - 1) for i in low)
    shape = tuple(min(n, stop + 1) - start for n, stop, start in zip(extents, high, low, strict=True))

    def read(region: Region) -> NDArray[np.bool_]:
        sides = [slice(side.start + i, side.stop + i) for side, i in zip(region, low, strict=True)]
        found: NDArray[np.bool_] = labels(tuple(sides)) == label
        return found

    if math.prod(shape) > KEPT_IN_MEMORY:
        return ObjectBox(read, shape, low)
    mask = np.ascontiguousarray(read(tuple(map(slice, [0] * 3, shape))))
    return ObjectBox(mask.__getitem__, shape, low)


def _bounds(labels: ReadLabels, label: int, known: LabelledObject) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the first voxel of an object along each axis, and the one behind its last."""
    low, high = np.array(known.high), np.array(known.low)
    for place, _, outer in blocks_in(known.region):
        if place not in known.blocks:
            continue
        start = np.array(known.low) + [side.start for side in outer]
        stop = np.array(known.low) + [side.stop for side in outer]
        if (start >= low).all() and (stop <= high).all():
            continue
        mask = labels(tuple(map(slice, start.tolist(), stop.tolist()))) == label
        for axis in range(3):
            found = np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis)))
            if len(found):
                low[axis] = min(low[axis], start[axis] + found[0])
                high[axis] = max(high[axis], start[axis] + found[-1] + 1)
    return tuple(low.tolist()), tuple(high.tolist())


def coarse_factors(shape: Sequence[int], spacing: Sequence[float]) -> Factors:
    """Return factors that bring a grid below `LARGEST_GRID`, with voxels as even as possible."""
    factors = np.ones(3, np.int64)
    while np.prod(-(-np.array(shape) // factors)) > LARGEST_GRID:
        factors[np.argmin(np.array(spacing) * factors)] += 1
    z, y, x = map(int, factors)
    return z, y, x


def any_of_blocks(
    mask: NDArray[np.bool_], region: Region, factors: Factors
) -> tuple[Region, NDArray[np.bool_]]:
    """Return the blocks that hold a voxel of the mask of a region, and their place on the coarse grid."""
    place = []
    for axis, (side, factor) in enumerate(zip(region, factors, strict=True)):
        first, stop = side.start // factor, -(-side.stop // factor)
        starts = np.maximum(np.arange(first, stop) * factor - side.start, 0)
        mask = mask if factor == 1 else np.logical_or.reduceat(mask, starts, axis)
        place.append(slice(first, stop))
    return tuple(place), mask


def spread_out(coarse: NDArray[Any], region: Region, factors: Factors) -> NDArray[Any]:
    """Return the values of a coarse grid at the voxels of a region."""
    indices = [
        np.arange(side.start, side.stop) // factor for side, factor in zip(region, factors, strict=True)
    ]
    return np.ascontiguousarray(coarse[np.ix_(*indices)])
