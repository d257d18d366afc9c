"""Candidates slab by slab: voxels that stand out near a bright maximum, and their components."""

from collections.abc import Iterator, Sequence

import cc3d
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, ReadableSink, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.components import SEED_BIT, labelled_voxels, measure_components
from spherovem_core.nanoparticles.detection import Detection
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
    seeds = [slice_contrast >= detection.level for slice_contrast in contrast]
    seeded = np.any([plane.any() for plane in seeds])
    if not seeded:
        return mask.astype(np.uint32)
    for rows, columns, outer in _columns_with_seeds(seeds, detection):
        mask[:, rows, columns] = _column_mask(contrast, rows, columns, outer, core, detection)
    labels = np.asarray(
        cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32, binary_image=True)
    )
    for plane, seeds_here in zip(labels, seeds[core], strict=True):
        # A seed beside a much brighter one is no candidate voxel, and has no label.
        plane[seeds_here & (plane > 0)] |= SEED_BIT
    return labels


def _columns_with_seeds(
    seeds: Sequence[NDArray[np.bool_]], detection: Detection
) -> Iterator[tuple[slice, slice, tuple[slice, slice]]]:
    """List the columns that have a seed within reach: rows and columns of the core, and of the region with its halo."""
    near = np.logical_or.reduce(seeds)
    height, width = near.shape
    _, down, across = detection.reach
    for y in range(0, height, COLUMN_SIDE):
        for x in range(0, width, COLUMN_SIDE):
            rows, columns = slice(y, min(y + COLUMN_SIDE, height)), slice(x, min(x + COLUMN_SIDE, width))
            outer = (
                slice(max(0, rows.start - down), min(height, rows.stop + down)),
                slice(max(0, columns.start - across), min(width, columns.stop + across)),
            )
            if near[outer].any():
                yield rows, columns, outer


def _column_mask(
    contrast: Sequence[NDArray[np.uint16]],
    rows: slice,
    columns: slice,
    outer: tuple[slice, slice],
    core: slice,
    detection: Detection,
) -> NDArray[np.bool_]:
    """Mark the voxels of a column's core near a seed that have a part of its contrast."""
    import cv2
    from scipy.ndimage import maximum_filter1d

    depth, down, across = detection.reach
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * across + 1, 2 * down + 1))
    inner = tuple(
        slice(s.start - o.start, s.stop - o.start) for s, o in zip((rows, columns), outer, strict=True)
    )
    highest = []
    for plane in contrast:
        part = plane[outer]
        seeds = np.where(part >= detection.level, part, np.uint16(0))
        found = cv2.dilate(seeds, kernel)[inner] if seeds.any() else seeds[inner]
        highest.append(found)
    near = maximum_filter1d(np.stack(highest), 2 * depth + 1, axis=0, mode="constant")[core]
    here = np.stack([plane[rows, columns] for plane in contrast[core]])
    return np.asarray((near > 0) & (here > _FRACTION * near.astype(np.float32)))


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
