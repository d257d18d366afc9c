"""Labels with the unsaved operations in them: read from disk where they are looked at, changed in memory only."""

import itertools
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region

Index = tuple[int, int, int]
IN_MEMORY_VOXELS = 2**25
"""Larger patches are kept in a temporary file."""


@dataclass(frozen=True)
class Patch:
    """New labels of some voxels of a box.

    Attributes
    ----------
    region
        The box at the finest level.
    codes : ndarray of uint8
        0 for voxels that stay.
    labels : (256,) ndarray of uint32
        Label of each code.
    """

    region: Region
    codes: NDArray[np.uint8]
    labels: NDArray[np.uint32]


@dataclass(frozen=True)
class Changes:
    """All changes of the labels at one moment; undo goes back to an earlier one."""

    numbers: dict[int, int]
    patches: tuple[Patch, ...]


class EditedLabels:
    """Labels under edit, at all levels of their pyramid.

    Merged and deleted objects change a table of numbers, others are patches. A patch holds labels from before the table; a label
    that the table replaced never comes back in a later patch. Coarser levels show a patch at one voxel in each of theirs.

    Parameters
    ----------
    levels : sequence of (Z, Y, X) array-like of uint32
        Labels on disk, the finest first.
    factors
        Voxels of the finest level along each axis in one of each level.
    """

    def __init__(self, levels: Sequence[ArrayLike], factors: Sequence[Sequence[int]]) -> None:
        self._levels = tuple(levels)
        self._factors = tuple(tuple(map(int, each)) for each in factors)
        self.changes = Changes({}, ())
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._count = itertools.count()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the finest level."""
        return self._levels[0].shape

    def views(self, *, merged: bool = True) -> "list[LevelView]":
        """Return every level as an array for a viewer; without `merged`, objects keep their numbers in merges."""
        return [LevelView(self, level, merged=merged) for level in range(len(self._levels))]

    def level_shape(self, level: int) -> tuple[int, ...]:
        """Return the shape of a level."""
        return self._levels[level].shape

    def factors(self, level: int) -> tuple[int, ...]:
        """Return the voxels of the finest level along each axis in one of a level."""
        return self._factors[level]

    def coarse_level(self, voxels: int, at_most: int) -> int:
        """Return the finest level at which a box of so many voxels has no more than `at_most`."""
        sizes = [voxels / math.prod(each) for each in self._factors]
        return next((level for level, size in enumerate(sizes) if size <= at_most), len(sizes) - 1)

    def read(self, region: Region, level: int = 0, *, merged: bool = True) -> NDArray[np.uint32]:
        """Return the labels of a region of a level; without `merged`, objects keep their numbers in merges."""
        # Viewers read in several threads, while an action replaces the changes.
        changes = self.changes
        values = np.array(self._levels[level][region], np.uint32, order="C")
        for patch in changes.patches:
            self._show(patch, values, region, self._factors[level])
        numbers = (
            changes.numbers if merged else {number: 0 for number, to in changes.numbers.items() if not to}
        )
        if numbers and values.size:
            fastremap.remap(values, numbers, preserve_missing_labels=True, in_place=True)
        return values

    def _show(
        self, patch: Patch, values: NDArray[np.uint32], region: Region, factors: tuple[int, ...]
    ) -> None:
        own, inside = [], []
        for side, box, factor in zip(region, patch.region, factors, strict=True):
            # Voxels of the level whose middle fine voxel lies in the patch.
            middle = factor // 2
            start = max(side.start, -(-(box.start - middle) // factor))
            stop = min(side.stop, (box.stop - 1 - middle) // factor + 1)
            if start >= stop:
                return
            own.append(slice(start - side.start, stop - side.start))
            inside.append(slice(start * factor + middle - box.start, None, factor))
        shape = tuple(each.stop - each.start for each in own)
        codes = patch.codes[tuple(inside)][tuple(slice(0, side) for side in shape)]
        target = values[tuple(own)]
        changed = codes > 0
        target[changed] = patch.labels[codes[changed]]

    def at(self, index: Sequence[int]) -> int:
        """Return the label of one voxel; 0 outside the volume."""
        if any(i < 0 or i >= n for i, n in zip(index, self.shape, strict=True)):
            return 0
        return int(self.read(tuple(slice(i, i + 1) for i in index)).reshape(-1)[0])

    def renumber(self, label: int, to: int) -> None:
        """Give the voxels of an object the number of another; 0 deletes it."""
        numbers = {
            number: to if target == label else target for number, target in self.changes.numbers.items()
        }
        self.changes = Changes({**numbers, label: to}, self.changes.patches)

    def paint(self, region: Region, codes: NDArray[np.uint8], labels: Sequence[int]) -> None:
        """Give voxels of a region the label of their code, 1 for the first label; code 0 stays."""
        table = np.zeros(256, np.uint32)
        table[1 : len(labels) + 1] = labels
        patch = Patch(region, self._kept(codes), table)
        self.changes = Changes(self.changes.numbers, (*self.changes.patches, patch))

    def _kept(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if codes.size <= IN_MEMORY_VOXELS:
            return np.array(codes, np.uint8)
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="spherovem-edit-")
        kept: NDArray[np.uint8] = np.memmap(
            f"{self._folder.name}/{next(self._count)}", np.uint8, "w+", shape=codes.shape
        )
        kept[...] = codes
        return kept

    def close(self) -> None:
        """Remove the temporary files."""
        if self._folder is not None:
            self._folder.cleanup()


class LevelView:
    """One level as an array, for a viewer; every access shows the present changes."""

    def __init__(self, labels: EditedLabels, level: int, *, merged: bool) -> None:
        self._labels, self._level, self._merged = labels, level, merged
        self.shape = labels.level_shape(level)
        self.dtype = np.dtype(np.uint32)
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint32]:
        region, steps = basic_region(key, self.shape)
        values: NDArray[np.uint32] = self._labels.read(region, self._level, merged=self._merged)[steps]
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


def basic_region(key: Any, shape: Sequence[int]) -> tuple[Region, tuple[Any, ...]]:
    """Turn an index of integers, slices and an ellipsis into a region, and the index that picks from that region."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    region: list[slice] = []
    rest: list[Any] = []
    for part, side in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            chosen = range(*part.indices(side))
            low, high = (min(chosen), max(chosen) + 1) if len(chosen) else (0, 0)
            region.append(slice(low, high))
            rest.append(slice(None) if chosen.step == 1 else slice(None, None, chosen.step))
        else:
            index = int(part) % side if -side <= int(part) < side else None
            if index is None:
                raise IndexError(f"index {part} is out of bounds for an axis of {side} voxels")
            region.append(slice(index, index + 1))
            rest.append(0)
    return tuple(region), tuple(rest)
