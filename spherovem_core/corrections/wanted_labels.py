"""Labels at full resolution as imported labels of a coarser grid, or of a part of the volume, want them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.corrections.renumbering import Renumbering
from spherovem_core.store.pyramid import downsample

NEIGHBOURS = ((0, 0, -1), (0, 0, 1), (0, -1, 0), (0, 1, 0), (-1, 0, 0), (1, 0, 0))


@dataclass(frozen=True)
class WantedLabels:
    """Labels as they should be, computed region by region; indexed like an array.

    A voxel of the imported grid that did not change leaves all voxels in it alone, so that borders keep their full resolution.
    In one that changed from an object, or the background, to another, the voxels of the former go to the latter. Along its
    borders, an object has voxels in imported voxels that belong to its neighbours there; where it is cut, they go with its
    nearest part. Outside of the imported labels nothing changes but the objects that are merged with others.

    Attributes
    ----------
    present : (Z, Y, X) array-like of integers
        Labels at full resolution.
    coarse, imported : array-likes of integers
        Present labels on the imported grid, and the imported labels.
    goes, numbers
        Numbers of the wanted objects for labels of `present` and of `imported`.
    places
        Per axis, the voxel of the imported grid in which each voxel of the volume lies; -1 outside of it.
    steps
        Factors from each level of a pyramid to the next, if the imported grid is one. Imported voxels whose change would not
        be seen there, because others in them are as many, are then changed as a whole.
    """

    present: ArrayLike
    coarse: ArrayLike
    imported: ArrayLike
    goes: Renumbering
    numbers: Renumbering
    places: tuple[NDArray[np.int64], ...]
    steps: tuple[tuple[int, ...], ...] = ()

    dtype: ClassVar[np.dtype[np.int64]] = np.dtype(np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volume."""
        return tuple(self.present.shape)

    @property
    def array(self) -> Any:
        """The stored array, whose chunks decide in which blocks it is read."""
        return getattr(self.present, "array", self.present)

    def __getitem__(self, region: Region, /) -> NDArray[np.int64]:
        outer = self._whole(self._grown(self._whole(region)))
        own = self.goes.apply(np.asarray(self.present[outer]))
        core = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(region, outer, strict=True))
        places = [axis[part] for axis, part in zip(self.places, outer, strict=True)]
        if not all((axis >= 0).any() for axis in places):
            return own[core]
        box = tuple(slice(int(axis[axis >= 0].min()), int(axis.max()) + 1) for axis in places)
        before = self.goes.apply(np.asarray(self.coarse[box]))
        after = self.numbers.apply(np.asarray(self.imported[box]))
        if np.array_equal(before, after):
            return own[core]
        inside = [axis >= 0 for axis in places]
        covered = tuple(
            slice(int(np.argmax(axis)), len(axis) - int(np.argmax(axis[::-1]))) for axis in inside
        )
        grid = np.ix_(*(axis[part] - s.start for axis, part, s in zip(places, covered, box, strict=True)))
        own[covered] = self._changed(own[covered], before, after, grid)
        return own[core]

    def _changed(
        self,
        own: NDArray[np.int64],
        before: NDArray[np.int64],
        after: NDArray[np.int64],
        grid: tuple[NDArray[np.int64], ...],
    ) -> NDArray[np.int64]:
        """Return the labels of a region that the imported labels cover; `grid` is the imported voxel of each of its voxels."""
        settled = own == before[grid]
        out = np.where(settled, after[grid], own)
        cut = np.unique(before[before != after])
        waiting = ~settled & (own > 0) & np.isin(own, cut)
        _follow_the_nearest_part(out, own, settled, waiting, self._reach)
        if self.steps:
            unseen = (self._on_level(out) != after) & (before != after)
            out = np.where(unseen[grid], after[grid], out)
        return out

    def _on_level(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        for step in self.steps:
            labels = downsample(labels, step, "label")
        return labels

    @cached_property
    def _reach(self) -> int:
        """Voxels by which a border may lie off on the imported grid."""
        widest = max(int(np.bincount(axis[axis >= 0]).max()) for axis in self.places)
        return widest + 1 if widest > 1 else 0

    def _grown(self, region: Region) -> Region:
        return tuple(
            slice(max(0, s.start - self._reach), min(n, s.stop + self._reach))
            for s, n in zip(region, self.shape, strict=True)
        )

    def _whole(self, region: Region) -> Region:
        """Return a region grown to whole voxels of the imported grid."""
        return tuple(_whole_side(axis, part) for axis, part in zip(self.places, region, strict=True))


def _whole_side(axis: NDArray[np.int64], part: slice) -> slice:
    # Outside of the imported grid, every voxel is one of its own.
    start, stop = part.start, part.stop
    while start > 0 and axis[start] >= 0 and axis[start - 1] == axis[start]:
        start -= 1
    while stop < len(axis) and axis[stop] >= 0 and axis[stop] == axis[stop - 1]:
        stop += 1
    return slice(start, stop)


def _follow_the_nearest_part(
    out: NDArray[np.int64],
    own: NDArray[np.int64],
    settled: NDArray[np.bool_],
    waiting: NDArray[np.bool_],
    reach: int,
) -> None:
    """Give waiting voxels the label of a settled voxel of the same object, at most `reach` voxels away; others keep theirs."""
    settled = settled.copy()
    places = np.argwhere(waiting)
    limits = np.array(own.shape)
    for _ in range(reach):
        if not len(places):
            return
        labels = own[tuple(places.T)]
        found = np.zeros(len(places), bool)
        values = np.zeros(len(places), np.int64)
        for step in NEIGHBOURS:
            beside = places + step
            valid = ((beside >= 0) & (beside < limits)).all(1)
            beside[~valid] = 0
            index = tuple(beside.T)
            reached = valid & ~found & settled[index] & (own[index] == labels)
            values[reached] = out[index][reached]
            found |= reached
        done = tuple(places[found].T)
        out[done], settled[done] = values[found], True
        places = places[~found]
