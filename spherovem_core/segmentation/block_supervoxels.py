"""Supervoxels of one block, numbered after those of the blocks before it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region
from spherovem_core.segmentation.block_numbering import (
    keep_core_labels,
    matching_pairs,
    number_background,
)
from spherovem_core.segmentation.block_pockets import close_pockets
from spherovem_core.segmentation.block_statistics import BlockStatistics, measure_block

BAND = 8
"""Voxels beyond a block's face in which its labels are compared with those of its neighbour."""


def number_supervoxels(
    block: Block,
    labels: NDArray[np.uint32],
    earlier: ArrayLike,
    is_background: NDArray[np.bool_],
    measured: NDArray[np.float32] | None = None,
    fill_holes: bool = True,
    columns: int = 2,
    with_flows: bool = False,
) -> tuple[NDArray[np.uint32], BlockStatistics]:
    """Number the supervoxels of a block and measure them.

    Parameters
    ----------
    block
        Core of the block, and the core with its halo, where `labels` lie.
    labels : (z, y, x) ndarray of uint32
        Objects of the block with its halo, 0 is background.
    earlier : (Z, Y, X) array of uint32
        Supervoxels of the volume in all blocks that come before in C order.
    is_background : (N,) ndarray of bool
        For the outside, which is number 0, and each of the earlier supervoxels.
    measured, columns, with_flows
        See `measure_block`.
    fill_holes
        True if background enclosed by one supervoxel becomes part of it.

    Returns
    -------
    (z, y, x) ndarray of uint32, BlockStatistics
        Supervoxels of the core, numbered from N, and their statistics.
    """
    offset = len(is_background)
    labels, count = keep_core_labels(labels, block.inner)
    core, background = number_background(labels[block.inner], count)
    numbers = np.zeros([n + 1 for n in core.shape], np.uint32)
    numbers[1:, 1:, 1:] = core + np.uint32(offset - 1)
    for place, layer in _layers_before(block):
        numbers[place] = earlier[layer]
    statistics = measure_block(
        numbers, block.core, earlier.shape, offset, background, measured, columns, with_flows
    )
    statistics = _of_objects_alone(statistics, np.concatenate([is_background, background]))
    core = numbers[1:, 1:, 1:]
    if fill_holes:
        statistics, renumbered = close_pockets(statistics, block.core, offset)
        core = renumbered[core - np.uint32(offset)]
    joins = list(_joins(block, labels, is_background, earlier))
    return core, replace(statistics, joins=np.array(joins, np.int64).reshape(-1, 2))


def _of_objects_alone(statistics: BlockStatistics, is_background: NDArray[np.bool_]) -> BlockStatistics:
    """Set the sums over background to zero: nothing reads them, and they take half of a ledger."""
    first, second = statistics.pairs.T
    beside = is_background[first] | is_background[second]
    return replace(
        statistics,
        sums=np.where(statistics.background[:, None], 0.0, statistics.sums),
        contact_sums=np.where(beside[:, None], 0.0, statistics.contact_sums),
    )


def _layers_before(block: Block) -> Iterator[tuple[Region, Region]]:
    """Yield the layers of earlier blocks in front of a block.

    Each comes as its place in an array with one layer more than the core, and as its region in the volume.
    """
    for axis in range(3):
        start = block.core[axis].start
        if start:
            place = tuple(slice(0, 1) if n == axis else slice(1, None) for n in range(3))
            yield (
                place,
                tuple(slice(start - 1, start) if n == axis else s for n, s in enumerate(block.core)),
            )


def _joins(
    block: Block, labels: NDArray[np.uint32], is_background: NDArray[np.bool_], earlier: ArrayLike
) -> Iterator[tuple[int, int]]:
    """Yield pairs (earlier supervoxel, supervoxel of this block) of the same object."""
    for axis in range(3):
        core, outer = block.core[axis], block.outer[axis]
        if core.start == 0:
            continue
        band = slice(max(outer.start, core.start - BAND), core.start)
        region = tuple(band if n == axis else s for n, s in enumerate(block.core))
        inside = tuple(
            slice(s.start - o.start, s.stop - o.start) for s, o in zip(region, block.outer, strict=True)
        )
        before = np.asarray(earlier[region])
        objects = np.where(is_background[before], np.uint32(0), before)
        for number, label in matching_pairs(objects, labels[inside]):
            yield number, label + len(is_background) - 1
