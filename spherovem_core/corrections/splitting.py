"""Cuts of one object: between seed points through its necks, or along a line."""

import heapq
import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import cc3d
import edt
import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.corrections.grid import Index, PointUmTuple

LEVEL_RATIO = 1.1
"""Thickness that differs by less counts as the same: rough surfaces make it vary by a voxel or so, which is no neck."""

LEVEL_WIDTH = 2.0**24
LOWEST = -(2.0**40)
"""Lengths are counted in the smallest voxel side: far below the width, and with 5 decimals beside the lowest level."""

STEPS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)], np.int64)


def split_at_seeds(
    mask: NDArray[np.bool_], spacing: PointUmTuple, seeds: Sequence[Index]
) -> NDArray[np.uint16]:
    """Cut an object between seeds, each of which gets one part.

    Each seed first climbs to the thickest place near it: from ball to ball, each the largest inside the object at the place
    reached so far. From there all parts grow at once, through thick places before thin ones (a watershed of the distance to the
    surface), so that they meet at the necks between them. Places of the same thickness go to the nearest part, by the way inside
    the object. Seeds that climb to one place have no neck between them; what they share is cut half-way between them.

    Parameters
    ----------
    mask : (Z, Y, X) ndarray of bool
        The object, with a margin of one voxel except where the volume ends.
    spacing
        Voxel size z, y, x.
    seeds
        Different voxels of the object.

    Returns
    -------
    (Z, Y, X) ndarray of uint16
        Part of each voxel, 1 for the first seed; 0 outside the object. Pieces of the object that hold no seed go to the part of
        the nearest seed.
    """
    distance = _distance_to_surface(mask, spacing)
    paths = [_climb(distance, spacing, seed) for seed in seeds]
    groups = _joined_paths(paths)
    level = np.zeros(mask.shape, np.int32)
    level[mask] = np.rint(-np.log(distance[mask]) / math.log(LEVEL_RATIO)).astype(np.int32)
    markers = np.zeros(mask.shape, np.uint16)
    for number, group in enumerate(groups, 1):
        for seed in group:
            markers[tuple(np.array(paths[seed]).T)] = number
    grown = _grow(mask, level, markers, spacing)
    parts = np.zeros(mask.shape, np.uint16)
    level[:] = 0
    for number, group in enumerate(groups, 1):
        own = grown == number
        markers[:] = 0
        for seed in group:
            markers[seeds[seed]] = seed + 1
        if len(group) == 1:
            parts[own] = group[0] + 1
        else:
            parts += _grow(own, level, markers, spacing)
    return _with_loose_pieces(mask, parts, spacing, seeds)


def split_along_line(
    mask: NDArray[np.bool_], spacing: PointUmTuple, start: PointUmTuple, end: PointUmTuple
) -> NDArray[np.uint16] | None:
    """Cut an object along the plane through a line, parallel to z.

    The plane may cross the object in several places. The parts are those on both sides of the line as drawn; what the plane
    separates from them elsewhere goes to the part that it touches.

    Parameters
    ----------
    mask : (Z, Y, X) ndarray of bool
        The object.
    spacing
        Voxel size z, y, x.
    start, end
        Ends of the line, from the centre of voxel (0, 0, 0), both at one z.

    Returns
    -------
    (Z, Y, X) ndarray of uint16 or None
        1 and 2 for the parts, 0 outside the object; None if the line does not cross the object.
    """
    _, dy, dx = spacing
    y = np.arange(mask.shape[1])[:, None] * dy
    x = np.arange(mask.shape[2])[None, :] * dx
    along = (end[1] - start[1], end[2] - start[2])
    length = math.hypot(*along)
    across = ((x - start[2]) * along[0] - (y - start[1]) * along[1]) / length
    place = ((y - start[1]) * along[0] + (x - start[2]) * along[1]) / length
    side = across >= 0
    near = (np.abs(across) <= math.hypot(dy, dx)) & (place >= 0) & (place <= length)
    row = math.floor(start[0] / spacing[0] + 0.5)
    if not 0 <= row < len(mask):
        return None
    pieces = [cc3d.connected_components(mask & own, connectivity=26) for own in (side, ~side)]
    mains = []
    for found in pieces:
        beside = found[row][near]
        counts = np.bincount(beside[beside > 0])
        if not counts.size:
            return None
        mains.append(int(counts.argmax()))
    first = int(pieces[0].max())
    joint = np.where(pieces[1] > 0, pieces[1] + first, pieces[0]).astype(np.uint32)
    part_of = _spread(joint, {mains[0]: 1, mains[1] + first: 2})
    for number in range(1, int(joint.max()) + 1):
        part_of.setdefault(number, 1 if number <= first else 2)
    table = np.zeros(int(joint.max()) + 1, np.uint16)
    table[list(part_of)] = list(part_of.values())
    parts: NDArray[np.uint16] = table[joint]
    return parts


def _spread(joint: NDArray[np.uint32], part_of: dict[int, int]) -> dict[int, int]:
    """Give pieces the part of a piece that they touch, beginning with those known."""
    touching: dict[int, list[int]] = {}
    for one, other in sorted(map(tuple, cc3d.contacts(joint, connectivity=26, surface_area=False))):
        touching.setdefault(int(one), []).append(int(other))
        touching.setdefault(int(other), []).append(int(one))
    waiting = sorted(part_of)
    while waiting:
        known = waiting.pop(0)
        for number in sorted(touching.get(known, ())):
            if number not in part_of:
                part_of[number] = part_of[known]
                waiting.append(number)
    return part_of


def _distance_to_surface(mask: NDArray[np.bool_], spacing: PointUmTuple) -> NDArray[np.float32]:
    found: NDArray[np.float32] = edt.edt(
        np.ascontiguousarray(mask), anisotropy=spacing, black_border=False, parallel=1
    )
    # An object that fills the volume has no surface.
    whole = math.dist((0, 0, 0), [n * s for n, s in zip(mask.shape, spacing, strict=True)])
    return np.minimum(found, np.float32(whole))


def _climb(distance: NDArray[np.float32], spacing: PointUmTuple, seed: Index) -> list[Index]:
    """Return the voxels from a seed to the thickest place that it reaches from ball to ball."""
    path, here = [seed], seed
    while True:
        reach = float(distance[here])
        window = [
            slice(max(0, i - int(reach / s)), min(n, i + int(reach / s) + 1))
            for i, s, n in zip(here, spacing, distance.shape, strict=True)
        ]
        axes = [
            ((np.arange(w.start, w.stop) - i) * s) ** 2 for w, i, s in zip(window, here, spacing, strict=True)
        ]
        squared = axes[0][:, None, None] + axes[1][:, None] + axes[2]
        inside = np.where(squared <= reach**2, distance[tuple(window)], 0)
        best = np.unravel_index(int(inside.argmax()), inside.shape)
        top = (
            int(best[0]) + window[0].start,
            int(best[1]) + window[1].start,
            int(best[2]) + window[2].start,
        )
        if distance[top] <= reach:
            return path
        path += _voxels_between(here, top)
        here = top


def _voxels_between(start: Index, end: Index) -> list[Index]:
    """Return the voxels on the way from one to another, without the first."""
    count = max(abs(b - a) for a, b in zip(start, end, strict=True))
    way = np.rint(np.linspace(start, end, count + 1)[1:]).astype(int)
    return [(int(z), int(y), int(x)) for z, y, x in way]


def _joined_paths(paths: Sequence[Sequence[Index]]) -> list[list[int]]:
    """Group the seeds whose paths meet."""
    groups: list[tuple[list[int], set[Index]]] = []
    for seed, path in enumerate(paths):
        own, voxels = [seed], set(path)
        for group in [each for each in groups if not each[1].isdisjoint(voxels)]:
            groups.remove(group)
            own, voxels = group[0] + own, group[1] | voxels
        groups.append((sorted(own), voxels))
    return sorted(seeds for seeds, _ in groups)


def _with_loose_pieces(
    mask: NDArray[np.bool_], parts: NDArray[np.uint16], spacing: PointUmTuple, seeds: Sequence[Index]
) -> NDArray[np.uint16]:
    """Give the pieces of an object that hold no seed to the part of the nearest seed."""
    loose = mask & (parts == 0)
    if not loose.any():
        return parts
    pieces = cc3d.connected_components(loose, connectivity=26)
    for number in range(1, int(pieces.max()) + 1):
        places = np.argwhere(pieces == number) * np.array(spacing)
        gaps = [np.square(places - np.multiply(seed, spacing)).sum(1).min() for seed in seeds]
        parts[pieces == number] = int(np.argmin(gaps)) + 1
    return parts


def _grow(
    mask: NDArray[np.bool_], level: NDArray[np.int32], markers: NDArray[np.uint16], spacing: PointUmTuple
) -> NDArray[np.uint16]:
    """Grow markers in a mask: low levels first, by the way inside the mask among equal levels, then by number and place."""
    lengths = np.sqrt(np.square(STEPS * np.array(spacing)).sum(1)) / min(spacing)
    # A frame of one voxel, so that the kernel needs no bounds.
    frame = tuple(n + 2 for n in mask.shape)
    core = tuple(slice(1, -1) for _ in frame)
    inside, levels, parts = np.zeros(frame, np.bool_), np.zeros(frame, np.int32), np.zeros(frame, np.uint16)
    inside[core], levels[core], parts[core] = mask, level, np.where(mask, markers, 0)
    offsets = STEPS @ np.array([frame[1] * frame[2], frame[2], 1], np.int64)
    _flood(inside.reshape(-1), levels.reshape(-1), parts.reshape(-1), offsets, lengths)
    return np.ascontiguousarray(parts[core])


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _flood(inside: Any, levels: Any, parts: Any, offsets: Any, lengths: Any) -> None:
    # One number orders the queue by level, then by length: lengths stay below a level's width.
    best = np.full(parts.size, np.inf, np.float64)
    done = np.zeros(parts.size, np.bool_)
    queue = [(0.0, np.int64(0))]
    queue.pop()
    for start in range(parts.size):
        if parts[start]:
            best[start] = LOWEST
            heapq.heappush(queue, (LOWEST, (np.int64(parts[start]) << 40) | start))
    while queue:
        key, code = heapq.heappop(queue)
        voxel = code & ((1 << 40) - 1)
        if done[voxel]:
            continue
        done[voxel] = True
        parts[voxel] = code >> 40
        level = np.floor(key / LEVEL_WIDTH) * LEVEL_WIDTH
        length = key - level
        for k in range(offsets.size):
            other = voxel + offsets[k]
            if done[other] or not inside[other]:
                continue
            new = max(level, levels[other] * LEVEL_WIDTH) + length + lengths[k]
            if new <= best[other]:
                best[other] = new
                heapq.heappush(queue, (new, ((code >> 40) << 40) | other))
