"""Masks of a volume that does not fit in memory: overlapping blocks joined into one labelling."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import SegmentationParameters
from spherovem_core.segmentation.components import Components
from spherovem_core.segmentation.dynamics import flows_to_voxels
from spherovem_core.segmentation.flow_error import object_error
from spherovem_core.segmentation.grid import Grid, crop_grid
from spherovem_core.segmentation.masks import min_voxels, raw_masks, smooth_flows
from spherovem_core.segmentation.resample import axis_weights, resample
from spherovem_core.spacing import SpacingNm

BAND = 8
"""Voxels beyond a block's face in which its labels are compared with its neighbour's."""

JOIN_IOU = 0.5


class Scratch(BlockSink, Protocol):
    """A block sink that can be read back."""

    array: Any


def segment_masks(
    flows: ArrayLike,
    grid: Grid,
    shape: Sequence[int],
    spacing_nm: SpacingNm,
    provisional: Scratch,
    sink: BlockSink,
    parameters: SegmentationParameters,
    execution: Execution,
    *,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
) -> int:
    """Upsample flows to a finer grid and make masks there, block by block.

    Each block makes its masks with a halo. Where a block looks into the core of a neighbour that was done
    before, objects of both that cover the same voxels (intersection over union of 0.5 or more within 8 voxels
    of the common face) become one, by union-find. Small objects are dropped after that, so that no object is
    judged by a part of it. Memory is bounded by the block. Blocks run one after another with
    `execution.workers` compiled threads inside.

    Parameters
    ----------
    flows : (4, Z, Y, X) array
        From `predict_flows`, on `grid`.
    shape, spacing_nm, origin_nm
        Grid of the masks: the level of the registered image that `mask_spacing_nm` chose.
    provisional
        Scratch of that shape, uint32: overwritten.
    sink
        Takes the final labels, uint32.
    parameters, execution
        See `SegmentationParameters`.

    Returns
    -------
    int
        Number of objects. They are numbered from 1 in the order in which they first appear in the volume.
    """
    target = Grid((shape[0], shape[1], shape[2]), spacing_nm, origin_nm)
    edge = (parameters.block_voxels,) * 3
    blocks = block_grid(target.shape, edge, parameters.block_halo_voxels)
    components = Components(target.shape)
    with _numba_threads(execution.workers):
        for done, block in enumerate(blocks):
            execution.report(done, 2 * len(blocks))
            labels = _block_masks(block, flows, grid, target, parameters)
            count = int(labels.max(initial=0))
            labels[labels > 0] += np.uint32(len(components) - 1)
            inner = np.ascontiguousarray(labels[block.inner])
            components.add(inner, block.core, count)
            for pair in _joins(block, labels, provisional.array):
                components.join(*pair)
            provisional.write(block, inner)
    sizes = components.sizes()
    kept = (sizes > 0) & (sizes >= min_voxels(parameters, spacing_nm))
    if parameters.flow_error_threshold:
        _drop_inconsistent(kept, components, flows, grid, target, provisional.array, parameters)
    lookup = components.numbering(kept)
    pending = sink.pending(blocks)
    for done, block in enumerate(pending, 2 * len(blocks) - len(pending)):
        execution.report(done, 2 * len(blocks))
        sink.write(block, lookup[np.asarray(provisional.array[block.core])])
    execution.report(2 * len(blocks), 2 * len(blocks))
    return int(lookup.max(initial=0))


def _block_masks(
    block: Block, flows: ArrayLike, grid: Grid, target: Grid, parameters: SegmentationParameters
) -> NDArray[np.uint32]:
    """Labels from 1 of a block with its halo."""
    margin = int(np.ceil(3 * parameters.flow_smoothing))
    needed = tuple(
        axis_weights(part, side, origin, extent, source_side, source_origin).region
        for part, side, origin, extent, source_side, source_origin in zip(
            block.outer,
            target.spacing_nm,
            target.origin_nm,
            grid.shape,
            grid.spacing_nm,
            grid.origin_nm,
            strict=True,
        )
    )
    region = tuple(
        slice(max(0, s.start - margin), min(n, s.stop + margin))
        for s, n in zip(needed, grid.shape, strict=True)
    )
    coarse = smooth_flows(np.asarray(flows[(slice(None), *region)]), parameters)
    coarse[:3] = flows_to_voxels(coarse[:3], grid.spacing_nm, target.spacing_nm)
    return raw_masks(resample(coarse, crop_grid(grid, region), target, block.outer), parameters)


def _joins(block: Block, labels: NDArray[np.uint32], array: ArrayLike) -> Iterator[tuple[int, int]]:
    """Pairs (earlier block's number, this block's number) that are one object."""
    for axis in range(3):
        core, outer = block.core[axis], block.outer[axis]
        if core.start == 0:
            continue
        band = slice(max(outer.start, core.start - BAND), core.start)
        region = tuple(band if n == axis else s for n, s in enumerate(block.core))
        inside = tuple(
            slice(s.start - o.start, s.stop - o.start) for s, o in zip(region, block.outer, strict=True)
        )
        yield from matching_pairs(np.asarray(array[region]), labels[inside])


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


def _drop_inconsistent(
    kept: NDArray[np.bool_],
    components: Components,
    flows: ArrayLike,
    grid: Grid,
    target: Grid,
    array: ArrayLike,
    parameters: SegmentationParameters,
) -> None:
    """Take objects out of `kept` whose flows disagree with their shape, at the resolution of the flows."""
    roots, boxes = components.roots(), components.boxes()
    for root in np.flatnonzero(kept).tolist():
        box = boxes[root]
        # Flow voxels whose centres lie in the box, and the mask voxel at each centre.
        region, samples = [], []
        for axis, s in enumerate(box):
            centres = grid.origin_nm[axis] + grid.spacing_nm[axis] * np.arange(grid.shape[axis])
            place = np.rint((centres - target.origin_nm[axis]) / target.spacing_nm[axis]).astype(int)
            inside = np.flatnonzero((place >= s.start) & (place < s.stop))
            region.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
            samples.append(place[inside] - s.start)
        mask = (roots[np.asarray(array[box])] == root)[np.ix_(*samples)]
        if mask.any():
            part = smooth_flows(np.asarray(flows[(slice(None), *region)]), parameters)
            kept[root] = object_error(mask, part[:3]) <= parameters.flow_error_threshold


@contextmanager
def _numba_threads(count: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(max(1, min(count, numba.config.NUMBA_NUM_THREADS)))
    try:
        yield
    finally:
        numba.set_num_threads(before)
