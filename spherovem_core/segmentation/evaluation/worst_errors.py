"""The largest mergers and splits of a segmentation, and where they are."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, block_grid
from spherovem_core.label_overlaps import Contingency
from spherovem_core.segmentation.evaluation.matching import Matching

BLOCK_SIDE = 128
"""Side in voxels of the blocks in which the place of an error is looked for."""


@dataclass(frozen=True)
class WorstError:
    """A predicted object that covers several true ones, or a true object that several predicted ones cover.

    Attributes
    ----------
    error
        ``merger`` or ``split``.
    label
        The predicted object of a merger, the true object of a split.
    parts
        The two objects of the other segmentation that share most voxels with it, the larger part first.
    voxels
        Voxels that it shares with other objects than the first of them.
    place
        Voxel z, y, x in the second part: at the first one where both touch.
    """

    error: Literal["merger", "split"]
    label: int
    parts: tuple[int, int]
    voxels: int
    place: tuple[int, int, int]


def find_worst_errors(
    table: Contingency, matching: Matching, truth: ArrayLike, predicted: ArrayLike, count: int
) -> list[WorstError]:
    """Find the mergers and the splits that misplace most voxels, `count` of each, the largest first.

    Voxels of background misplace nothing, and only objects that count in the matching are listed.

    Parameters
    ----------
    truth, predicted : (Z, Y, X) array of int
        As the table was counted from; read in blocks around the errors.
    """
    true = _Side(table.rows, table.true.labels, matching.true_counts, truth)
    segmented = _Side(table.columns, table.predicted.labels, matching.predicted_counts, predicted)
    kinds: tuple[tuple[Literal["merger", "split"], _Side, _Side], ...] = (
        ("merger", segmented, true),
        ("split", true, segmented),
    )
    found = []
    for error, own, other in kinds:
        pairs = np.flatnonzero(table.on_objects & own.counts[own.objects])
        for index, first, second, voxels in _most_divided(own.objects, table.voxels, pairs, count):
            label = int(own.labels[index])
            parts = int(other.labels[other.objects[first]]), int(other.labels[other.objects[second]])
            place = _contact(own.volume, other.volume, label, parts, table.boxes[second])
            found.append(WorstError(error, label, parts, voxels, place))
    return found


class _Side(NamedTuple):
    """A segmentation: the index of its object in each pair of the table, its labels, which of them count, and its voxels."""

    objects: NDArray[np.intp]
    labels: NDArray[np.int64]
    counts: NDArray[np.bool_]
    volume: ArrayLike


def _most_divided(
    own: NDArray[np.intp], voxels: NDArray[np.int64], pairs: NDArray[np.intp], count: int
) -> list[tuple[int, int, int, int]]:
    """Return index, largest and second largest pair, and voxels beside the largest pair, of the most divided objects."""
    if not len(pairs):
        return []
    order = pairs[np.lexsort((pairs, -voxels[pairs], own[pairs]))]
    starts = np.flatnonzero(np.r_[True, own[order][1:] != own[order][:-1]])
    ends = np.r_[starts[1:], len(order)]
    divided = [
        (
            int(own[order[start]]),
            int(order[start]),
            int(order[start + 1]),
            int(voxels[order[start + 1 : end]].sum()),
        )
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        if end - start > 1
    ]
    return sorted(divided, key=lambda each: (-each[3], each[0]))[:count]


def _contact(
    own: ArrayLike, other: ArrayLike, label: int, parts: tuple[int, int], box: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Return a voxel of the second part at the first one, in the middle of their contact; any of it if they do not touch."""
    lead = 3 - len(own.shape)
    shape = (1,) * lead + tuple(own.shape)
    corner, extent = box[:, 0], box[:, 1] - box[:, 0]
    most, best = (False, 0), (0, 0, 0)
    for block in block_grid(tuple(int(n) for n in extent), (BLOCK_SIDE,) * 3):
        # One voxel more, to see what lies across the box.
        region = tuple(
            slice(max(0, s.start + c - 1), min(n, s.stop + c + 1))
            for s, c, n in zip(block.core, corner.tolist(), shape, strict=True)
        )
        inside, across = (np.asarray(volume[region[lead:]])[(None,) * lead] for volume in (own, other))
        second = (inside == label) & (across == parts[1])
        touching = second & _near((inside == label) & (across == parts[0]))
        chosen = np.argwhere(touching if touching.any() else second)
        worth = (bool(touching.any()), len(chosen))
        if len(chosen) and worth > most:
            middle = np.median(chosen, axis=0)
            nearest = chosen[np.argmin(((chosen - middle) ** 2).sum(axis=1))]
            z, y, x = (int(n + s.start) for n, s in zip(nearest, region, strict=True))
            most, best = worth, (z, y, x)
    return best


def _near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels across a face of one of the mask."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask), bool)
