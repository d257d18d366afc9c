"""Space in one cell in which particles may lie, and how much room there is around each of its places."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.spatial.grids import Placement
from spherovem_core.spatial.reach_distance import distance_within

SLAB_VOXELS = 1 << 23
"""Voxels of a cell's box that are read at once; larger boxes are read in slabs along z."""

LEVELS = 32
"""Steps of room by which the voxels of a cell are ordered."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Admission:
    """Rule for the places of a particle of radius r.

    Attributes
    ----------
    in_nuclei
        True if the nucleus belongs to the space.
    from_nucleus, from_surface
        The centroid is at least this times r away from the nucleus and from the surface of the cell; 1 keeps the whole
        particle in the space, 0 its centroid.
    contact
        Probability that a place is allowed beside another particle of the cell, by their distance in sums of their radii, in
        steps of 0.05; 1 beyond. Zeros up to 1 forbid any overlap.
    """

    in_nuclei: bool = False
    from_nucleus: float = 1.0
    from_surface: float = 1.0
    contact: tuple[float, ...] = (0.0,) * 20


@dataclass(frozen=True, eq=False)
class Slab:
    """Piece of the box of a cell.

    Attributes
    ----------
    start : (3,) ndarray of int64
        First voxel of the arrays.
    core
        Slices along z that count for this slab.
    space : (Z, Y, X) ndarray of bool
        Voxels in the space.
    to_nucleus, to_surface : (Z, Y, X) ndarray of float32
        Distance in µm to the nucleus of the cell (NaN outside the cell, or with no nucleus), and to the nearest voxel outside
        the cell, not followed beyond the reach.
    """

    start: NDArray[np.int64]
    core: slice
    space: NDArray[np.bool_]
    to_nucleus: NDArray[np.float32]
    to_surface: NDArray[np.float32]


class CellSpace:
    """Space of one cell, read in slabs. A cell that fits into one slab is read once.

    Parameters
    ----------
    label, region
        The cell and its bounding box.
    cells, distance
        Labels, and the distance to the nucleus in µm.
    placement
        Voxel size and origin of both.
    in_nuclei
        True if the nucleus belongs to the space.
    reach_um
        Distance up to which the room around a place is measured.
    """

    def __init__(
        self,
        label: int,
        region: Region,
        cells: ArrayLike,
        distance: ArrayLike,
        placement: Placement,
        in_nuclei: bool,
        reach_um: float,
    ) -> None:
        self.spacing = np.array(placement.spacing_nm) / NM_PER_UM
        self.origin = np.array(placement.origin_nm) / NM_PER_UM
        self.reach = np.float32(reach_um)
        self._label, self._region, self._in_nuclei = label, region, in_nuclei
        self._cells, self._distance = cells, distance
        area = np.prod([s.stop - s.start + 2 for s in region[1:]])
        halo = int(np.ceil(reach_um / self.spacing[0])) + 1
        depth = max(8, int(SLAB_VOXELS // area) - 2 * halo)
        stops = range(region[0].start, region[0].stop, depth)
        self._cores = [slice(z, min(z + depth, region[0].stop)) for z in stops]
        self._halo = halo
        self._only: Slab | None = None

    def slabs(self) -> Iterator[Slab]:
        """Yield the slabs along z."""
        if len(self._cores) > 1:
            yield from map(self._read, self._cores)
            return
        if self._only is None:
            self._only = self._read(self._cores[0])
        yield self._only

    def _read(self, core: slice) -> Slab:
        shape = self._cells.shape
        # One voxel around the box holds the surface; beyond the volume there is none.
        own_low, own_high = max(0, self._region[0].start - 1), min(shape[0], self._region[0].stop + 1)
        outer = (
            slice(max(own_low, core.start - self._halo), min(own_high, core.stop + self._halo)),
            *(
                slice(max(0, s.start - 1), min(n, s.stop + 1))
                for s, n in zip(self._region[1:], shape[1:], strict=True)
            ),
        )
        own = np.asarray(self._cells[outer]) == self._label
        to_nucleus = np.where(own, np.asarray(self._distance[outer], np.float32), np.float32(np.nan))
        to_surface = distance_within(np.ascontiguousarray(own), self.spacing, self.reach)
        space = own if self._in_nuclei else own & (to_nucleus != 0)
        start = np.array([s.start for s in outer])
        inner = slice(core.start - outer[0].start, core.stop - outer[0].start)
        return Slab(start, inner, space, to_nucleus, to_surface)

    def order(self, admission: Admission, largest_um: float) -> "OrderedVoxels":
        """Order the voxels by the room for particles of up to this radius."""
        return OrderedVoxels(self, admission, largest_um)

    def measure(self, points: Floats) -> tuple[Floats, Floats]:
        """Interpolate the distances to the nucleus and to the surface at points (µm); infinite without a nucleus."""
        found = np.full((2, len(points)), np.inf)
        for slab in self.slabs():
            index, own = self._of_slab(slab, points)
            found[0, own] = interpolate(slab.to_nucleus, index[own])
            found[1, own] = interpolate(slab.to_surface, index[own])
        return found[0], found[1]

    def _of_slab(self, slab: Slab, points: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the points in voxels of a slab, and which of them lie in its core."""
        index = (points - self.origin) / self.spacing - slab.start
        place = np.rint(index)
        own = ((place >= 0) & (place < slab.space.shape)).all(axis=1)
        return index, own & (place[:, 0] >= slab.core.start) & (place[:, 0] < slab.core.stop)


class OpenSpace:
    """Box without cells: every point in it has room for every particle that the box holds.

    It is one voxel as large as the box.
    """

    def __init__(self, low_um: Floats, high_um: Floats) -> None:
        self.spacing = np.asarray(high_um) - low_um
        self.origin = (np.asarray(high_um) + low_um) / 2
        self.reach = np.float32(np.inf)

    def slabs(self) -> Iterator[Slab]:
        """Yield nothing: no voxel is read."""
        return iter(())

    def order(self, admission: Admission, largest_um: float) -> "OpenSpace":
        """Return the space itself."""
        return self

    def levels_of(self, radii: Floats) -> NDArray[np.int64]:
        """Return level 0 for all."""
        return np.zeros(len(radii), np.int64)

    def counts_from(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return one voxel for all."""
        return np.ones(len(levels), np.int64)

    def pick(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the voxel for all."""
        return np.zeros((len(ranks), 3), np.int64)

    def room(self, points: Floats) -> Floats:
        """Return no limit for all."""
        return np.full(len(points), np.inf)


class OrderedVoxels:
    """The voxels of a space, those with the most room first, so that the places with enough room are the first ones.

    The room of a place is the radius of the largest particle that may lie there.
    """

    def __init__(self, space: CellSpace, admission: Admission, largest_um: float) -> None:
        self._space, self._admission = space, admission
        self._step = max(largest_um, 1e-9) / LEVELS
        self._only: NDArray[np.int32] | None = None
        self._last: NDArray[np.uint8] | None = None
        self._counts = np.array([self._count(slab) for slab in space.slabs()], np.int64)
        """Voxels by slab and level."""
        positive = [each for each in (admission.from_nucleus, admission.from_surface) if each > 0]
        # Room changes by no more than this within a voxel.
        self._slack = float(np.linalg.norm(space.spacing)) / 2 / min(positive) if positive else 0.0

    def levels_of(self, radii: Floats) -> NDArray[np.int64]:
        """Return the level from which on all voxels with places for particles of these radii are found."""
        return np.clip(np.floor((radii - self._slack) / self._step), 0, LEVELS).astype(np.int64)

    def counts_from(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of voxels of these levels or higher."""
        return np.asarray(self._counts.sum(axis=0)[::-1].cumsum()[::-1][levels])

    def pick(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the voxels of these ranks: highest level first, in raster order within a level."""
        found = np.empty((len(ranks), 3), np.int64)
        total = self._counts.sum(axis=0)[::-1]
        ends = total.cumsum()
        level = np.searchsorted(ends, ranks, side="right")
        within = ranks - (ends - total)[level]
        level = LEVELS - level
        before = np.zeros(LEVELS + 1, np.int64)
        for slab, counts in zip(self._space.slabs(), self._counts, strict=True):
            own = (within >= before[level]) & (within < (before + counts)[level])
            if own.any():
                first = np.append(0, counts[::-1].cumsum())[LEVELS - level[own]]
                place = self._order(slab)[first + within[own] - before[level[own]]]
                index = np.stack(np.unravel_index(place, slab.space.shape), axis=1)
                found[own] = index + slab.start
            before += counts
        return found

    def _order(self, slab: Slab) -> NDArray[np.int32]:
        """Return the voxels of a slab's core (indices of the flat arrays), highest level first; kept for a single slab."""
        if self._only is not None:
            return self._only
        single = len(self._counts) == 1
        levels = self._last if single and self._last is not None else self._levels(slab)[0]
        order: NDArray[np.int32] = sort_by_level(levels, slab.core.start * slab.space[0].size)
        if single:
            self._only, self._last = order, None
        return order

    def room(self, points: Floats) -> Floats:
        """Return the room at points (µm)."""
        to_nucleus, to_surface = self._space.measure(points)
        return room_of(to_nucleus, to_surface, self._admission)

    def _levels(self, slab: Slab) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the level of each voxel in the core of a slab, above `LEVELS` outside the space; and the voxels by level."""
        admission = self._admission
        near = 0.0 if admission.in_nuclei else admission.from_nucleus
        arrays = (array[slab.core].reshape(-1) for array in (slab.space, slab.to_nucleus, slab.to_surface))
        divisors = (np.float32(value) for value in (near, admission.from_surface, self._step))
        found: tuple[NDArray[np.uint8], NDArray[np.int64]] = levels_of_room(*arrays, *divisors)
        return found

    def _count(self, slab: Slab) -> NDArray[np.int64]:
        self._last, counts = self._levels(slab)
        return counts


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def levels_of_room(
    space: Any, to_nucleus: Any, to_surface: Any, near: Any, far: Any, step: Any
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Divide the room (`room_of`, with clearances `near` and `far`) of voxels into levels, and count them; runs on the CPU."""
    levels = np.full(len(space), 255, np.uint8)
    counts = np.zeros(LEVELS + 1, np.int64)
    for i in range(len(space)):
        if not space[i]:
            continue
        room = np.float32(np.inf)
        # NaN is no limit: it is not smaller.
        if near > 0 and to_nucleus[i] / near < room:
            room = to_nucleus[i] / near
        if far > 0 and to_surface[i] / far < room:
            room = to_surface[i] / far
        level = np.uint8(min(room / step, np.float32(LEVELS)))
        levels[i] = level
        counts[level] += 1
    return levels, counts


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sort_by_level(levels: Any, first: int) -> NDArray[np.int32]:
    """Return the numbers of the voxels, from `first` on, highest level first, and in order within a level; runs on the CPU."""
    counts = np.zeros(256, np.int64)
    for i in range(len(levels)):
        counts[levels[i]] += 1
    place = np.zeros(256, np.int64)
    total = 0
    for level in range(LEVELS, -1, -1):
        place[level] = total
        total += counts[level]
    order = np.empty(total, np.int32)
    for i in range(len(levels)):
        level = levels[i]
        if level <= LEVELS:
            order[place[level]] = first + i
            place[level] += 1
    return order


def room_of(to_nucleus: NDArray, to_surface: NDArray, admission: Admission) -> NDArray:  # type: ignore[type-arg]
    """Return the radius of the largest particle that may lie at places with these distances (µm); NaN has no limit."""
    room = np.full(to_nucleus.shape, np.inf, to_nucleus.dtype)
    if admission.from_nucleus > 0 and not admission.in_nuclei:
        room = np.fmin(room, to_nucleus / to_nucleus.dtype.type(admission.from_nucleus))
    if admission.from_surface > 0:
        room = np.fmin(room, to_surface / to_surface.dtype.type(admission.from_surface))
    return room


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def interpolate(values: NDArray[np.float32], index: Floats) -> Floats:
    """Interpolate linearly between voxel centres; where a voxel around a point is NaN, the one that holds the point counts.

    Returns infinity at a point whose own voxel is NaN. Runs on the CPU.
    """
    found = np.full(len(index), np.inf)
    depth, height, width = values.shape
    for n in range(len(index)):
        z, y, x = index[n]
        own = values[
            min(max(int(np.rint(z)), 0), depth - 1),
            min(max(int(np.rint(y)), 0), height - 1),
            min(max(int(np.rint(x)), 0), width - 1),
        ]
        if np.isnan(own):
            continue
        a, b, c = int(np.floor(z)), int(np.floor(y)), int(np.floor(x))
        total = 0.0
        for i in range(2):
            for j in range(2):
                for k in range(2):
                    value = values[
                        min(max(a + i, 0), depth - 1),
                        min(max(b + j, 0), height - 1),
                        min(max(c + k, 0), width - 1),
                    ]
                    weight = (
                        (z - a if i else 1 - z + a)
                        * (y - b if j else 1 - y + b)
                        * (x - c if k else 1 - x + c)
                    )
                    total += weight * (own if np.isnan(value) else value)
        found[n] = total
    return found
