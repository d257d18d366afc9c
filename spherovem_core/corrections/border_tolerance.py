"""Borders of objects in labels that another program sampled: which differences are no more than the sampling."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region, block_grid
from spherovem_core.corrections.inner_points import fitting_shape
from spherovem_core.corrections.renumbering import Renumbering

OFFSETS = [step for step in product((-1, 0, 1), repeat=3) if any(step)]
BLOCK_VOXELS = 2**21
"""Voxels of either grid that are read at once."""


@dataclass(frozen=True)
class EarlierLabels:
    """Labels before the corrections, on the imported grid.

    Attributes
    ----------
    labels : (Z, Y, X) array-like of integers
    goes, numbers
        Numbers of the wanted objects for these labels and for the imported ones, as they belong together.
    """

    labels: ArrayLike
    goes: Renumbering
    numbers: Renumbering

    def agree(self, region: Region, imported: ArrayLike) -> NDArray[np.bool_]:
        """Return where the imported labels of a region are these."""
        own, other = np.asarray(self.labels[region]), np.asarray(imported[region])
        found: NDArray[np.bool_] = self.goes.apply(own) == self.numbers.apply(other)
        return found


@dataclass(frozen=True)
class TolerantLabels:
    """Present labels on a coarser grid, as near to imported ones as the sampling leaves open; indexed like an array.

    A program that makes labels coarser takes one of the labels in each coarse voxel, or from half a voxel beside it if it counts
    from another corner. Where the imported label is one of them, the difference says nothing. It counts only next to a voxel with
    the same difference where it is none of them, so that the edge of a painted region belongs to it.

    Attributes
    ----------
    present : (Z, Y, X) array-like of integers
        Labels at full resolution.
    coarse, imported : array-likes of integers
        Present labels as sampled, and the imported ones, on the imported grid.
    goes, numbers
        Numbers of the wanted objects for labels of `present` and of `imported`.
    parents
        Present object for the number of a wanted one that is a part of it; in an imported voxel at the border of such a part, the
        voxels of that object go to it.
    places
        Per axis, the voxel of the imported grid in which each voxel of the volume lies; -1 outside of it.
    earlier
        Labels before the corrections, on the imported grid. If they are given, a difference is tolerated only where the imported
        labels are still those, and where the label is in the coarse voxel itself.
    """

    present: ArrayLike
    coarse: ArrayLike
    imported: ArrayLike
    goes: Renumbering
    numbers: Renumbering
    parents: Renumbering
    places: tuple[NDArray[np.int64], ...]
    earlier: "EarlierLabels | None" = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the imported grid."""
        return tuple(self.coarse.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return np.dtype(self.coarse.dtype)

    def __getitem__(self, region: Region, /) -> NDArray[Any]:
        # A difference beside the region decides about one at its edge.
        outer = tuple(
            slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(region, self.shape, strict=True)
        )
        core = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(region, outer, strict=True))
        found, _ = self._tolerated(outer)
        return found[core]

    def count_tolerated(self) -> tuple[int, int]:
        """Count the imported voxels whose difference is tolerated, and those at borders of present objects."""
        tolerated = borders = 0
        for block in block_grid(self.shape, fitting_shape(self.shape, BLOCK_VOXELS), halo=1):
            _, left = self._tolerated(block.outer)
            tolerated += int(np.count_nonzero(left[block.inner]))
            borders += int(np.count_nonzero(_borders(np.asarray(self.coarse[block.outer]))[block.inner]))
        return tolerated, borders

    def _tolerated(self, region: Region) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the labels of a region, and where a difference is tolerated; one voxel at the edges is not known for sure."""
        labels = np.array(self.coarse[region])
        before, after = self.goes.apply(labels), self.numbers.apply(np.asarray(self.imported[region]))
        differs = before != after
        asked = differs if self.earlier is None else differs & self.earlier.agree(region, self.imported)
        near = self._labels_within(region, asked, after)
        is_part = (near > 0) & (self.goes.apply(near) != after)
        counts = differs & (near < 0)
        for offset in OFFSETS:
            counts |= _beside(counts & (near < 0), before, after, offset) & differs
        left = differs & ~counts & ~is_part
        return np.where(left | is_part, near, labels).astype(labels.dtype), left

    def _labels_within(
        self, region: Region, asked: NDArray[np.bool_], after: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return a present label in or beside each imported voxel that is wanted there, or of which the wanted one is a part.

        -1 if there is none, or none was asked for.
        """
        near = np.full(asked.shape, -1, np.int64)
        low, high = self._windows
        widest = [int((b - a).max()) for a, b in zip(low, high, strict=True)]
        factor = int(np.prod([max(1, w // 2) for w in widest]))
        for block in block_grid(asked.shape, fitting_shape(asked.shape, max(1, BLOCK_VOXELS // factor))):
            places = np.argwhere(asked[block.core])
            if not len(places):
                continue
            places += [part.start for part in block.core]
            grid = places + [part.start for part in region]
            starts = np.stack([axis[index] for axis, index in zip(low, grid.T, strict=True)], 1)
            stops = np.stack([axis[index] for axis, index in zip(high, grid.T, strict=True)], 1)
            corner = starts.min(0)
            box = tuple(slice(int(a), int(b)) for a, b in zip(corner, stops.max(0), strict=True))
            values = np.asarray(self.present[box]).astype(np.int64)
            wanted = after[tuple(places.T)]
            parent = self.parents.look_up(wanted)
            found = np.full(len(places), -1, np.int64)
            for offset in product(*map(range, widest)):
                index = np.minimum(starts + offset, stops - 1) - corner
                label = values[tuple(index.T)]
                fits = (self.goes.look_up(label) == wanted) | ((label == parent) & (wanted > 0))
                found = np.where((found < 0) & fits, label, found)
            near[tuple(places.T)] = found
        return near

    @cached_property
    def _windows(self) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
        """Return per axis the first voxel of the volume near each imported voxel, and the one after the last."""
        low, high = [], []
        for axis, count in zip(self.places, self.shape, strict=True):
            inside = np.flatnonzero(axis >= 0)
            start = inside[np.searchsorted(axis[inside], np.arange(count))]
            stop = inside[np.searchsorted(axis[inside], np.arange(count), "right") - 1] + 1
            slack = (stop - start) // 2 if self.earlier is None else 0
            low.append(np.maximum(start - slack, 0))
            high.append(np.minimum(stop + slack, len(axis)))
        return low, high


def _beside(
    counts: NDArray[np.bool_], before: NDArray[np.int64], after: NDArray[np.int64], offset: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return where the voxel at an offset counts and differs in the same way."""
    own = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(offset, counts.shape, strict=True))
    other = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(offset, counts.shape, strict=True))
    found = np.zeros_like(counts)
    found[own] = counts[other] & (before[own] == before[other]) & (after[own] == after[other])
    return found


def _borders(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the voxels that touch another label by a face."""
    found = np.zeros(labels.shape, bool)
    for axis in range(3):
        differs = np.diff(labels.astype(np.int64), axis=axis) != 0
        first = tuple(slice(None, -1) if number == axis else slice(None) for number in range(3))
        second = tuple(slice(1, None) if number == axis else slice(None) for number in range(3))
        found[first] |= differs
        found[second] |= differs
    return found
