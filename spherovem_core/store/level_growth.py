"""Coarser levels of an image that grow while its finest level is written, so that no slice is read again for them."""

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, Region, block_grid
from spherovem_core.store.block_means import add_plane, empty_sums, is_exact, means
from spherovem_core.store.ome import Factors
from spherovem_core.store.spec import ArraySpec

if TYPE_CHECKING:
    from spherovem_core.store.arrays import ArrayWriter

MOST_BYTES = 1 << 30
"""Bytes that a level holds; a level of larger slices is computed from the finer one when that is complete."""
OPEN_SLABS = 2
"""Slabs that grow at once: slices come nearly in order."""


@dataclass
class _Slab:
    """Slices of a slab, as means or as sums that still grow, and the numbers of the finer slices that were added."""

    values: NDArray[Any]
    added: set[int] = field(default_factory=set)


class GrowingLevel:
    """A coarser level that takes the slices of the finer one in any order, and writes its blocks as their slabs fill up.

    A slab some of whose slices are not seen, because an earlier run wrote them, is left out: `pending` of its writer names its
    blocks. So is one that is put aside because later ones began. `add` may be called from several threads.

    Parameters
    ----------
    finer_shape
        Extents of the finer level.
    writer
        Writer of this level; a block spans one of its shards along z.
    step
        Factors from the finer level to this one.
    next_level
        Level that grows from this one.
    """

    def __init__(
        self,
        finer_shape: tuple[int, ...],
        writer: "ArrayWriter",
        step: Factors,
        next_level: "GrowingLevel | None" = None,
    ) -> None:
        self._finer_shape, self._writer, self._step, self._next = finer_shape, writer, step, next_level
        self._shape, self._dtype = writer.spec.shape, writer.spec.dtype
        self._depth = writer.spec.shards[0]
        self._slabs: dict[int, _Slab] = {}
        self._written: set[int] = set()
        self._left_out: set[int] = set()
        self._lock = threading.Lock()

    @staticmethod
    def fits(spec: ArraySpec, step: Factors) -> bool:
        """Return whether a level can grow: of what type and factors it is, and how large its slabs are."""
        size = spec.dtype.itemsize * (1 if step[0] == 1 else 2)
        held = OPEN_SLABS * spec.shards[0] * spec.shape[1] * spec.shape[2] * size
        return is_exact(spec.dtype, step) and held <= MOST_BYTES

    def add(self, core: Region, values: NDArray[Any]) -> None:
        """Add slices of the finer level; anything but whole slices is passed over.

        Parameters
        ----------
        core
            Region of the finer level.
        values : (z, Y, X) ndarray
            Its values.
        """
        if values.shape[1:] != self._finer_shape[1:]:
            return
        for z, plane in zip(range(core[0].start, core[0].stop), values, strict=True):
            full = self._add_slice(z, plane)
            if full is not None:
                self._finish(*full)

    def _add_slice(self, z: int, plane: NDArray[Any]) -> tuple[int, _Slab] | None:
        """Add a slice, and return the number of its slab and the slab if that is full now."""
        own = z // self._step[0]
        number, place = own // self._depth, own % self._depth
        with self._lock:
            if number in self._written:
                self._forget(number)
            if number in self._left_out:
                return None
            slab = self._slabs.get(number) or self._open(number)
            if z in slab.added:
                self._put_aside(number)
                return None
            slab.added.add(z)
            self._add_plane(z, plane, slab.values[place])
            deep = self._depth * self._step[0]
            if len(slab.added) < min(deep, self._finer_shape[0] - number * deep):
                return None
            self._written.add(number)
            return number, self._slabs.pop(number)

    def _open(self, number: int) -> _Slab:
        if len(self._slabs) >= OPEN_SLABS:
            self._put_aside(min(self._slabs))
        shape = (min(self._depth, self._shape[0] - number * self._depth), *self._shape[1:])
        values = np.empty(shape, self._dtype) if self._step[0] == 1 else empty_sums(shape, self._dtype)
        self._slabs[number] = _Slab(values)
        return self._slabs[number]

    def _add_plane(self, z: int, plane: NDArray[Any], out: NDArray[Any]) -> None:
        fz, fy, fx = self._step
        if fz == 1:
            sums = empty_sums(out.shape, self._dtype)
            add_plane(plane, (fy, fx), sums)
            means(sums, fy * fx, out)
        else:
            # The last slice stands for one that its block lacks.
            weight = fz - z % fz if z == self._finer_shape[0] - 1 else 1
            add_plane(plane, (fy, fx), out, weight)

    def _put_aside(self, number: int) -> None:
        del self._slabs[number]
        self._left_out.add(number)

    def _forget(self, number: int) -> None:
        """Let a slab, and what grew from it, be built again: a slice of it was written once more."""
        self._written.discard(number)
        self._left_out.add(number)
        start = number * self._depth
        stop = min(self._shape[0], start + self._depth)
        shape = (stop - start, *self._shape[1:])
        self._writer.forget([_moved(block, start) for block in block_grid(shape, self._writer.spec.shards)])
        if self._next is not None:
            self._next.rewrite(range(start, stop))

    def rewrite(self, slices: range) -> None:
        """Let be built again what grew from slices of the finer level that are about to change."""
        with self._lock:
            for number in sorted({z // self._step[0] // self._depth for z in slices}):
                if number in self._slabs:
                    self._put_aside(number)
                elif number in self._written:
                    self._forget(number)
                else:
                    self._left_out.add(number)

    def _finish(self, number: int, slab: _Slab) -> None:
        """Write the blocks of a full slab, and add it to the next level."""
        values = slab.values
        if self._step[0] > 1:
            values = np.empty(slab.values.shape, self._dtype)
            for sums, out in zip(slab.values, values, strict=True):
                means(sums, math.prod(self._step), out)
        start = number * self._depth
        for block in block_grid(values.shape, self._writer.spec.shards):
            self._writer.write(_moved(block, start), values[block.core])
        if self._next is not None:
            whole = tuple(slice(0, n) for n in values.shape[1:])
            self._next.add((slice(start, start + len(values)), *whole), values)


def _moved(block: Block, start: int) -> Block:
    """Move a block along z."""
    z, *rest = block.core
    core = (slice(z.start + start, z.stop + start), *rest)
    return Block(block.index, core, core)
