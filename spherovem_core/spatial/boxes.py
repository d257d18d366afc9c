"""Bounding box and voxel count of every label, found block by block."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, block_grid, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.spatial.grids import BLOCK_EDGE, SERIAL
from spherovem_core.spatial.runs import find_runs

Found = tuple[NDArray[np.uint32], NDArray[np.int64]]
LOW, HIGH, COUNT, WIDTH = slice(0, 3), slice(3, 6), 6, 7

# Labels between the smallest and the largest of a block: 4 million take 36 MB of look-up.
LOOKUP_LABELS = 1 << 22


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
    mapped = map_blocks(
        _boxes_of_block, blocks, labels, executor=execution.executor, ahead=execution.workers + 2
    )
    found = [result for _, result in mapped]
    names = np.concatenate([np.empty(0, np.uint32), *(names for names, _ in found)])
    tables = np.concatenate([np.empty((0, WIDTH), np.int64), *(table for _, table in found)])
    unique, rows = np.unique(names, return_inverse=True)
    merged = _empty_table(len(unique))
    np.minimum.at(merged[:, LOW], rows, tables[:, LOW])
    np.maximum.at(merged[:, HIGH], rows, tables[:, HIGH])
    np.add.at(merged[:, COUNT], rows, tables[:, COUNT])
    return LabelBoxes(unique, merged[:, LOW], merged[:, HIGH], merged[:, COUNT])


def _boxes_of_block(block: Block, labels: ArrayLike) -> Found:
    values = np.ascontiguousarray(labels[block.core])
    start, length = find_runs(values)
    names = values.ravel()[start].astype(np.uint32, copy=False)
    start, length, names = start[names > 0], length[names > 0], names[names > 0]
    unique, rows = _number(names)
    table = _empty_table(len(unique))
    _add_runs(start, length, rows, values.shape[1], values.shape[2], table)
    origin = [s.start for s in block.core]
    table[:, LOW] += origin
    table[:, HIGH] += origin
    return unique, table


def _empty_table(count: int) -> NDArray[np.int64]:
    table = np.zeros((count, WIDTH), np.int64)
    table[:, LOW] = np.iinfo(np.int64).max
    return table


def _number(names: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Unique labels and the place of each name among them; by a look-up table where the labels lie close enough."""
    smallest = int(names.min(initial=np.iinfo(np.uint32).max))
    span = int(names.max(initial=0)) - smallest + 1
    if not 0 < span <= LOOKUP_LABELS:
        return np.unique(names, return_inverse=True)
    present = np.zeros(span, bool)
    present[names - np.uint32(smallest)] = True
    place = np.cumsum(present) - 1
    unique = (np.flatnonzero(present) + smallest).astype(np.uint32)
    return unique, place[names - np.uint32(smallest)]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_runs(start: Any, length: Any, rows: Any, height: int, width: int, table: Any) -> None:
    for k in range(len(start)):
        entry = table[rows[k]]
        z, y, x = start[k] // (height * width), start[k] // width % height, start[k] % width
        entry[0], entry[3] = min(entry[0], z), max(entry[3], z + 1)
        entry[1], entry[4] = min(entry[1], y), max(entry[4], y + 1)
        entry[2], entry[5] = min(entry[2], x), max(entry[5], x + length[k])
        entry[6] += length[k]
