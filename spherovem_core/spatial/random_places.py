"""Random places for the particles of a cell, each of its own size."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.spatial.random_space import Admission, CellSpace, Floats, OpenSpace, OrderedVoxels

PROPOSALS = 4
"""Proposals that are drawn for each particle at once."""

ROUNDS, MORE_ROUNDS = 10, 30
"""Rounds of proposals, and further ones of eight times as many, after which a pattern is made by moving particles from where
they were measured."""

SWEEPS = 60
"""Rounds of such moves."""

CONTACT_STEP = 0.05
"""Step of the distance between particles, in sums of their radii."""

PLACES_AT_ONCE = 500_000
"""Places that are drawn at once; more are drawn in several passes over the cell."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Particles of one cell.

    Attributes
    ----------
    points_um : (N, 3) ndarray
        Centroids (z, y, x).
    radii_um : (N,) ndarray
        Radii of the balls of the same volume.
    """

    points_um: Floats
    radii_um: Floats

    def __len__(self) -> int:
        return len(self.radii_um)


NO_PARTICLES = Pattern(np.empty((0, 3)), np.empty(0))


@dataclass(frozen=True, eq=False)
class Box:
    """Region in which whole particles can be seen, without a part in the outermost voxels.

    Attributes
    ----------
    low_um, high_um : (3,) ndarray
        Centres of the first and last voxels.
    voxel_um : (3,) ndarray
        Voxel size of the particles.
    """

    low_um: Floats
    high_um: Floats
    voxel_um: Floats

    def holds(self, points: Floats, radii: Floats) -> NDArray[np.bool_]:
        """Return for each ball whether it lies in the box."""
        # A ball of less than two voxels fills the one that holds its centre.
        reach = np.where(radii[:, None] < self.voxel_um, self.voxel_um / 2, radii[:, None])
        return np.asarray(((points - reach >= self.low_um) & (points + reach <= self.high_um)).all(axis=1))


def draw_places(
    space: CellSpace | OpenSpace,
    pattern: Pattern,
    admission: Admission,
    box: Box,
    simulations: int,
    rng: np.random.Generator,
    fixed: Pattern = NO_PARTICLES,
) -> tuple[NDArray[np.float32], int]:
    """Draw independent random places for all particles of a cell, again and again.

    Each place is uniform among those with enough room: a voxel is drawn among those that may hold one, a point in it, and the
    point is kept if its interpolated distances allow it. Of the particles of one simulation the largest is placed first, and a
    place that is not allowed beside those before it is drawn again (random sequential adsorption [1]_). Where that finds no room
    for all, the particles are moved one after another from where they were measured.

    Parameters
    ----------
    fixed
        Further particles of the cell that stay where they are, and leave no room for others.

    Returns
    -------
    (S, N, 3) ndarray of float32
        Places in µm.
    int
        Number of places that are those where the particle was measured, for lack of room elsewhere.

    References
    ----------
    .. [1] B. Widom, "Random sequential addition of hard spheres to a volume", Journal of Chemical Physics 44, 3888-3894 (1966).
    """
    largest = float(pattern.radii_um.max(initial=0.0))
    voxels = space.order(admission, largest)
    needed = _needed_room(voxels, pattern, box)
    # Ties are broken by place, so that the numbers of the particles do not matter.
    order = np.lexsort((*pattern.points_um.T, -pattern.radii_um))
    needed, radii, measured = needed[order], pattern.radii_um[order], pattern.points_um[order]
    places = np.empty((simulations, len(pattern) + len(fixed), 3), np.float32)
    places[:, len(pattern) :] = fixed.points_um
    sizes = np.concatenate([radii, fixed.radii_um])
    forced = 0
    at_once = max(1, PLACES_AT_ONCE // max(1, len(sizes)))
    for start in range(0, simulations, at_once):
        part = places[start : start + at_once]
        forced += _fill(part, voxels, space, box, needed, sizes, measured, admission.contact, rng)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return places[:, back], forced


def points_in(
    space: CellSpace | OpenSpace,
    voxels: OrderedVoxels | OpenSpace,
    counts: NDArray[np.int64],
    chances: Floats,
) -> Floats:
    """Return points (µm), each evenly distributed over the first of the ordered voxels.

    Parameters
    ----------
    counts : (N,) ndarray of int64
        Number of voxels from which each point is drawn.
    chances : (N, 4) ndarray of float64
        Even in [0, 1): the voxel, and the place in it along z, y, x.
    """
    ranks = np.minimum((chances[:, 0] * counts).astype(np.int64), counts - 1)
    return (voxels.pick(ranks) + chances[:, 1:] - 0.5) * space.spacing + space.origin


def _needed_room(voxels: OrderedVoxels | OpenSpace, pattern: Pattern, box: Box) -> Floats:
    """Return the room that each particle needs: its radius, or what it has where it was measured if no voxel has more."""
    radii = pattern.radii_um
    lacking = voxels.counts_from(voxels.levels_of(radii)) == 0
    return np.where(lacking, np.minimum(radii, voxels.room(pattern.points_um)), radii)


def _fill(
    places: NDArray[np.float32],
    voxels: OrderedVoxels | OpenSpace,
    space: CellSpace | OpenSpace,
    box: Box,
    needed: Floats,
    radii: Floats,
    measured: Floats,
    contact: tuple[float, ...],
    rng: np.random.Generator,
) -> int:
    """Fill the first places of each simulation beside the others; return how many are those where the particle was measured."""
    count = len(measured)
    missing = np.ones(places.shape[:2], np.bool_)
    missing[:, count:] = False
    levels = voxels.levels_of(needed)
    counts = voxels.counts_from(levels)

    def propose(which: NDArray[np.int64], proposals: int = PROPOSALS) -> tuple[NDArray[np.float32], Floats]:
        which = np.repeat(which, proposals)
        chances = rng.random((len(which), 5))
        points = points_in(space, voxels, counts[which], chances[:, :4])
        allowed = (voxels.room(points) >= needed[which]) & box.holds(points, radii[which])
        # A place that is not allowed is one to which no chance is small enough.
        chance = np.where(allowed, chances[:, 4], np.inf)
        return points.astype(np.float32).reshape(-1, proposals, 3), chance.reshape(-1, proposals)

    sizes, beside = radii.astype(np.float32), np.array(contact)
    for turn in range(ROUNDS + MORE_ROUNDS):
        rows, columns = np.nonzero(missing)
        if not len(rows):
            return 0
        proposed = propose(columns, PROPOSALS if turn < ROUNDS else 8 * PROPOSALS)
        choose(places, missing, rows, columns, *proposed, sizes, beside)
    full = np.flatnonzero(missing.any(axis=1))
    moved = np.zeros((len(full), count), np.bool_)
    patterns = places[full]
    patterns[:, :count] = measured
    rows, columns = np.nonzero(~moved)
    for _ in range(SWEEPS):
        move(patterns, moved, rows, columns, *propose(columns), sizes, beside)
    places[full] = patterns
    return int((~moved).sum())


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def move(
    places: Any, moved: Any, rows: Any, columns: Any, points: Any, chances: Any, radii: Any, contact: Any
) -> None:
    """Move each particle to its first allowed proposal, given all others as they stand now; runs on the CPU.

    The others near a place are found by a grid, as in `choose`.
    """
    count = places.shape[1]
    wide, head, following = _empty_grid(count, radii, contact)
    simulation = -1
    for n in range(len(rows)):
        row, own = rows[n], columns[n]
        if row != simulation:
            simulation = row
            head[:] = -1
            for other in range(count):
                _insert(places[row, other], other, wide, head, following)
        _remove(places[row, own], own, wide, head, following)
        for k in range(points.shape[1]):
            if chances[n, k] < 1 and _is_allowed(
                points[n, k], chances[n, k], own, places[row], radii, contact, wide, head, following
            ):
                places[row, own] = points[n, k]
                moved[row, own] = True
                break
        _insert(places[row, own], own, wide, head, following)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def choose(
    places: Any, missing: Any, rows: Any, columns: Any, points: Any, chances: Any, radii: Any, contact: Any
) -> None:
    """Give each missing particle its first allowed proposal, given those that have their place; runs on the CPU.

    The particles of a simulation that have a place are found by a grid of cubes as wide as the largest distance that matters.
    """
    count = places.shape[1]
    wide, head, following = _empty_grid(count, radii, contact)
    simulation = -1
    for n in range(len(rows)):
        row, own = rows[n], columns[n]
        if row != simulation:
            simulation = row
            head[:] = -1
            for other in range(count):
                if not missing[row, other]:
                    _insert(places[row, other], other, wide, head, following)
        for k in range(points.shape[1]):
            if not chances[n, k] < 1 or not _is_allowed(
                points[n, k], chances[n, k], own, places[row], radii, contact, wide, head, following
            ):
                continue
            places[row, own] = points[n, k]
            missing[row, own] = False
            _insert(points[n, k], own, wide, head, following)
            break


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _empty_grid(count: int, radii: Any, contact: Any) -> Any:
    """Make a grid for some particles: the side of its cubes, the first particle of each bucket, and the one after each."""
    wide = max(2 * len(contact) * CONTACT_STEP * radii.max(), np.float32(1e-6))
    buckets = 1
    while buckets < 2 * count:
        buckets *= 2
    return wide, np.full(buckets, -1, np.int64), np.full(count, -1, np.int64)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _bucket(z: int, y: int, x: int, buckets: int) -> int:
    return (z * 73856093 ^ y * 19349663 ^ x * 83492791) & (buckets - 1)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _bucket_of(point: Any, wide: Any, buckets: int) -> int:
    return _bucket(  # type: ignore[no-any-return]
        int(np.floor(point[0] / wide)),
        int(np.floor(point[1] / wide)),
        int(np.floor(point[2] / wide)),
        buckets,
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _insert(point: Any, own: int, wide: Any, head: Any, following: Any) -> None:
    place = _bucket_of(point, wide, len(head))
    following[own] = head[place]
    head[place] = own


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _remove(point: Any, own: int, wide: Any, head: Any, following: Any) -> None:
    place = _bucket_of(point, wide, len(head))
    if head[place] == own:
        head[place] = following[own]
        return
    before = head[place]
    while following[before] != own:
        before = following[before]
    following[before] = following[own]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_allowed(
    point: Any,
    chance: float,
    own: int,
    places: Any,
    radii: Any,
    contact: Any,
    wide: Any,
    head: Any,
    following: Any,
) -> bool:
    """Return whether a chance is smaller than the probability of a place beside all particles near it."""
    probability = 1.0
    z, y, x = int(np.floor(point[0] / wide)), int(np.floor(point[1] / wide)), int(np.floor(point[2] / wide))
    visited = np.full(27, -1, np.int64)
    number = 0
    for i in range(z - 1, z + 2):
        for j in range(y - 1, y + 2):
            for k in range(x - 1, x + 2):
                place = _bucket(i, j, k, len(head))
                # Two cubes may share one bucket.
                if (visited[:number] == place).any():
                    continue
                visited[number] = place
                number += 1
                other = head[place]
                while other >= 0:
                    probability *= _allowed(point, places[other], radii[own] + radii[other], contact)
                    if probability <= chance:
                        return False
                    other = following[other]
    return True


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _allowed(point: Any, other: Any, radii: Any, contact: Any) -> float:
    """Return the probability of a place beside another particle; `radii` is the sum of both."""
    squared = np.float32(0)
    for axis in range(3):
        squared += (point[axis] - other[axis]) ** 2
    reach = CONTACT_STEP * len(contact) * radii
    if squared >= reach * reach:
        return 1.0
    return float(contact[min(int(np.sqrt(squared) / (CONTACT_STEP * radii)), len(contact) - 1)])
