"""Labels while they are corrected: the automatic ones, numbers that were replaced, and the blocks that were repainted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region
from spherovem_core.corrections.label_index import (
    BLOCK_EDGE,
    BlockIndex,
    LabelIndex,
    LabelledObject,
    index_array,
)
from spherovem_core.corrections.painted_labels import PaintedLabels, blocks_in

CACHED_BLOCKS = 32
"""Decoded blocks in memory, 8 MiB each."""


class LabelCanvas:
    """Labels that can be relabelled and repainted without a copy of the volume.

    Joining and deleting change a table of numbers alone. Painting changes copies of the blocks that it touches; they are kept
    compressed (labels shrink about fifty-fold), in files where a folder is given. Used by one thread; others read `labels`.

    Parameters
    ----------
    base : (Z, Y, X) array-like of uint32
        Labels before the first correction; never written.
    index
        Index of them.
    folder
        Empty folder for repainted blocks; None keeps them in memory.

    Attributes
    ----------
    labels
        The labels as they are now.
    """

    def __init__(self, base: ArrayLike, index: LabelIndex, folder: Path | None = None) -> None:
        self.labels = PaintedLabels(base)
        self._index = index
        self._folder = folder
        self._decoded: dict[BlockIndex, NDArray[np.uint32]] = {}
        self._changed: dict[int, LabelledObject | None] = {}

    @property
    def largest_automatic(self) -> int:
        """Largest label before the first correction."""
        return self._index.largest

    @property
    def count(self) -> int:
        """Number of objects."""
        known = {label for label in self._changed if self._index.find(label) is not None}
        present = sum(1 for found in self._changed.values() if found is not None)
        return len(self._index) - len(known) + present

    def find(self, label: int) -> LabelledObject | None:
        """Return an object by its present label; None if there is none."""
        if label in self._changed:
            return self._changed[label]
        return self._index.find(label)

    def voxel(self, index: tuple[int, int, int]) -> int:
        """Return the label of one voxel."""
        z, y, x = index
        place = (z // BLOCK_EDGE, y // BLOCK_EDGE, x // BLOCK_EDGE)
        if place in self.labels.painted:
            raw = int(self._block(place)[z % BLOCK_EDGE, y % BLOCK_EDGE, x % BLOCK_EDGE])
        else:
            region = (slice(z, z + 1), slice(y, y + 1), slice(x, x + 1))
            raw = int(np.asarray(self.labels.base[region]).reshape(-1)[0])
        return self.labels.numbers.get(raw, raw)

    def read(self, region: Region) -> NDArray[np.uint32]:
        """Return the labels of a region."""
        values = np.empty([side.stop - side.start for side in region], np.uint32)
        for place, inner, outer in blocks_in(region):
            values[outer] = self._block(place)[inner]
        return self.labels.renumbered(values)

    def relabel(self, label: int, to: int) -> None:
        """Give the voxels of an object the number of another object; 0 deletes it."""
        found = self.find(label)
        if found is None or label == to:
            return
        numbers = self.labels.numbers
        for number, target in numbers.items():
            if target == label:
                numbers[number] = to
        numbers[label] = to
        self._changed[label] = None
        other = self.find(to)
        if to and other is not None:
            self._changed[to] = found.joined(other)

    def paint(self, region: Region, values: NDArray[np.uint32], where: NDArray[np.bool_]) -> None:
        """Set the labels of some voxels of a region; a number that was relabelled before must not come back."""
        before = self.read(region)
        where = where & (before != values)
        if not where.any():
            return
        self._take(before[where])
        self._give(region, np.where(where, values, np.uint32(0)))
        for place, inner, outer in blocks_in(region):
            chosen = where[outer]
            if chosen.any():
                block = self._block(place).copy()
                block[inner][chosen] = values[outer][chosen]
                self._store(place, block)

    def changed_blocks(self) -> set[BlockIndex]:
        """Return the blocks whose labels may differ from those before the first correction."""
        found = set(self.labels.painted)
        for number in self.labels.numbers:
            own = self._index.find(number)
            found |= own.blocks if own is not None else frozenset()
        return found

    def _take(self, labels: NDArray[np.uint32]) -> None:
        """Take voxels away from objects."""
        for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
            found = self.find(int(label))
            if found is not None:
                left = found.voxels - int(count)
                self._changed[int(label)] = (
                    LabelledObject(left, found.low, found.high, found.blocks) if left else None
                )

    def _give(self, region: Region, painted: NDArray[np.uint32]) -> None:
        """Give voxels to objects."""
        for place, _, outer in blocks_in(region):
            core = tuple(
                slice(side.start + own.start, side.start + own.stop)
                for side, own in zip(region, outer, strict=True)
            )
            labels, voxels, boxes, _ = index_array(painted[outer], Block(place, core, core))
            for label, count, box in zip(labels.tolist(), voxels.tolist(), boxes.tolist(), strict=True):
                added = LabelledObject(count, tuple(box[:3]), tuple(box[3:]), frozenset([place]))
                known = self.find(label)
                self._changed[label] = added if known is None else known.joined(added)

    def _block(self, place: BlockIndex) -> NDArray[np.uint32]:
        found = self._decoded.pop(place, None)
        found = self.labels.block(place) if found is None else found
        self._decoded[place] = found
        while len(self._decoded) > CACHED_BLOCKS:
            del self._decoded[next(iter(self._decoded))]
        return found

    def _store(self, place: BlockIndex, values: NDArray[np.uint32]) -> None:
        # Any: imagecodecs takes arrays, but its stubs say bytes.
        plain: Any = values
        content = bytes(imagecodecs.zstd_encode(plain, level=1))
        if self._folder is None:
            self.labels.painted[place] = content
        else:
            path = self._folder / "-".join(map(str, place))
            path.write_bytes(content)
            self.labels.painted[place] = path
        self._decoded[place] = values

    def objects(self) -> Iterator[tuple[int, LabelledObject]]:
        """Yield the label of every object and the object, in the order of labels."""
        for label in self.present():
            found = self.find(label)
            if found is not None:
                yield label, found

    def present(self) -> list[int]:
        """Return the labels of all objects, rising."""
        gone = {label for label, found in self._changed.items() if found is None}
        return sorted({*self._index, *self._changed} - gone)
