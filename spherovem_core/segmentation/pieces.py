"""What one block makes of the volume: numbered pieces of objects and of background."""

from dataclasses import replace

import cc3d
import fastremap
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.segmentation.block_statistics import BlockSurvey

JOIN_IOU = 0.5


def keep_core_labels(labels: NDArray[np.uint32], inner: Region) -> tuple[NDArray[np.uint32], int]:
    """Number labels that occur in a block's core from 1 as they appear there, and drop those of the halo alone.

    Returns
    -------
    (Z, Y, X) ndarray of uint32, int
        Labels of the block with its halo, and how many there are.
    """
    _, numbers = fastremap.renumber(np.ascontiguousarray(labels[inner]), preserve_zero=True)
    numbers = {int(old): int(new) for old, new in numbers.items() if old}
    lookup = np.zeros(int(labels.max(initial=0)) + 1, np.uint32)
    lookup[list(numbers)] = list(numbers.values())
    return lookup[labels], len(numbers)


def number_background(labels: NDArray[np.uint32], count: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Number connected pieces of background on from `count`.

    Returns
    -------
    (Z, Y, X) ndarray of uint32, (N,) ndarray of bool
        Every voxel's number from 1, and whether each number is background.
    """
    empty = labels == 0
    pieces, found = cc3d.connected_components(empty, connectivity=6, out_dtype=np.uint32, return_N=True)
    numbers = np.where(empty, pieces + np.uint32(count), labels)
    return numbers, np.arange(1, count + found + 1) > count


def close_pockets(survey: BlockSurvey, core: Region, offset: int) -> tuple[BlockSurvey, NDArray[np.uint32]]:
    """Give background that one piece of an object encloses within a block to that piece.

    It would be filled later on, as all of its kind; done at once, it need not be kept track of.

    Returns
    -------
    BlockSurvey, (N,) ndarray of uint32
        The survey of what is left, and the new number of each region of the block.
    """
    low, high = np.array([c.start for c in core]), np.array([c.stop for c in core])
    inside = ((survey.boxes[:, :3] > low) & (survey.boxes[:, 3:] < high)).all(axis=1)
    degree = np.zeros(len(survey), np.int64)
    neighbour = np.zeros(len(survey), np.int64)
    for here, there in ((0, 1), (1, 0)):
        own = survey.pairs[:, here] >= offset
        np.add.at(degree, survey.pairs[own, here] - offset, 1)
        neighbour[survey.pairs[own, here] - offset] = survey.pairs[own, there]
    closed = np.flatnonzero(survey.background & inside & (degree == 1))
    owners = neighbour[closed] - offset
    kept = np.ones(len(survey), bool)
    kept[closed] = False
    numbers = (np.cumsum(kept) - 1 + offset).astype(np.uint32)
    numbers[closed] = numbers[owners]
    counts, sums = survey.counts.copy(), survey.sums.copy()
    np.add.at(counts, owners, survey.counts[closed])
    np.add.at(sums, owners, survey.sums[closed])
    open_pairs = np.isin(survey.pairs - offset, closed, invert=True).all(axis=1)
    pairs = survey.pairs[open_pairs]
    own = pairs >= offset
    pairs[own] = numbers[pairs[own] - offset]
    left = replace(
        survey,
        background=survey.background[kept],
        counts=counts[kept],
        firsts=survey.firsts[kept],
        boxes=survey.boxes[kept],
        border=survey.border[kept],
        sums=sums[kept],
        pairs=pairs,
        faces=survey.faces[open_pairs],
        contact_sums=survey.contact_sums[open_pairs],
    )
    return left, numbers


def matching_pairs(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> list[tuple[int, int]]:
    """Pairs of labels of two labellings of the same voxels whose intersection over union is 0.5 or more."""
    both = (first > 0) & (second > 0)
    if not both.any():
        return []
    pairs, overlaps = np.unique(np.stack([first[both], second[both]]), axis=1, return_counts=True)
    sizes = [dict(zip(*np.unique(part, return_counts=True), strict=True)) for part in (first, second)]
    return [
        (int(a), int(b))
        for (a, b), overlap in zip(pairs.T, overlaps, strict=True)
        if overlap >= JOIN_IOU * (sizes[0][a] + sizes[1][b] - overlap)
    ]
