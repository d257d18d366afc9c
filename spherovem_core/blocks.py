"""Blocks of an array and their halos, and mapping over blocks with any concurrent.futures executor."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

R = TypeVar("R")
Region = tuple[slice, ...]

READ_EDGE = 64
"""Side in voxels of what is read at once around single voxels: that of the chunks in which maps are stored."""


def core_of_key(key: str) -> Region:
    """Return the region that the key of a block names."""
    sides = (side.partition(":") for side in key.split(","))
    return tuple(slice(int(start), int(stop)) for start, _, stop in sides)


class ArrayLike(Protocol):
    """An array that core functions read from: a NumPy array, a zarr array or a stored array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""

    def __getitem__(self, region: Any, /) -> Any:
        """Read a region."""


@dataclass(frozen=True)
class Block:
    """A piece of an array with its halo.

    Attributes
    ----------
    index
        Position in the grid.
    core
        Region of the array that belongs to the block.
    outer
        `core` grown by the halo and clipped to the array.
    """

    index: tuple[int, ...]
    core: Region
    outer: Region

    @property
    def inner(self) -> Region:
        """`core` in coordinates of `outer`; it cuts the halo off a result."""
        return tuple(
            slice(c.start - o.start, c.stop - o.start) for c, o in zip(self.core, self.outer, strict=True)
        )

    @property
    def key(self) -> str:
        """Name of the block in a ledger, such as ``0:16,0:512,0:512``."""
        return ",".join(f"{s.start}:{s.stop}" for s in self.core)


def corners(region: Region) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first voxel of a region along each axis, and the one after the last."""
    return np.array([side.start for side in region]), np.array([side.stop for side in region])


def values_at(array: "ArrayLike", index: NDArray[np.int64]) -> NDArray[Any]:
    """Read the values at voxels (N, 3), and around them no more than cubes of `READ_EDGE` voxels a side that hold them."""
    values = np.empty(len(index), array.dtype)
    if not len(index):
        return values
    _, cube = np.unique(index // READ_EDGE, axis=0, return_inverse=True)
    order = np.argsort(cube.reshape(-1), kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(cube.reshape(-1)[order])) + 1):
        low, high = index[own].min(axis=0), index[own].max(axis=0) + 1
        region = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        values[own] = np.asarray(array[region])[tuple((index[own] - low).T)]
    return values


def block_grid(
    shape: Sequence[int], block_shape: Sequence[int], halo: Sequence[int] | int = 0
) -> list[Block]:
    """Cut an array into blocks, in C order; the last along an axis may be smaller.

    Parameters
    ----------
    shape, block_shape
        Extents in voxels.
    halo
        Voxels that a block reads beyond its core, one number or one per axis.
    """
    halos = (halo,) * len(shape) if isinstance(halo, int) else tuple(halo)
    counts = [-(-n // b) for n, b in zip(shape, block_shape, strict=True)]
    blocks = []
    for index in itertools.product(*map(range, counts)):
        core = tuple(
            slice(i * b, min(n, (i + 1) * b)) for i, b, n in zip(index, block_shape, shape, strict=True)
        )
        outer = tuple(
            slice(max(0, s.start - h), min(n, s.stop + h)) for s, h, n in zip(core, halos, shape, strict=True)
        )
        blocks.append(Block(index, core, outer))
    return blocks


def slab_grid(shape: Sequence[int], depth: int, halo: int = 0) -> list[Block]:
    """Cut an array into slabs of `depth` along its first axis, with a halo of `halo` slices."""
    rest = tuple(shape[1:])
    return block_grid(shape, (depth, *rest), (halo, *(0 for _ in rest)))


def map_blocks(
    function: Callable[..., R],
    items: Sequence[Any],
    *arguments: Any,
    executor: Executor | None = None,
    ahead: int = 4,
) -> Iterator[tuple[Any, R]]:
    """Call ``function(item, *arguments)`` for every item and yield (item, result) in the order of the items.

    At most `ahead` items are submitted and not yet taken, so that memory stays bounded.
    Without an executor the items run one after another in the calling thread.
    """
    if executor is None:
        for item in items:
            yield item, function(item, *arguments)
        return
    todo = iter(items)
    pending: dict[int, tuple[Any, Future[R]]] = {}
    submitted = taken = 0
    try:
        while taken < len(items):
            while len(pending) < ahead and (item := next(todo, None)) is not None:
                pending[submitted] = item, executor.submit(function, item, *arguments)
                submitted += 1
            item, future = pending[taken]
            wait([future], return_when=FIRST_COMPLETED)
            yield item, future.result()
            del pending[taken]
            taken += 1
    finally:
        for _, future in pending.values():
            future.cancel()


class BlockSink(Protocol):
    """The destination of a core function's blocks; a store's writer keeps a ledger of them."""

    def pending(self, blocks: Sequence[Block]) -> list[Block]:
        """Return those of the blocks that are not yet written."""

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Write the block's core."""


class ReadableSink(BlockSink, Protocol):
    """A block sink whose written blocks can be read back."""

    @property
    def array(self) -> ArrayLike:
        """Array that holds the blocks written so far."""


class MemorySink:
    """Block sink on a NumPy array, for use without a store."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self._done: set[str] = set()

    def pending(self, blocks: Sequence[Block]) -> list[Block]:
        """Return those of the blocks that are not yet written."""
        return [block for block in blocks if block.key not in self._done]

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Write the block's core."""
        self.array[block.core] = values
        self._done.add(block.key)
