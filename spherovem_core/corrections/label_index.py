"""Index of labels: voxels, bounding box and blocks of each, from one pass over a volume."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, block_grid, map_blocks
from spherovem_core.label_runs import find_label_runs
from spherovem_core.store import write_atomically

BlockIndex = tuple[int, int, int]

BLOCK_EDGE = 128
"""Side of a block: that of a file of labels."""


@dataclass(frozen=True)
class LabelledObject:
    """An object of a label volume.

    Attributes
    ----------
    voxels
        Number of voxels.
    low, high
        Bounding box in voxels, `high` exclusive. It may be larger than the object after an edit.
    blocks
        Blocks that may hold voxels of it.
    """

    voxels: int
    low: tuple[int, ...]
    high: tuple[int, ...]
    blocks: frozenset[BlockIndex]

    @property
    def region(self) -> Region:
        """The bounding box."""
        return tuple(map(slice, self.low, self.high))

    def joined(self, other: "LabelledObject") -> "LabelledObject":
        """Return the object of both."""
        return LabelledObject(
            self.voxels + other.voxels,
            tuple(map(min, self.low, other.low)),
            tuple(map(max, self.high, other.high)),
            self.blocks | other.blocks,
        )


@dataclass(frozen=True)
class LabelIndex:
    """Objects of a label volume, one row for each object and block that holds voxels of it, in the order of labels.

    Attributes
    ----------
    labels : (N,) ndarray of uint32
    voxels : (N,) ndarray of int64
    boxes : (N, 6) ndarray of int64
        Lowest z, y, x and highest, exclusive.
    blocks : (N, 3) ndarray of int64
        Place in the grid of blocks.
    """

    labels: NDArray[np.uint32]
    voxels: NDArray[np.int64]
    boxes: NDArray[np.int64]
    blocks: NDArray[np.int64]

    @property
    def largest(self) -> int:
        """Largest label; 0 without objects."""
        return int(self.labels[-1]) if len(self.labels) else 0

    @cached_property
    def _objects(self) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
        """Labels, each once, and the first row of each; one row more at the end."""
        unique, first = np.unique(self.labels, return_index=True)
        return unique, np.append(first, len(self.labels))

    def __iter__(self) -> Iterator[int]:
        return iter(self._objects[0].tolist())

    def __len__(self) -> int:
        return len(self._objects[0])

    def find(self, label: int) -> LabelledObject | None:
        """Return an object by its label."""
        unique, first = self._objects
        # A number of another type would have the whole array converted.
        place = int(np.searchsorted(unique, np.uint32(label)))
        if place == len(unique) or unique[place] != label:
            return None
        rows = slice(int(first[place]), int(first[place + 1]))
        boxes = self.boxes[rows]
        return LabelledObject(
            int(self.voxels[rows].sum()),
            tuple(map(int, boxes[:, :3].min(0))),
            tuple(map(int, boxes[:, 3:].max(0))),
            frozenset((int(z), int(y), int(x)) for z, y, x in self.blocks[rows]),
        )


def index_labels(labels: ArrayLike, executor: Executor | None = None) -> LabelIndex:
    """Index every label but 0 in one pass over a volume, block by block.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
    executor
        Maps blocks. Runs on the CPU.
    """
    blocks = block_grid(labels.shape, (BLOCK_EDGE,) * 3)
    rows = [row for _, row in map_blocks(_index_block, blocks, labels, executor=executor)]
    return _sorted(rows)


def load_index(path: Path, labels: ArrayLike, digest: str, executor: Executor | None = None) -> LabelIndex:
    """Return the index of labels of a digest; it is kept in a file, and made again where that is of another digest."""
    try:
        with np.load(path) as kept:
            if str(kept["digest"]) == digest:
                return LabelIndex(kept["labels"], kept["voxels"], kept["boxes"], kept["blocks"])
    except (OSError, ValueError, KeyError, EOFError):
        pass
    index = index_labels(labels, executor)

    def write(fresh: Path) -> None:
        with fresh.open("wb") as file:
            np.savez(
                file,
                digest=np.array(digest),
                labels=index.labels,
                voxels=index.voxels,
                boxes=index.boxes,
                blocks=index.blocks,
            )

    # A folder that cannot be written can still be read, with a pass over the volume each time.
    with suppress(OSError):
        write_atomically(path, write)
    return index


Rows = tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _index_block(block: Block, labels: ArrayLike) -> Rows:
    return index_array(labels[block.core], block)


def index_array(values: NDArray[Any], block: Block) -> Rows:
    """Index the labels of one block; the rows are those of `LabelIndex`."""
    start, length = find_label_runs(np.asarray(values))
    run = np.ascontiguousarray(values).reshape(-1)[start]
    kept = run != 0
    start, length, run = start[kept], length[kept], run[kept]
    unique, row = np.unique(run, return_inverse=True)
    count = len(unique)
    voxels = np.zeros(count, np.int64)
    np.add.at(voxels, row, length)
    z, y, x = np.unravel_index(start, values.shape)
    boxes = np.zeros((count, 6), np.int64)
    boxes[:, :3] = np.iinfo(np.int64).max
    for axis, (first, last) in enumerate(((z, z), (y, y), (x, x + length - 1))):
        np.minimum.at(boxes[:, axis], row, first)
        np.maximum.at(boxes[:, axis + 3], row, last + 1)
    boxes += np.tile([side.start for side in block.core], 2)
    places = np.broadcast_to(np.array(block.index, np.int64), (count, 3))
    return unique.astype(np.uint32), voxels, boxes, np.array(places)


def _sorted(rows: Iterable[Rows]) -> LabelIndex:
    empty: Rows = (
        np.empty(0, np.uint32),
        np.empty(0, np.int64),
        np.empty((0, 6), np.int64),
        np.empty((0, 3), np.int64),
    )
    labels, voxels, boxes, blocks = (np.concatenate(column) for column in zip(empty, *rows, strict=True))
    order = np.argsort(labels, kind="stable")
    return LabelIndex(labels[order], voxels[order], boxes[order], blocks[order])
