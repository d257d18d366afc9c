"""The regions of one block, numbered after those of the blocks before it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region
from spherovem_core.segmentation.block_statistics import BlockSurvey, survey_block
from spherovem_core.segmentation.pieces import (
    close_pockets,
    keep_core_labels,
    matching_pairs,
    number_background,
)

BAND = 8
"""Voxels beyond a block's face in which its labels are compared with its neighbour's."""


def number_regions(
    block: Block,
    labels: NDArray[np.uint32],
    earlier: ArrayLike,
    is_background: NDArray[np.bool_],
    measured: NDArray[np.float32] | None = None,
    fill_holes: bool = True,
) -> tuple[NDArray[np.uint32], BlockSurvey]:
    """Number the regions of a block and survey them.

    Parameters
    ----------
    block
        Its core and, with the halo, where its labels are.
    labels : (z, y, x) ndarray of uint32
        Objects of the block with its halo, 0 is background.
    earlier : (Z, Y, X) array of uint32
        Regions of the volume in all blocks that come before in C order.
    is_background : (N,) ndarray of bool
        For the outside, which is number 0, and each of the earlier regions.
    measured : (2, z + 1, y + 1, x + 1) ndarray of float32, optional
        See `survey_block`.
    fill_holes
        Whether background that one piece encloses is that piece's.

    Returns
    -------
    (z, y, x) ndarray of uint32, BlockSurvey
        Regions of the core, numbered from N, and their survey.
    """
    offset = len(is_background)
    labels, count = keep_core_labels(labels, block.inner)
    core, background = number_background(labels[block.inner], count)
    numbers = np.zeros([n + 1 for n in core.shape], np.uint32)
    numbers[1:, 1:, 1:] = core + np.uint32(offset - 1)
    for place, layer in _layers_before(block):
        numbers[place] = earlier[layer]
    survey = survey_block(numbers, block.core, earlier.shape, offset, background, measured)
    survey = _of_objects_alone(survey, np.concatenate([is_background, background]))
    core = numbers[1:, 1:, 1:]
    if fill_holes:
        survey, renumbered = close_pockets(survey, block.core, offset)
        core = renumbered[core - np.uint32(offset)]
    joins = list(_joins(block, labels, is_background, earlier))
    return core, replace(survey, joins=np.array(joins, np.int64).reshape(-1, 2))


def _of_objects_alone(survey: BlockSurvey, is_background: NDArray[np.bool_]) -> BlockSurvey:
    """Forget what was measured in background, which nobody asks for and which takes half of a ledger."""
    first, second = survey.pairs.T
    beside = is_background[first] | is_background[second]
    return replace(
        survey,
        sums=np.where(survey.background[:, None], 0.0, survey.sums),
        contact_sums=np.where(beside[:, None], 0.0, survey.contact_sums),
    )


def _layers_before(block: Block) -> Iterator[tuple[Region, Region]]:
    """Layers of earlier blocks in front of a block: place in an array with one layer more, and region in the volume."""
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
    """Pairs (earlier region, this block's region) that are pieces of one object."""
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
