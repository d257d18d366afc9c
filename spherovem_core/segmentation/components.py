"""Provisional objects of all blocks: which of them are one, how large they are, and their final numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import Region

_NOWHERE = np.iinfo(np.int64).max


class Components:
    """Numbers that stand for pieces of objects, joined by union-find; 0 is background.

    A piece is what one block made of an object. Voxels are counted in block cores only, so that no voxel
    counts twice.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._shape = tuple(shape)
        self._parent = [0]
        self._counts = [np.zeros(1, np.int64)]
        self._firsts = [np.full(1, _NOWHERE)]
        self._lows = [np.full((1, 3), _NOWHERE)]
        self._highs = [np.zeros((1, 3), np.int64)]

    def __len__(self) -> int:
        return len(self._parent)

    def add(self, labels: NDArray[np.uint32], core: Region, count: int) -> None:
        """Add pieces `len(self)` to `len(self) + count - 1` with what a block's core holds of them."""
        offset = len(self)
        counts = np.zeros(count, np.int64)
        firsts = np.full(count, _NOWHERE)
        lows, highs = np.full((count, 3), _NOWHERE), np.zeros((count, 3), np.int64)
        numbers, places, found = np.unique(labels, return_index=True, return_counts=True)
        inside = numbers > 0
        index = numbers[inside].astype(np.int64) - offset
        counts[index] = found[inside]
        # Within a block, the block's C order is also the order of the volume's flat indices.
        local = np.unravel_index(places[inside], labels.shape)
        position = tuple(n + s.start for n, s in zip(local, core, strict=True))
        firsts[index] = np.ravel_multi_index(position, self._shape)
        for n, box in enumerate(
            ndimage.find_objects(np.where(labels, labels - offset + 1, 0).astype(np.int32))
        ):
            if box is not None:
                lows[n] = [b.start + s.start for b, s in zip(box, core, strict=True)]
                highs[n] = [b.stop + s.start for b, s in zip(box, core, strict=True)]
        self._parent.extend(range(offset, offset + count))
        self._counts.append(counts)
        self._firsts.append(firsts)
        self._lows.append(lows)
        self._highs.append(highs)

    def find(self, number: int) -> int:
        """Smallest number of the piece's object."""
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def join(self, first: int, second: int) -> None:
        """Make one object of two pieces and all that they were joined to."""
        a, b = sorted((self.find(first), self.find(second)))
        self._parent[b] = a

    def roots(self) -> NDArray[np.int64]:
        """Object of every piece."""
        return np.array([self.find(n) for n in range(len(self))], np.int64)

    def sizes(self) -> NDArray[np.int64]:
        """Voxels of the object at its root's index, 0 at other indices."""
        return np.bincount(self.roots(), np.concatenate(self._counts), len(self)).astype(np.int64)

    def boxes(self) -> dict[int, Region]:
        """Bounding box of every object that has a voxel, by its root."""
        roots, found = self.roots(), self.sizes() > 0
        low, high = np.full((len(self), 3), _NOWHERE), np.zeros((len(self), 3), np.int64)
        np.minimum.at(low, roots, np.concatenate(self._lows))
        np.maximum.at(high, roots, np.concatenate(self._highs))
        return {
            root: tuple(slice(a, b) for a, b in zip(low[root].tolist(), high[root].tolist(), strict=True))
            for root in np.flatnonzero(found).tolist()
        }

    def numbering(self, kept: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Final label of every piece: 0 unless its root is kept, else counted by first appearance in the volume."""
        roots = self.roots()
        first = np.full(len(self), _NOWHERE)
        np.minimum.at(first, roots, np.concatenate(self._firsts))
        chosen = np.flatnonzero(kept)
        numbers = np.zeros(len(self), np.uint32)
        numbers[chosen[np.argsort(first[chosen])]] = np.arange(1, len(chosen) + 1)
        return numbers[roots]
