"""Numbers of the objects and of the background within one block."""

import cc3d
import fastremap
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region

JOIN_IOU = 0.5
"""Intersection over union from which labels of two blocks are the same object."""


def keep_core_labels(labels: NDArray[np.uint32], inner: Region) -> tuple[NDArray[np.uint32], int]:
    """Number labels that occur in a block's core from 1 as they appear there, and drop those of the halo alone.

    Returns
    -------
    (Z, Y, X) ndarray of uint32, int
        Labels of the block with its halo, and their number.
    """
    _, numbers = fastremap.renumber(np.ascontiguousarray(labels[inner]), preserve_zero=True)
    numbers = {int(old): int(new) for old, new in numbers.items() if old}
    lookup = np.zeros(int(labels.max(initial=0)) + 1, np.uint32)
    lookup[list(numbers)] = list(numbers.values())
    return lookup[labels], len(numbers)


def number_background(labels: NDArray[np.uint32], count: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Number the connected components of the background from `count` + 1.

    Returns
    -------
    (Z, Y, X) ndarray of uint32, (N,) ndarray of bool
        Number of every voxel, from 1, and whether each number is background.
    """
    empty = labels == 0
    components, found = cc3d.connected_components(empty, connectivity=6, out_dtype=np.uint32, return_N=True)
    numbers = np.where(empty, components + np.uint32(count), labels)
    return numbers, np.arange(1, count + found + 1) > count


def matching_pairs(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> list[tuple[int, int]]:
    """Find pairs of labels of the same voxels whose intersection over union is at least 0.5."""
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
