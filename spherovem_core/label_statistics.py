"""Statistics of labels: bounding boxes, voxel counts, moments and faces, in one pass over a volume."""

from concurrent.futures import Executor
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, block_grid, map_blocks

BOX_COLUMNS = ("bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1")
"""Columns of a table that hold bounding boxes in voxels, ends exclusive."""

CENTROID_COLUMNS = ("centroid_z_um", "centroid_y_um", "centroid_x_um")
"""Columns of a table that hold centroids in µm."""

# Columns of the compiled kernel's table, one row per label; HIGH is inclusive there.
LOW, HIGH, COUNT, FIRST, SECOND, FACES, CUTS, WIDTH = 0, 3, 6, 7, 10, 16, 19, 22
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))

# Label arrays are stored in cubes of up to 128 voxels per side; a block reads whole ones.
BLOCK_EDGE = 256


class LabelStatistics:
    """Statistics of the labels of a volume, one row per label in rising order.

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

    def __init__(
        self, labels: NDArray[np.uint32], boxes: NDArray[np.int64], sums: NDArray[np.float64]
    ) -> None:
        self.labels = labels
        self.low, self.high = boxes[:, :3], boxes[:, 3:]
        self.voxel_count = sums[:, 0].astype(np.int64)
        first, second, faces, cuts = (column - COUNT for column in (FIRST, SECOND, FACES, CUTS))
        self.centroid = sums[:, first : first + 3] / sums[:, :1]
        moments = sums[:, second : second + 6] / sums[:, :1]
        self.covariance = np.empty((len(labels), 3, 3))
        for column, (a, b) in enumerate(PAIRS):
            value = moments[:, column] - self.centroid[:, a] * self.centroid[:, b]
            self.covariance[:, a, b] = self.covariance[:, b, a] = value
        self.faces = sums[:, faces : faces + 3]
        self.cuts = sums[:, cuts : cuts + 3]

    def __len__(self) -> int:
        return len(self.labels)

    def region(self, row: int) -> Region:
        """Return the bounding box of the label in a row."""
        return tuple(slice(int(a), int(b)) for a, b in zip(self.low[row], self.high[row], strict=True))


def collect_label_statistics(labels: ArrayLike, executor: Executor | None = None) -> LabelStatistics:
    """Measure every label but 0 in one pass over a volume, block by block.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background.
    executor
        Maps blocks; None scans them in the calling thread. The kernel runs on the CPU (numba).
    """
    found, tables = [np.empty(0, np.uint32)], [np.empty((0, WIDTH))]
    # A halo of one voxel decides which faces between blocks border another label.
    blocks = block_grid(labels.shape, (BLOCK_EDGE,) * 3, halo=1)
    for _, (numbers, table) in map_blocks(_scan_block, blocks, labels, executor=executor):
        found.append(numbers)
        tables.append(table)
    table = np.concatenate(tables)
    unique, row = np.unique(np.concatenate(found), return_inverse=True)
    boxes = table[:, LOW:COUNT].astype(np.int64)
    boxes[:, 3:] += 1
    sums = np.zeros((len(unique), WIDTH - COUNT))
    np.add.at(sums, row, table[:, COUNT:])
    return LabelStatistics(unique.astype(np.uint32), merge_boxes(boxes, row, len(unique)), sums)


def merge_boxes(boxes: NDArray[np.int64], groups: NDArray[np.integer[Any]], count: int) -> NDArray[np.int64]:
    """Compute the bounding box of each group of bounding boxes.

    Parameters
    ----------
    boxes : (N, 6) ndarray of int64
        Lowest z, y, x and highest, exclusive.
    groups : (N,) ndarray of int
        Group of each box, 0 to `count` - 1.
    count
        Number of groups.

    Returns
    -------
    (count, 6) ndarray of int64
        A group without a box has the largest int64 as lowest and 0 as highest.
    """
    merged = np.zeros((count, 6), np.int64)
    merged[:, :3] = np.iinfo(np.int64).max
    np.minimum.at(merged[:, :3], groups, boxes[:, :3])
    np.maximum.at(merged[:, 3:], groups, boxes[:, 3:])
    return merged


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
    """Find the slot of a key in an open-addressing table, or the free slot where it belongs."""
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

    Along each axis, `place` holds the first voxel of `values` (the block with its halo), the first voxel of the block, the one
    after its last, and the size of the volume. Returns the next row to scan and the number of labels found so far.
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
    """Count the voxels of another label in the two rows beside a run."""
    count = np.int32(0)
    for x in range(start, stop):
        count += np.int32(line[x] != label) + np.int32(other_line[x] != label)
    return count


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_run(entry: Any, z: int, y: int, start: int, stop: int) -> None:
    """Add the voxels x = start .. stop - 1 of one row to bounding box, count and moments."""
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
