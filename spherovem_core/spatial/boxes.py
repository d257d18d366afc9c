"""Bounding box and voxel count of every label, found block by block."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, block_grid, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.spatial.grids import BLOCK_EDGE, SERIAL
from spherovem_core.spatial.runs import find_runs

Found = tuple[NDArray[np.uint32], NDArray[np.int64]]
LOW, HIGH, COUNT = slice(0, 3), slice(3, 6), 6


@dataclass(frozen=True)
class LabelBoxes:
    """Where the labels of a volume lie, rows in the order of rising labels.

    Attributes
    ----------
    labels : (N,) ndarray of uint32
    low, high : (N, 3) ndarray of int64
        Bounding box in voxels, `high` exclusive.
    voxel_count : (N,) ndarray of int64
    """

    labels: NDArray[np.uint32]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    voxel_count: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def region(self, row: int) -> Region:
        """Bounding box of the label in a row."""
        return tuple(slice(int(a), int(b)) for a, b in zip(self.low[row], self.high[row], strict=True))


def find_boxes(labels: ArrayLike, execution: Execution = SERIAL) -> LabelBoxes:
    """Find bounding box and voxel count of every label but 0, reading a block at a time.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
    execution
        Its executor maps blocks.
    """
    blocks = block_grid(labels.shape, (BLOCK_EDGE,) * 3)
    found = [
        result
        for _, result in map_blocks(
            _boxes_of_block, blocks, labels, executor=execution.executor, ahead=execution.workers + 2
        )
    ]
    numbers = np.concatenate([np.empty(0, np.uint32), *(labels for labels, _ in found)])
    tables = np.concatenate([np.empty((0, 7), np.int64), *(table for _, table in found)])
    numbers, table = _merge(numbers, tables)
    return LabelBoxes(numbers, table[:, LOW], table[:, HIGH], table[:, COUNT])


def _boxes_of_block(block: Block, labels: ArrayLike) -> Found:
    values = np.asarray(labels[block.core])
    start, length = find_runs(values)
    names = values.ravel()[start]
    start, length, names = start[names > 0], length[names > 0], names[names > 0]
    table = np.empty((len(start), 7), np.int64)
    table[:, LOW] = np.stack(np.unravel_index(start, values.shape), axis=1)
    table[:, HIGH] = table[:, LOW] + 1
    table[:, 5] = table[:, 2] + length
    table[:, COUNT] = length
    numbers, merged = _merge(names.astype(np.uint32), table)
    origin = [s.start for s in block.core]
    merged[:, LOW] += origin
    merged[:, HIGH] += origin
    return numbers, merged


def _merge(labels: NDArray[np.uint32], table: NDArray[np.int64]) -> Found:
    if not len(labels):
        return labels, table
    order = np.argsort(labels, kind="stable")
    labels, table = labels[order], table[order]
    first = np.flatnonzero(np.diff(labels, prepend=labels[0]) != 0)
    first = np.concatenate([[0], first])
    merged = np.empty((len(first), 7), np.int64)
    merged[:, LOW] = np.minimum.reduceat(table[:, LOW], first)
    merged[:, HIGH] = np.maximum.reduceat(table[:, HIGH], first)
    merged[:, COUNT] = np.add.reduceat(table[:, COUNT], first)
    return labels[first], merged
