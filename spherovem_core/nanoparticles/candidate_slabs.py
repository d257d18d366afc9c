"""Candidates slab by slab: voxels that stand out near a bright maximum, and their components."""

from collections.abc import Sequence

import cc3d
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, ReadableSink, block_grid, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.components import labelled_voxels, mark_seeds, measure_components
from spherovem_core.nanoparticles.detection import Detection
from spherovem_core.nanoparticles.seed_reach import highest_near, mark_candidates
from spherovem_core.nanoparticles.slab_summary import SlabSummary

# Candidate voxels have this fraction of the contrast of the highest maximum near them: less than half, because the level half-way
# is found later, for each body.
_FRACTION = 0.4
# Side in voxels of the columns in which candidates are sought.
COLUMN_SIDE = 256


class SlabReader:
    """Reader of the contrast of slabs with their halo; it keeps the slices that the next slab shares."""

    def __init__(self, source: ArrayLike, detection: Detection, execution: Execution) -> None:
        self._source, self._detection, self._execution = source, detection, execution
        self._slices: dict[int, NDArray[np.uint16]] = {}

    def read(self, block: Block) -> list[NDArray[np.uint16]]:
        """Read the contrast of the slices of the block's outer region. Call it with the blocks in the order of z."""
        outer = range(block.outer[0].start, block.outer[0].stop)
        self._slices = {z: entry for z, entry in self._slices.items() if z in outer}
        todo = [z for z in outer if z not in self._slices]
        found = map_blocks(
            _slice_contrast, todo, self._source, self._detection,
            executor=self._execution.executor, ahead=2 * max(1, self._execution.workers),
        )  # fmt: skip
        self._slices |= dict(found)
        return [self._slices[z] for z in outer]


def _slice_contrast(z: int, source: ArrayLike, detection: Detection) -> NDArray[np.uint16]:
    return detection.contrast_slice(np.asarray(source[z]), z)


def label_slab(
    contrast: Sequence[NDArray[np.uint16]], block: Block, detection: Detection
) -> NDArray[np.uint32]:
    """Label the candidates of a slab's core from 1, with `SEED_BIT`, given the contrast of the slices of its outer region."""
    core = block.inner[0]
    mask = np.zeros((core.stop - core.start, *contrast[0].shape), np.uint8)
    marked = [
        _mark_column(contrast, column, core, detection, mask)
        for column in _columns(mask.shape[1:], detection)
    ]
    if not any(marked):
        return mask.astype(np.uint32)
    labels = np.asarray(
        cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32, binary_image=True)
    )
    for plane, plane_contrast in zip(labels, contrast[core], strict=True):
        # A seed beside a much brighter one is no candidate voxel, and has no label.
        mark_seeds(plane, plane_contrast, detection.level)
    return labels


def _columns(shape: tuple[int, ...], detection: Detection) -> list[Block]:
    """Cut a slice into columns with a halo as wide as the reach of a seed."""
    return block_grid(shape, (COLUMN_SIDE, COLUMN_SIDE), detection.reach[1:])


def _mark_column(
    contrast: Sequence[NDArray[np.uint16]],
    column: Block,
    core: slice,
    detection: Detection,
    mask: NDArray[np.uint8],
) -> bool:
    """Mark the voxels of a column's core near a seed that have a part of its contrast; returns False if no seed is near."""
    import cv2

    depth, down, across = detection.reach
    kernel = np.asarray(
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * across + 1, 2 * down + 1)), np.uint8
    )
    rows, columns = column.core
    highest = [highest_near(plane, detection.level, kernel, column) for plane in contrast]
    seeded = np.array([part is not None for part in highest])
    if not seeded.any():
        return False
    nothing = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint16)
    stacked = np.stack([nothing if part is None else part for part in highest])
    for z in range(core.start, core.stop):
        near = slice(max(0, z - depth), z + depth + 1)
        if seeded[near].any():
            mark_candidates(
                contrast[z],
                stacked[near],
                rows.start,
                columns.start,
                np.float32(_FRACTION),
                mask[z - core.start],
            )
    return True


def label_slabs(
    slabs: Sequence[Block],
    source: ArrayLike,
    detection: Detection,
    sink: ReadableSink,
    execution: Execution,
    total: int,
) -> list[SlabSummary]:
    """Label and write the missing slabs, read back the others, and measure the components of all."""
    missing = {block.key for block in sink.pending(slabs)}
    reader = SlabReader(source, detection, execution)
    summaries = []
    for done, slab in enumerate(slabs, start=1):
        if slab.key in missing:
            contrast = reader.read(slab)
            labels = label_slab(contrast, slab, detection)
            sink.write(slab, labels)
        else:
            labels = np.asarray(sink.array[slab.core])
        summaries.append(summarise_slab(slab, tuple(source.shape), labels))
        execution.report(done, total)
    return summaries


def summarise_slab(block: Block, shape: tuple[int, ...], labels: NDArray[np.uint32]) -> SlabSummary:
    """Measure the components of a slab's core and list the labelled voxels of its outermost slices."""
    measures = measure_components(labels, (block.core[0].start, 0, 0), shape)
    return SlabSummary(measures, labelled_voxels(labels[0]), labelled_voxels(labels[-1]))
