"""Statistics of labels: bounding boxes, voxel counts, moments, faces and content hashes, in one pass over a volume."""

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, block_grid
from spherovem_core.known_blocks import KnownResults, RegionDigests, digest_of, map_known_blocks

BOX_COLUMNS = ("bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1")
"""Columns of a table that hold bounding boxes in voxels, ends exclusive."""

CENTROID_COLUMNS = ("centroid_z_um", "centroid_y_um", "centroid_x_um")
"""Columns of a table that hold centroids in µm."""

# Columns of the compiled kernel's table, one row per label; HIGH is inclusive there.
LOW, HIGH, COUNT, FIRST, SECOND, FACES, CUTS, WIDTH = 0, 3, 6, 7, 10, 16, 19, 22
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))

# Label arrays are stored in cubes of up to 128 voxels per side; a block reads whole ones.
BLOCK_EDGE = 256

# Constants of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), and two seeds.
STEP, FIRST_FACTOR, SECOND_FACTOR = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
SEEDS = (np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344))


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
    content : (N, 2) ndarray of uint64
        Hash of the voxels' coordinates in 128 bits, the same for the same voxels whatever their label, the other labels and the
        shape of the volume. Two sets of voxels have one hash with a probability of 2⁻¹²⁸.
    """

    def __init__(
        self,
        labels: NDArray[np.uint32],
        boxes: NDArray[np.int64],
        sums: NDArray[np.float64],
        content: NDArray[np.uint64],
    ) -> None:
        self.labels = labels
        self.content = content
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

    @property
    def hashes(self) -> list[str]:
        """Content hashes of the labels as text, 32 hexadecimal digits each."""
        return [f"{high:016x}{low:016x}" for high, low in self.content.tolist()]

    def region(self, row: int) -> Region:
        """Return the bounding box of the label in a row."""
        return tuple(slice(int(a), int(b)) for a, b in zip(self.low[row], self.high[row], strict=True))


def collect_label_statistics(
    labels: ArrayLike,
    executor: Executor | None = None,
    *,
    known: KnownResults | None = None,
) -> LabelStatistics:
    """Measure every label but 0 in one pass over a volume, block by block.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background.
    executor
        Maps blocks; None scans them in the calling thread. The kernel runs on the CPU (numba).
    known
        Statistics of blocks so far. Blocks in which nothing changed are not read.
    """
    found, tables, parts = [np.empty(0, np.uint32)], [np.empty((0, WIDTH))], [np.empty((0, 2), np.uint64)]
    # A halo of one voxel decides which faces between blocks border another label.
    blocks = block_grid(labels.shape, (BLOCK_EDGE,) * 3, halo=1)
    digests = RegionDigests(labels)
    for columns in map_known_blocks(
        _scan_block, blocks, (labels,), "statistics", lambda block: digests.of(block.outer), known, executor
    ):
        found.append(columns["labels"])
        tables.append(columns["table"])
        parts.append(columns["content"])
    table = np.concatenate(tables)
    unique, row = np.unique(np.concatenate(found), return_inverse=True)
    boxes = table[:, LOW:COUNT].astype(np.int64)
    boxes[:, 3:] += 1
    sums = np.zeros((len(unique), WIDTH - COUNT))
    np.add.at(sums, row, table[:, COUNT:])
    content = np.zeros((len(unique), 2), np.uint64)
    np.add.at(content, row, np.concatenate(parts))
    return LabelStatistics(unique.astype(np.uint32), merge_boxes(boxes, row, len(unique)), sums, content)


def statistics_code() -> str:
    """Digest the code that measures statistics of labels: those of another version are not taken over."""
    own = Path(__file__)
    files = (own, own.with_name("label_pair_statistics.py"), own.with_name("label_runs.py"))
    return digest_of(*(file.read_bytes() for file in files))


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


def _scan_block(block: Block, labels: ArrayLike) -> dict[str, NDArray[Any]]:
    values = np.ascontiguousarray(labels[block.outer], np.uint32)
    place = tuple(
        (outer.start, core.start, core.stop, size)
        for outer, core, size in zip(block.outer, block.core, labels.shape, strict=True)
    )
    keys, rows = np.zeros(1 << 10, np.uint32), np.full(1 << 10, -1, np.int64)
    table, content = np.zeros((1 << 9, WIDTH)), np.zeros((1 << 9, 2), np.uint64)
    used = row = 0
    depth, height, width = (core.stop - core.start for core in block.core)
    while True:
        row, used = _scan_rows(values, row, place, keys, rows, table, content, used)
        if row == depth * height:
            break
        keys, rows = _grow(keys, rows, 2 * max(len(table), width))
        table, content = (_lengthened(values, 2 * max(len(table), width)) for values in (table, content))
    names = np.zeros(used, np.uint32)
    names[rows[rows >= 0]] = keys[rows >= 0]
    return {"labels": names, "table": table[:used], "content": content[:used]}


def _lengthened(table: NDArray[Any], capacity: int) -> NDArray[Any]:
    longer = np.zeros((capacity, *table.shape[1:]), table.dtype)
    longer[: len(table)] = table
    return longer


def _grow(
    keys: NDArray[np.uint32], rows: NDArray[np.int64], capacity: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    size = 1 << int(2 * capacity - 1).bit_length()
    fresh_keys, fresh_rows = np.zeros(size, np.uint32), np.full(size, -1, np.int64)
    taken = rows >= 0
    _rehash(keys[taken], rows[taken], fresh_keys, fresh_rows)
    return fresh_keys, fresh_rows


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
def _mix(value: Any) -> Any:
    """Scramble 64 bits, so that numbers that differ in one bit have nothing in common (finaliser of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * FIRST_FACTOR
    value = (value ^ (value >> np.uint64(27))) * SECOND_FACTOR
    return value ^ (value >> np.uint64(31))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def row_key(z: int, y: int, seed: Any) -> Any:
    """Scramble the place of a row along x."""
    return _mix(_mix(np.uint64(z) * STEP + seed) + np.uint64(y) * STEP)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def hash_run(key: Any, start: int, stop: int) -> Any:
    """Hash the run x = start .. stop - 1 of one row: the hash of its first voxel minus that of the voxel after its last.

    A run that a block cuts in two has the same sum. The ends of a label's runs determine its voxels.
    """
    return _mix(key + np.uint64(start) * STEP) - _mix(key + np.uint64(stop) * STEP)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scan_rows(
    values: Any, row: int, place: Any, keys: Any, rows: Any, table: Any, content: Any, used: int
) -> Any:
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
        first_key, second_key = row_key(z, y, SEEDS[0]), row_key(z, y, SEEDS[1])
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
            content[rows[slot], 0] += hash_run(first_key, x_first + start, x_first + stop)
            content[rows[slot], 1] += hash_run(second_key, x_first + start, x_first + stop)
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
