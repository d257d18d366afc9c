"""Division of an object into two parts: watershed, then joining of its basins until two are left."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from spherovem_core.review.faces import Faces, find_faces

MOST_BASINS = 60
SMALLEST_FRACTION = 0.03
"""Basins below this fraction of the object join a neighbour before any other: they are no object of their own."""

LEAST_PART = 0.01
"""Fraction of an object from which a part that evidence separates is flooded from a voxel of its own."""

ENCLOSED_FRACTION = 0.5
"""A basin that touches another one with more than this fraction of its surface lies inside the object, as an organelle does."""


@dataclass
class _Contact:
    area: float
    evidence: float
    """Sum over the area."""


USUAL_WIDTH, PER_WIDTH = 0.8, 0.3
"""Contact area over the power 2/3 of the smaller volume up to which a contact is like those between cells, and the evidence that
each further unit takes away; a basin all around another one has 5."""

Key = Callable[[float, float, float, float], float]
"""Strength of the division between two basins, from mean evidence and area of their contact, and both volumes."""


def by_evidence(evidence: float, area: float, one: float, other: float) -> float:
    """Return the mean evidence at the contact, less where it is wide for the smaller basin.

    A nucleus has as strong a boundary to its cell as a cell to its neighbour, but touches the cell all around.
    """
    width = area / float(min(one, other) ** (2 / 3))
    return evidence - PER_WIDTH * max(0.0, width - USUAL_WIDTH)


def by_neck(evidence: float, area: float, one: float, other: float) -> float:
    """Return how much smaller the contact is than the cross-section of the smaller basin; needs no evidence."""
    return -area / float(min(one, other) ** (2 / 3))


def find_seeds(depth_um: NDArray[np.float32], distance: int) -> NDArray[np.int64]:
    """Find the voxels (N, 3) from which an object is flooded.

    They are the deepest ones, at least about `distance` voxels apart, and the deepest one of every separate part that has none.
    """
    smooth = ndimage.gaussian_filter(depth_um, 1.0)
    inside = depth_um > 0
    seeds = peak_local_max(
        smooth, min_distance=distance, labels=inside.astype(np.uint8), exclude_border=False
    )
    parts, count = ndimage.label(inside)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    sizes[parts[tuple(seeds.T)]] = 0
    missed = np.flatnonzero(sizes > LEAST_PART * inside.sum())
    if len(missed):
        seeds = np.concatenate([seeds, np.array(ndimage.maximum_position(depth_um, parts, missed))])
    return np.asarray(seeds[:MOST_BASINS], np.int64)


def flood(
    height: NDArray[np.float32], seeds: NDArray[np.int64], mask: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return the watershed basins of the seeds in the mask, numbered from 1."""
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    return np.asarray(watershed(height, markers, mask=mask), np.int32)


def join_basins(
    basins: NDArray[np.int32],
    evidence: NDArray[np.float32],
    face_areas: NDArray[np.float64],
    voxel_volume: float,
    outer_area: NDArray[np.float64],
    key: Key,
) -> NDArray[np.int32] | None:
    """Join the two basins with the weakest division between them, until two are left.

    Parameters
    ----------
    basins : (z, y, x) ndarray of int32
        Basins from 1 to N, 0 outside.
    evidence : (z, y, x) ndarray of float32
        Evidence of a boundary.
    face_areas
        Area of a face along each axis.
    outer_area : (N + 1,) ndarray of float64
        Area of each basin's surface that is the object's.
    key
        Strength of a division.

    Returns
    -------
    (z, y, x) ndarray of int32 or None
        1 and 2 in the two parts, 0 outside; None where there are not two.
    """
    count = int(basins.max())
    volumes = np.bincount(basins.ravel(), minlength=count + 1).astype(float) * voxel_volume
    volumes[0] = 0
    contacts = _contacts(basins, evidence, face_areas, count)
    surface = outer_area.copy()
    whole, parent = volumes.sum(), np.arange(count + 1)
    alive = {n for n in range(1, count + 1) if volumes[n] > 0}
    while len(alive) > 2:
        found = _weakest(alive, contacts, volumes, surface, whole, key)
        if found is None:
            return None
        kept, gone = found
        parent[parent == gone] = kept
        volumes[kept] += volumes[gone]
        surface[kept] += surface[gone]
        for neighbour, contact in contacts.pop(gone).items():
            contacts[neighbour].pop(gone)
            if neighbour == kept:
                continue
            known = contacts[kept].get(neighbour)
            total = (
                contact
                if known is None
                else _Contact(known.area + contact.area, known.evidence + contact.evidence)
            )
            contacts[kept][neighbour] = contacts[neighbour][kept] = total
        alive.discard(gone)
    if len(alive) < 2:
        return None
    numbers = np.zeros(count + 1, np.int32)
    for n, root in enumerate(sorted(alive), 1):
        numbers[parent == root] = n
    numbers[0] = 0
    return numbers[basins]


def _contacts(
    basins: NDArray[np.int32], evidence: NDArray[np.float32], face_areas: NDArray[np.float64], count: int
) -> dict[int, dict[int, _Contact]]:
    faces: Faces = find_faces(basins, basins)
    contacts: dict[int, dict[int, _Contact]] = {n: {} for n in range(1, count + 1)}
    if not len(faces):
        return contacts
    one, other = faces.both(basins)
    pair = np.minimum(one, other).astype(np.int64) * (count + 1) + np.maximum(one, other)
    area = face_areas[faces.axis]
    strength = np.maximum(*faces.both(evidence)) * area
    pairs, index = np.unique(pair, return_inverse=True)
    for n, (total, weighted) in enumerate(
        zip(np.bincount(index, area), np.bincount(index, strength), strict=True)
    ):
        a, b = divmod(int(pairs[n]), count + 1)
        contacts[a][b] = contacts[b][a] = _Contact(float(total), float(weighted))
    return contacts


def _weakest(
    alive: set[int],
    contacts: dict[int, dict[int, _Contact]],
    volumes: NDArray[np.float64],
    surface: NDArray[np.float64],
    whole: float,
    key: Key,
) -> tuple[int, int] | None:
    best, pair = (2, np.inf), None
    for a in sorted(alive):
        inner = sum(contact.area for contact in contacts[a].values())
        for b, contact in contacts[a].items():
            small = volumes[a] < SMALLEST_FRACTION * whole
            enclosed = contact.area > ENCLOSED_FRACTION * (surface[a] + inner)
            strength = key(contact.evidence / contact.area, contact.area, volumes[a], volumes[b])
            rank = (0 if small or enclosed else 1, strength)
            if rank < best:
                best, pair = rank, (b, a)
    return pair
