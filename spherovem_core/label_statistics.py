"""One pass over a label volume, block by block: where each label lies and its voxel measures."""

from concurrent.futures import Executor
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, block_grid, map_blocks

# Columns of the compiled kernel's table, one row a label.
LOW, HIGH, COUNT, FIRST, SECOND, FACES, CUTS, WIDTH = 0, 3, 6, 7, 10, 16, 19, 22
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))

# Whole files of labels, which are cubes of up to 128 voxels a side.
BLOCK_EDGE = 256


class LabelStatistics:
    """What one pass over the volume tells of each label, rows in the order of rising labels.

    Attributes
    ----------
    labels : (N,) ndarray of uint32
    low, high : (N, 3) ndarray of int64
        Bounding box in voxels, `high` exclusive.
    voxel_count : (N,) ndarray of int64
    centroid : (N, 3) ndarray of float64
        Mean voxel index.
    covariance : (N, 3, 3) ndarray of float64
        Covariance of the voxel indices.
    faces : (N, 3) ndarray of float64
        Voxel faces across each axis that border another label inside the volume.
    cuts : (N, 3) ndarray of float64
        Voxel faces across each axis that lie on the volume's border.
    """

    def __init__(self, labels: NDArray[np.uint32], table: NDArray[np.float64]) -> None:
        order = np.argsort(labels)
        table = table[order]
        self.labels = labels[order]
        self.low = table[:, LOW : LOW + 3].astype(np.int64)
        self.high = table[:, HIGH : HIGH + 3].astype(np.int64) + 1
        self.voxel_count = table[:, COUNT].astype(np.int64)
        count = table[:, COUNT, None]
        self.centroid = table[:, FIRST : FIRST + 3] / count
        moments = table[:, SECOND : SECOND + 6] / count
        self.covariance = np.empty((len(labels), 3, 3))
        for column, (a, b) in enumerate(PAIRS):
            value = moments[:, column] - self.centroid[:, a] * self.centroid[:, b]
            self.covariance[:, a, b] = self.covariance[:, b, a] = value
        self.faces = table[:, FACES : FACES + 3]
        self.cuts = table[:, CUTS : CUTS + 3]

    def __len__(self) -> int:
        return len(self.labels)

    def region(self, row: int) -> Region:
        """Bounding box of the label in a row."""
        return tuple(slice(int(a), int(b)) for a, b in zip(self.low[row], self.high[row], strict=True))


def collect_label_statistics(labels: ArrayLike, executor: Executor | None = None) -> LabelStatistics:
    """Find bounding box, voxel count, first and second moments and exposed faces of every label but 0, block by block.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background.
    executor
        Maps blocks; None scans them in the calling thread. The kernel runs on the CPU.
    """
    found, tables = [np.empty(0, np.uint32)], [np.empty((0, WIDTH))]
    # A halo of one voxel decides which faces between blocks border another label.
    blocks = block_grid(labels.shape, (BLOCK_EDGE,) * 3, halo=1)
    for _, (numbers, table) in map_blocks(_scan_block, blocks, labels, executor=executor):
        found.append(numbers)
        tables.append(table)
    return _merge(np.concatenate(found), np.concatenate(tables))


def _merge(numbers: NDArray[np.uint32], tables: NDArray[np.float64]) -> LabelStatistics:
    unique, row = np.unique(numbers, return_inverse=True)
    merged = np.zeros((len(unique), WIDTH))
    merged[:, LOW:HIGH] = np.inf
    merged[:, HIGH:COUNT] = -np.inf
    np.minimum.at(merged[:, LOW:HIGH], row, tables[:, LOW:HIGH])
    np.maximum.at(merged[:, HIGH:COUNT], row, tables[:, HIGH:COUNT])
    np.add.at(merged[:, COUNT:], row, tables[:, COUNT:])
    return LabelStatistics(unique.astype(np.uint32), merged)


def _scan_block(block: Block, labels: ArrayLike) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    values = np.ascontiguousarray(labels[block.outer], np.uint32)
    place = tuple(
        (outer.start, core.start, core.stop, size)
        for outer, core, size in zip(block.outer, block.core, labels.shape, strict=True)
    )
    keys, rows = np.zeros(1 << 10, np.uint32), np.full(1 << 10, -1, np.int64)
    table = np.zeros((1 << 9, WIDTH))
    used = row = 0
    depth, height, width = (core.stop - core.start for core in block.core)
    while True:
        row, used = _scan_rows(values, row, place, keys, rows, table, used)
        if row == depth * height:
            break
        keys, rows, table = _grow(keys, rows, table, used, width)
    names = np.zeros(used, np.uint32)
    names[rows[rows >= 0]] = keys[rows >= 0]
    return names, table[:used]


def _grow(
    keys: NDArray[np.uint32], rows: NDArray[np.int64], table: NDArray[np.float64], used: int, need: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.float64]]:
    capacity = 2 * max(len(table), need)
    wider = np.zeros((capacity, WIDTH))
    wider[:used] = table[:used]
    size = 1 << int(2 * capacity - 1).bit_length()
    fresh_keys, fresh_rows = np.zeros(size, np.uint32), np.full(size, -1, np.int64)
    taken = rows >= 0
    _rehash(keys[taken], rows[taken], fresh_keys, fresh_rows)
    return fresh_keys, fresh_rows, wider


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find(key: Any, keys: Any, rows: Any) -> Any:
    """Slot of a key in an open-addressing table, or the free slot where it belongs."""
    mask = len(keys) - 1
    slot = (np.int64(key) * 2654435761 >> 7) & mask
    while rows[slot] >= 0 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rehash(old_keys: Any, old_rows: Any, keys: Any, rows: Any) -> None:
    for i in range(len(old_keys)):
        slot = _find(old_keys[i], keys, rows)
        keys[slot] = old_keys[i]
        rows[slot] = old_rows[i]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scan_rows(values: Any, row: int, place: Any, keys: Any, rows: Any, table: Any, used: int) -> Any:
    """Scan the block's rows from number `row` on; stop before one that might overflow the table.

    `place` says along each axis where `values`, the block with its halo, and the block itself begin, where that ends, and
    how large the volume is. Returns the next row to scan and the number of labels known by then.
    """
    (
        (z_first, z_start, z_stop, depth),
        (y_first, y_start, y_stop, height),
        (x_first, x_start, x_stop, width),
    ) = place
    rows_deep, left, right = y_stop - y_start, x_start - x_first, x_stop - x_first
    while row < (z_stop - z_start) * rows_deep:
        if used + right - left > len(table):
            break
        z, y = z_start + row // rows_deep, y_start + row % rows_deep
        k, j = z - z_first, y - y_first
        line = values[k, j]
        before, after = values[max(k - 1, 0), j], values[min(k + 1, values.shape[0] - 1), j]
        above, below = values[k, max(j - 1, 0)], values[k, min(j + 1, values.shape[1] - 1)]
        stop = left
        while stop < right:
            start = stop
            label = line[start]
            while stop < right and line[stop] == label:
                stop += 1
            if label == 0:
                continue
            slot = _find(label, keys, rows)
            if rows[slot] < 0:
                keys[slot], rows[slot] = label, used
                table[used, LOW:HIGH], table[used, HIGH:COUNT] = np.inf, -np.inf
                used += 1
            entry = table[rows[slot]]
            _add_run(entry, z, y, x_first + start, x_first + stop)
            length = stop - start
            entry[FACES] += _count_others(before, after, label, start, stop)
            entry[FACES + 1] += _count_others(above, below, label, start, stop)
            if start > 0:
                entry[FACES + 2] += line[start - 1] != label
            if stop < len(line):
                entry[FACES + 2] += line[stop] != label
            entry[CUTS] += length * ((z == 0) + (z == depth - 1))
            entry[CUTS + 1] += length * ((y == 0) + (y == height - 1))
            entry[CUTS + 2] += (x_first + start == 0) + (x_first + stop == width)
        row += 1
    return row, used


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_others(line: Any, other_line: Any, label: Any, start: int, stop: int) -> Any:
    """Voxels of another label in two rows beside a run."""
    count = np.int32(0)
    for x in range(start, stop):
        count += np.int32(line[x] != label) + np.int32(other_line[x] != label)
    return count


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_run(entry: Any, z: int, y: int, start: int, stop: int) -> None:
    """Add the voxels x = start .. stop - 1 of one row to bounds, count and moments."""
    n = np.float64(stop - start)
    x = n * (start + stop - 1) / 2
    below, above = start - 1.0, stop - 1.0
    xx = (above * (above + 1) * (2 * above + 1) - below * (below + 1) * (2 * below + 1)) / 6
    entry[LOW], entry[HIGH] = min(entry[LOW], z), max(entry[HIGH], z)
    entry[LOW + 1], entry[HIGH + 1] = min(entry[LOW + 1], y), max(entry[HIGH + 1], y)
    entry[LOW + 2], entry[HIGH + 2] = min(entry[LOW + 2], start), max(entry[HIGH + 2], stop - 1)
    entry[COUNT] += n
    entry[FIRST] += n * z
    entry[FIRST + 1] += n * y
    entry[FIRST + 2] += x
    entry[SECOND] += n * z * z
    entry[SECOND + 1] += n * y * y
    entry[SECOND + 2] += xx
    entry[SECOND + 3] += n * z * y
    entry[SECOND + 4] += x * z
    entry[SECOND + 5] += x * y
