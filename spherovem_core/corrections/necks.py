"""Bulges of an object, and the necks between them."""

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import cc3d
import edt
import numba
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from spherovem_core.corrections.grid import Index, PointUmTuple
from spherovem_core.corrections.loose_pieces import join_loose_pieces, nearest_place

# One of each pair of opposite neighbours among 26.
HALF_NEIGHBOURS = tuple(
    (dz, dy, dx) for dz in (-1, 0, 1) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dz, dy, dx) > (0, 0, 0)
)


def parts_of_seeds(
    mask: NDArray[np.bool_], spacing: PointUmTuple, seeds: Sequence[Index]
) -> NDArray[np.uint16]:
    """Give each bulge of an object to a seed.

    The distance to the surface has one basin for each bulge. Bulges are joined where the passage between them is widest relative
    to the smaller of the two, until each belongs to a seed; two seeds are never joined. So the cut goes through the narrowest
    neck between the seeds, wherever in its bulge a seed lies. A bulge that holds several seeds is cut midway between them.

    Parameters
    ----------
    mask : (Z, Y, X) ndarray of bool
        The object; the border of the array is no surface.
    spacing
        Voxel size z, y, x.
    seeds
        Different voxels of the object.

    Returns
    -------
    (Z, Y, X) ndarray of uint16
        Number of the seed from 1, 0 outside the object. Each part is connected (26 neighbours) as far as the object is; a
        separate piece of the object goes to the nearest seed.
    """
    depth = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing, black_border=False, parallel=1)
    # Without any surface in the array the distance is infinite everywhere.
    depth = np.where(np.isfinite(depth), depth, np.float32(1))
    bulges = watershed(-depth, mask=mask).astype(np.int64)
    places, sides = np.array(seeds, np.int64), np.array(spacing)
    seed_of = _one_seed_a_bulge(bulges, places, sides)
    owner = _join_bulges(bulges, depth, seed_of)
    parts: NDArray[np.uint16] = owner[bulges]
    _place_separate_pieces(mask, parts, places, sides)
    join_loose_pieces(parts, places)
    return parts


def _one_seed_a_bulge(
    bulges: NDArray[np.int64], places: NDArray[np.int64], spacing: NDArray[np.float64]
) -> dict[int, int]:
    """Cut bulges that hold several seeds midway between these, in place; return the seed, from 1, of each bulge with one."""
    holders: dict[int, list[int]] = {}
    for number, bulge in enumerate(bulges[tuple(places.T)].tolist()):
        holders.setdefault(bulge, []).append(number)
    seed_of: dict[int, int] = {}
    free = int(bulges.max()) + 1
    for bulge, numbers in holders.items():
        seed_of[bulge] = numbers[0] + 1
        if len(numbers) == 1:
            continue
        voxels = np.argwhere(bulges == bulge)
        nearest, _ = nearest_place(voxels, places[numbers], spacing)
        for index, number in enumerate(numbers[1:], start=1):
            bulges[tuple(voxels[nearest == index].T)] = free
            seed_of[free] = number + 1
            free += 1
    return seed_of


def _place_separate_pieces(
    mask: NDArray[np.bool_],
    parts: NDArray[np.uint16],
    places: NDArray[np.int64],
    spacing: NDArray[np.float64],
) -> None:
    """Give the pieces of an object that hold no seed to the nearest seed, in place."""
    separate = mask & (parts == 0)
    if not separate.any():
        return
    pieces, count = cc3d.connected_components(separate, connectivity=26, return_N=True)
    voxels = np.argwhere(separate)
    piece = pieces[tuple(voxels.T)]
    gaps = np.full((count + 1, len(places)), np.inf)
    for seed in range(len(places)):
        _, squared = nearest_place(voxels, places[seed : seed + 1], spacing)
        np.minimum.at(gaps[:, seed], piece, squared)
    parts[tuple(voxels.T)] = gaps.argmin(axis=1)[piece] + 1


def _passages(
    bulges: NDArray[np.integer[Any]], depth: NDArray[np.float32]
) -> Iterator[tuple[int, int, float]]:
    """Yield touching bulges, the lower number first, and the depth of the deepest passage between them."""
    deepest = _meet(np.ascontiguousarray(bulges, np.int32), depth)
    order = np.argsort(deepest[0])
    count = np.int64(1) << 32
    first, second = np.divmod(deepest[0][order], count)
    yield from zip(first.tolist(), second.tolist(), deepest[1][order].tolist(), strict=True)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _meet(bulges: Any, depth: Any) -> Any:
    """Find pairs of bulges that touch, as lower number · 2³² + higher one, and the depth of the deepest passage of each."""
    deepest = {np.int64(0): np.float32(0)}
    sides = bulges.shape
    for z in range(sides[0]):
        for y in range(sides[1]):
            for x in range(sides[2]):
                one = bulges[z, y, x]
                if one == 0:
                    continue
                for dz, dy, dx in HALF_NEIGHBOURS:
                    k, j, i = z + dz, y + dy, x + dx
                    if not (k < sides[0] and 0 <= j < sides[1] and 0 <= i < sides[2]):
                        continue
                    other = bulges[k, j, i]
                    if other == 0 or other == one:
                        continue
                    pair = (np.int64(min(one, other)) << 32) + max(one, other)
                    passage = min(depth[z, y, x], depth[k, j, i])
                    if pair not in deepest or deepest[pair] < passage:
                        deepest[pair] = passage
    pairs, passages = np.empty(len(deepest), np.int64), np.empty(len(deepest), np.float32)
    for n, (pair, passage) in enumerate(deepest.items()):
        pairs[n], passages[n] = pair, passage
    # The first one was there to tell the type.
    return pairs[1:], passages[1:]


def _join_bulges(
    bulges: NDArray[np.int64], depth: NDArray[np.float32], seed_of: dict[int, int]
) -> NDArray[np.uint16]:
    """Join bulges over the relatively widest passages first, never two seeds; return the seed of each bulge, 0 for none."""
    count = int(bulges.max()) + 1
    peak = np.zeros(count)
    inside = bulges > 0
    np.maximum.at(peak, bulges[inside], depth[inside])
    passages: list[dict[int, float]] = [{} for _ in range(count)]
    for first, second, passage in _passages(bulges, depth):
        passages[first][second] = passages[second][first] = passage
    seed = np.zeros(count, np.uint16)
    for bulge, number in seed_of.items():
        seed[bulge] = number
    parent = list(range(count))

    def strength(a: int, b: int) -> float:
        return float(passages[a][b] / min(peak[a], peak[b]))

    queue = [(-strength(a, b), a, b) for a in range(count) for b in passages[a] if a < b]
    heapq.heapify(queue)
    while queue:
        negative, a, b = heapq.heappop(queue)
        # An entry is out of date when one of the two was joined to another, or has become larger.
        if parent[a] != a or parent[b] != b or -negative != strength(a, b) or (seed[a] and seed[b]):
            continue
        if len(passages[a]) < len(passages[b]):
            a, b = b, a
        parent[b] = a
        grown = peak[b] > peak[a]
        peak[a] = max(peak[a], peak[b])
        seed[a] = max(seed[a], seed[b])
        del passages[a][b]
        for other, passage in passages[b].items():
            if other != a:
                widest = max(passage, passages[a].get(other, 0.0))
                passages[a][other] = passages[other][a] = widest
                del passages[other][b]
        for other in passages[a] if grown else passages[a].keys() & passages[b].keys():
            heapq.heappush(queue, (-strength(a, other), min(a, other), max(a, other)))
    return seed[[_root(parent, bulge) for bulge in range(count)]]


def _root(parent: list[int], bulge: int) -> int:
    while parent[bulge] != bulge:
        bulge = parent[bulge]
    return bulge
