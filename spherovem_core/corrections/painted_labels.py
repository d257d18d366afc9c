"""Labels of which some numbers were replaced and some blocks repainted; read like an array, also in other processes."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastremap
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.corrections.label_index import BLOCK_EDGE, BlockIndex


@dataclass
class PaintedLabels:
    """Labels as they are now.

    Attributes
    ----------
    base : (Z, Y, X) array-like of uint32
        Labels before the first correction.
    numbers
        Present number of each that was replaced.
    painted
        Repainted blocks, compressed, or the files that hold them.
    """

    base: ArrayLike
    numbers: dict[int, int] = field(default_factory=dict)
    painted: dict[BlockIndex, bytes | Path] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volume."""
        return self.base.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return np.dtype(np.uint32)

    def __getitem__(self, region: Any, /) -> NDArray[np.uint32]:
        if not self.painted:
            return self.renumbered(np.array(self.base[region], np.uint32, order="C"))
        values = np.empty([side.stop - side.start for side in region], np.uint32)
        for place, inner, outer in blocks_in(region):
            values[outer] = self.block(place)[inner]
        return self.renumbered(values)

    def renumbered(self, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Give values the present numbers, in place."""
        if self.numbers:
            fastremap.remap(values, self.numbers, preserve_missing_labels=True, in_place=True)
        return values

    def core(self, place: BlockIndex) -> Region:
        """Return the region of a block."""
        return tuple(
            slice(i * BLOCK_EDGE, min(n, (i + 1) * BLOCK_EDGE))
            for i, n in zip(place, self.shape, strict=True)
        )

    def block(self, place: BlockIndex) -> NDArray[np.uint32]:
        """Return a block with the numbers as written; it must not be changed."""
        core = self.core(place)
        kept = self.painted.get(place)
        if kept is None:
            return np.ascontiguousarray(self.base[core], np.uint32)
        content = kept.read_bytes() if isinstance(kept, Path) else kept
        shape = [side.stop - side.start for side in core]
        return np.frombuffer(imagecodecs.zstd_decode(content), np.uint32).reshape(shape)


def blocks_in(region: Region) -> Iterator[tuple[BlockIndex, Region, Region]]:
    """Yield the blocks that a region touches: place, part of the block, part of the region."""
    sides = [range(s.start // BLOCK_EDGE, -(-s.stop // BLOCK_EDGE)) for s in region]
    for z, y, x in itertools.product(*sides):
        inner, outer = [], []
        for i, side in zip((z, y, x), region, strict=True):
            low, high = max(side.start, i * BLOCK_EDGE), min(side.stop, (i + 1) * BLOCK_EDGE)
            inner.append(slice(low - i * BLOCK_EDGE, high - i * BLOCK_EDGE))
            outer.append(slice(low - side.start, high - side.start))
        yield (z, y, x), tuple(inner), tuple(outer)
