"""Connected components of the candidates, slice by slice: a slice is joined to the one above by its runs; numba on the CPU.

A volume has the same components whatever the blocks its candidates were found in, and no more than two slices are in memory.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.label_statistics import merge_boxes
from spherovem_core.nanoparticles.seed_reach import SEED

FIRST, VOXELS, SEEDS = range(3)
# So many voxels that are no candidates are skipped at once.
_SKIPPED = 64


@dataclass(frozen=True)
class Components:
    """First voxel, size and bounding box of each component.

    Attributes
    ----------
    sums : (N, 3) ndarray of int64
        Position of the first voxel in C order, number of voxels, number of seeds.
    boxes : (N, 6) ndarray of int64
        z0, y0, x0, z1, y1, x1 in the volume, half-open.
    """

    sums: NDArray[np.int64]
    boxes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sums)


class ComponentFinder:
    """Finder of the components of a volume, given one slice after the other.

    Voxels that share a face, an edge or a corner belong together.

    Parameters
    ----------
    shape
        Shape of the volume.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._width, self._height = shape[2], shape[1]
        self._z = self._count = 0
        self._parents = np.empty(1024, np.int64)
        self._sums, self._boxes = np.empty((1024, 3), np.int64), np.empty((1024, 6), np.int64)
        self._rows, self._runs = np.zeros(self._height + 1, np.int64), np.empty((0, 3), np.int64)

    def add(self, plane: NDArray[np.uint8]) -> None:
        """Add the next slice: 0 is no candidate, `SEED` marks the seeds among them."""
        rows = np.zeros(self._height + 1, np.int64)
        np.cumsum(_count_runs(plane), out=rows[1:])
        runs = np.empty((int(rows[-1]), 3), np.int64)
        _list_runs(plane, rows, runs)
        self._grow(self._count + len(runs))
        tables = self._parents, self._sums, self._boxes
        self._count = _join_runs(
            plane, self._z, rows, runs, self._rows, self._runs, self._height, self._count, *tables
        )
        self._rows, self._runs, self._z = rows, runs, self._z + 1

    def _grow(self, count: int) -> None:
        if count > len(self._parents):
            more = max(count, 2 * len(self._parents)) - len(self._parents)
            self._parents = np.concatenate([self._parents, np.empty(more, np.int64)])
            self._sums = np.concatenate([self._sums, np.empty((more, 3), np.int64)])
            self._boxes = np.concatenate([self._boxes, np.empty((more, 6), np.int64)])

    def components(self) -> Components:
        """Return the components of the slices added, in the order of their first voxels."""
        count = self._count
        _, group = np.unique(_roots(self._parents[:count]), return_inverse=True)
        number = int(group.max()) + 1 if count else 0
        sums = np.zeros((number, 3), np.int64)
        np.add.at(sums, group, self._sums[:count])
        sums[:, FIRST] = np.iinfo(np.int64).max
        np.minimum.at(sums[:, FIRST], group, self._sums[:count, FIRST])
        boxes = merge_boxes(self._boxes[:count], group, number)
        order = np.argsort(sums[:, FIRST])
        return Components(sums[order], boxes[order])


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _any(row: Any) -> bool:
    some = np.uint8(0)
    for x in range(len(row)):
        some |= row[x]
    return bool(some != 0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_runs(plane: Any) -> Any:
    """Count the runs of candidates in each row."""
    counts = np.zeros(plane.shape[0], np.int64)
    for y in range(plane.shape[0]):
        inside = False
        for start in range(0, plane.shape[1], _SKIPPED):
            row = plane[y, start : start + _SKIPPED]
            if not _any(row):
                inside = False
                continue
            for x in range(len(row)):
                counts[y] += row[x] != 0 and not inside
                inside = row[x] != 0
    return counts


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _list_runs(plane: Any, rows: Any, runs: Any) -> None:
    """Write first and last column, half-open, of the runs."""
    for y in range(plane.shape[0]):
        n, x = rows[y], 0
        while n < rows[y + 1]:
            if plane[y, x] == 0:
                x += 1
                continue
            runs[n, 0] = x
            while x < plane.shape[1] and plane[y, x] != 0:
                x += 1
            runs[n, 1] = x
            n += 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _root(parents: Any, n: int) -> int:
    while parents[n] != n:
        parents[n] = parents[parents[n]]
        n = parents[n]
    return n


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _roots(parents: Any) -> Any:
    out = np.empty(len(parents), np.int64)
    for n in range(len(parents)):
        out[n] = _root(parents, n)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _touch(runs: Any, n: int, others: Any, at: int, end: int, parents: Any) -> int:
    """Join run `n` to those of another row, from `at` on, that it touches; returns the first that may touch the next run."""
    first, last = runs[n, 0] - 1, runs[n, 1] + 1
    while at < end and others[at, 1] <= first:
        at += 1
    m = at
    while m < end and others[m, 0] < last:
        other = _root(parents, others[m, 2])
        if runs[n, 2] < 0:
            runs[n, 2] = other
        else:
            own = _root(parents, runs[n, 2])
            parents[max(own, other)] = min(own, other)
            runs[n, 2] = min(own, other)
        m += 1
    return at


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _join_runs(
    plane: Any,
    z: int,
    rows: Any,
    runs: Any,
    upper_rows: Any,
    upper: Any,
    height: int,
    count: int,
    parents: Any,
    sums: Any,
    boxes: Any,
) -> int:
    """Join the runs of a slice to those before them, write their components, and add them to the measures."""
    at = np.empty(4, np.int64)
    for y in range(height):
        for m in range(3):
            at[m] = upper_rows[min(max(y - 1 + m, 0), height)]
        at[3] = rows[max(y - 1, 0)]
        for n in range(rows[y], rows[y + 1]):
            runs[n, 2] = -1
            for m in range(3):
                if 0 <= y - 1 + m < height:
                    at[m] = _touch(runs, n, upper, at[m], upper_rows[y + m], parents)
            if y > 0:
                at[3] = _touch(runs, n, runs, at[3], rows[y], parents)
            if runs[n, 2] < 0:
                runs[n, 2] = count
                parents[count] = count
                sums[count, 0] = (z * height + y) * plane.shape[1] + runs[n, 0]
                sums[count, 1], sums[count, 2] = 0, 0
                box = boxes[count]
                box[0], box[1], box[2], box[3], box[4], box[5] = z, y, runs[n, 0], z + 1, y + 1, runs[n, 1]
                count += 1
            own = runs[n, 2]
            sums[own, 1] += runs[n, 1] - runs[n, 0]
            for x in range(runs[n, 0], runs[n, 1]):
                sums[own, 2] += plane[y, x] == SEED
            box = boxes[own]
            box[1], box[2] = min(box[1], y), min(box[2], runs[n, 0])
            box[3], box[4], box[5] = z + 1, max(box[4], y + 1), max(box[5], runs[n, 1])
    return count


def seeds_of(candidates: NDArray[np.uint8], first: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Mark the seeds of the component that holds a voxel.

    Parameters
    ----------
    candidates : (Z, Y, X) ndarray of uint8
        Candidates in the bounding box of the component, or a larger one, as `ComponentFinder.add` takes them.
    first
        A voxel of the component.
    """
    out = np.zeros(candidates.shape, np.bool_)
    _flood(candidates.copy(), first[0], first[1], first[2], out)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _flood(left: Any, z: int, y: int, x: int, out: Any) -> None:
    """Mark the seeds that join a voxel; the voxels of the component become 0."""
    depth, height, width = left.shape
    room = 64
    todo = np.empty((room, 3), np.int32)
    todo[0, 0], todo[0, 1], todo[0, 2] = z, y, x
    out[z, y, x] = left[z, y, x] == SEED
    left[z, y, x] = 0
    count = 1
    while count:
        count -= 1
        z, y, x = todo[count, 0], todo[count, 1], todo[count, 2]
        if count + 27 > room:
            wider = np.empty((2 * room, 3), np.int32)
            wider[:room] = todo
            todo, room = wider, 2 * room
        for k in range(max(0, z - 1), min(depth, z + 2)):
            for j in range(max(0, y - 1), min(height, y + 2)):
                for i in range(max(0, x - 1), min(width, x + 2)):
                    if left[k, j, i] == 0:
                        continue
                    out[k, j, i] = left[k, j, i] == SEED
                    left[k, j, i] = 0
                    todo[count, 0], todo[count, 1], todo[count, 2] = k, j, i
                    count += 1
