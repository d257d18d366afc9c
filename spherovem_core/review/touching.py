"""Pairs of objects that touch on the grid of the review, found without the image, and a hash of the faces of each contact."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, block_grid
from spherovem_core.known_blocks import KnownResults, RegionDigests, map_known_blocks
from spherovem_core.label_statistics import FIRST_FACTOR, SECOND_FACTOR, SEEDS, STEP, merge_boxes
from spherovem_core.review.faces import Faces, find_faces
from spherovem_core.review.known_labels import coarse_labels
from spherovem_core.review.object_view import close_gaps
from spherovem_core.review.review_grid import ReviewGrid

EDGE = 96
"""Voxels of the grid along the side of a block."""

HALO = 2
"""Voxels around a block on which its faces depend: the voxel behind a face, and what that is given to."""


@dataclass(frozen=True)
class Touch:
    """A contact of two objects on the grid.

    Attributes
    ----------
    content
        Hash in 128 bits of the faces, and of which of them lie within a nucleus.
    low, high
        Bounding box of the voxels before the faces; `high` is exclusive.
    """

    content: str
    low: tuple[int, int, int]
    high: tuple[int, int, int]


Pair = tuple[int, int]
"""Two labels, the smaller one first."""


def find_touching(
    grid: ReviewGrid, executor: Executor | None = None, known: KnownResults | None = None
) -> Mapping[Pair, Touch]:
    """Find all pairs of objects that touch, in rising order.

    Parameters
    ----------
    known
        Contacts of blocks so far; blocks in which no label changed are not read.
    """
    blocks = block_grid(grid.shape, (EDGE,) * 3, halo=HALO)
    pairs, contents, boxes = [np.empty((0, 2), np.int64)], [np.empty((0, 2), np.uint64)], []
    arrays = [array for array in (grid.level.labels, grid.level.nuclei) if array is not None]
    digests = RegionDigests(*(coarse_labels(grid, array) for array in arrays))
    for columns in map_known_blocks(
        _touching_in, blocks, (grid,), "contacts", lambda block: digests.of(block.outer), known, executor, 8
    ):
        pairs.append(columns["pairs"])
        contents.append(columns["contents"])
        boxes.append(columns["boxes"])
    found, row = np.unique(np.concatenate(pairs), axis=0, return_inverse=True)
    row = row.ravel()
    total = np.zeros((len(found), 2), np.uint64)
    np.add.at(total, row, np.concatenate(contents))
    whole = merge_boxes(np.concatenate([np.empty((0, 6), np.int64), *boxes]), row, len(found))
    return {
        (one, other): Touch(f"{high:016x}{low:016x}", tuple(box[:3]), tuple(box[3:]))
        for (one, other), (high, low), box in zip(found.tolist(), total.tolist(), whole.tolist(), strict=True)
    }


def _touching_in(block: Block, grid: ReviewGrid) -> dict[str, NDArray[Any]]:
    """Return pairs (N, 2), hashes (N, 2) and boxes (N, 6) of the faces that begin in a block."""
    labels = close_gaps(grid.sample(grid.level.labels, block.outer).astype(np.int64))
    start = np.array([s.start for s in block.outer])
    faces = find_faces(labels, labels)
    inside = np.ones(len(faces), bool)
    for axis, side in enumerate(block.inner):
        inside &= (faces.before[:, axis] >= side.start) & (faces.before[:, axis] < side.stop)
    faces = faces.select(inside)
    if not len(faces):
        sizes = {"pairs": (2, np.int64), "contents": (2, np.uint64), "boxes": (6, np.int64)}
        return {name: np.empty((0, width), kind) for name, (width, kind) in sizes.items()}
    pairs = np.sort(np.stack(faces.both(labels), axis=1), axis=1)
    within = np.zeros(len(faces), bool)
    if grid.level.nuclei is not None:
        one, other = faces.both(grid.sample(grid.level.nuclei, block.outer))
        within = (one == other) & (one > 0)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, before = pairs[order], faces.before[order] + start
    first = np.flatnonzero(np.r_[True, (pairs[1:] != pairs[:-1]).any(axis=1)])
    content = np.add.reduceat(_hashes(before, faces.axis[order], within[order]), first, axis=0)
    boxes = np.hstack(
        [np.minimum.reduceat(before, first, axis=0), np.maximum.reduceat(before, first, axis=0) + 1]
    )
    return {"pairs": pairs[first], "contents": content, "boxes": boxes}


def _hashes(
    before: NDArray[np.int64], axis: NDArray[np.int64], within: NDArray[np.bool_]
) -> NDArray[np.uint64]:
    """Hash each face twice (N, 2); the sum over a contact is the same in whatever blocks its faces are found."""
    z, y, x = before.T.astype(np.uint64)
    kind = (2 * axis + within).astype(np.uint64)
    hashes = [_mix(_mix(_mix(_mix(z * STEP + seed) + y * STEP) + x * STEP) + kind * STEP) for seed in SEEDS]
    return np.stack(hashes, axis=1)


def _mix(value: NDArray[np.uint64]) -> Any:
    """Scramble 64 bits (finaliser of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * FIRST_FACTOR
    value = (value ^ (value >> np.uint64(27))) * SECOND_FACTOR
    return value ^ (value >> np.uint64(31))


def faces_of(labels: NDArray[np.int64], label: int) -> tuple[Faces, NDArray[np.int64]]:
    """Find the faces between an object and its neighbours in labels with closed gaps; return them with the neighbours."""
    own = (labels == label).astype(np.int8)
    faces = find_faces(np.where(labels > 0, own + 1, 0), np.where(labels > 0, own + 1, 0))
    one, other = faces.both(labels)
    return faces, np.where(one == label, other, one)
