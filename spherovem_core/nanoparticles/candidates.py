"""Candidates of a volume: voxels that stand out near a bright maximum, block by block along all three axes."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, ReadableSink, block_grid, map_blocks, slab_grid
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.components import ComponentFinder, Components
from spherovem_core.nanoparticles.detection import Detection
from spherovem_core.nanoparticles.packed_contrast import FRACTION, TILE, PackedSlice, pack_slice
from spherovem_core.nanoparticles.seed_reach import (
    ellipse_rows,
    mark_candidates,
    paint_candidates,
    paint_seeds,
    spread_seeds,
)

# Slices, and tiles along y and x, of a block. Its seeds take 10 MB. The slices that it and the following ones need are held where
# their contrast is high: 6 bytes per pixel of a slice of 10 nm voxels where 3 % of them have it, 33 where 18 % do (neuropil).
DEPTH = 16
TILES = 2


class BlockCandidates(NamedTuple):
    """Candidates of one block.

    Attributes
    ----------
    starts : (slices + 1,) ndarray of int64
        Where those of each slice begin.
    places : (N,) ndarray of uint32
        See `mark_candidates`.
    """

    starts: NDArray[np.int64]
    places: NDArray[np.uint32]


class SliceWindow:
    """Packed slices around a slab; of those above and below it, only the seeds are given away."""

    def __init__(self, slices: Iterator[tuple[int, PackedSlice]], level: int) -> None:
        self._coming, self._level = slices, level
        self._whole: dict[int, PackedSlice] = {}
        self._seeds: dict[int, PackedSlice] = {}

    def move(self, slab: Block) -> dict[int, PackedSlice]:
        """Move to a slab, in the order of z, and return the slices of its outer region: whole in its core."""
        core, outer = slab.core[0], slab.outer[0]
        self._whole = {z: entry for z, entry in self._whole.items() if z >= core.start}
        self._seeds = {z: entry for z, entry in self._seeds.items() if z >= outer.start}
        while max(self._seeds, default=outer.start - 1) < outer.stop - 1:
            z, entry = next(self._coming)
            self._seeds[z] = entry.seeds(self._level)
            if z >= core.start:
                self._whole[z] = entry
        return {
            z: self._whole[z] if core.start <= z < core.stop else self._seeds[z]
            for z in range(outer.start, outer.stop)
        }


class _BlockWindows:
    """Blocks of a slab with what their outer regions hold of the packed slices, cut out one after the other."""

    def __init__(self, blocks: Sequence[Block], slices: dict[int, PackedSlice]) -> None:
        self._blocks, self._slices = blocks, slices

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, number: int) -> tuple[Block, dict[int, PackedSlice]]:
        block = self._blocks[number]
        return block, {z: entry.part(*block.outer[1:]) for z, entry in self._slices.items()}


def mark_block(item: tuple[Block, dict[int, PackedSlice]], detection: Detection) -> BlockCandidates:
    """Find the candidates of a block in the packed slices of its outer region."""
    block, slices = item
    depth, down, across = detection.reach
    core, rows, columns = block.core
    outer = [(s.start, s.stop) for s in block.outer[1:]]
    inside = (rows.start, rows.stop), (columns.start, columns.stop)
    seeds = np.zeros((core.stop - core.start, *(stop - start for start, stop in outer)), np.uint16)
    for z in range(block.outer[0].start, block.outer[0].stop):
        entry = slices[z]
        reached = seeds[max(0, z - depth - core.start) : max(0, z + depth + 1 - core.start)]
        paint_seeds(entry, detection.level, *outer, reached)
    near = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.uint16)
    room = np.empty(near.size, np.uint32)
    half, found, starts = ellipse_rows((down, across)), [], [0]
    for z in range(core.start, core.stop):
        entry, count = slices[z], 0
        top, left = rows.start - outer[0][0], columns.start - outer[1][0]
        if spread_seeds(seeds[z - core.start], half, top, left, near):
            count = mark_candidates(entry, detection.level, FRACTION, near, *inside, room)
        found.append(room[:count].copy())
        starts.append(starts[-1] + count)
    return BlockCandidates(np.array(starts, np.int64), np.concatenate(found))


def find_candidates(
    source: ArrayLike,
    detection: Detection,
    sink: ReadableSink,
    execution: Execution,
    total: int,
    depth: int = DEPTH,
    tile: int = TILE,
) -> Components:
    """Mark the candidates of the volume, and join them to components.

    Each slice is read once, and its contrast measured once. Slabs whose slices the sink holds are read back.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        Registered image.
    detection
        What is a candidate.
    sink
        Takes the candidates (uint8) slice by slice: 0 for other voxels, `CANDIDATE`, `SEED`.
    execution
        Executor, deadline and progress.
    total
        Number of steps of the stage; a slab is one.
    depth, tile
        Slices of a block, and side in pixels, at most 256, of a tile; a block has `TILES` along y and x. No result depends
        on them.
    """
    shape = tuple(int(n) for n in source.shape)
    slabs = slab_grid(shape, depth, detection.reach[0])
    planes = slab_grid(shape, 1)
    missing = {block.core[0].start for block in sink.pending(planes)}
    todo = [slab for slab in slabs if missing & set(range(slab.core[0].start, slab.core[0].stop))]
    needed = sorted({z for slab in todo for z in range(slab.outer[0].start, slab.outer[0].stop)})
    ahead = 2 * max(1, execution.workers)
    packed = map_blocks(pack_slice, needed, source, detection, tile, executor=execution.executor, ahead=ahead)
    window, finder = SliceWindow(packed, detection.level), ComponentFinder(shape)
    unfinished = {slab.key for slab in todo}
    for done, slab in enumerate(slabs, start=1):
        core = range(slab.core[0].start, slab.core[0].stop)
        if slab.key in unfinished:
            blocks = _blocks_of(slab, shape, TILES * tile, detection)
            items: Any = _BlockWindows(blocks, window.move(slab))
            results = map_blocks(mark_block, items, detection, executor=execution.executor, ahead=ahead)
            marked = [(block, found) for (block, _), found in results]
            for z in core:
                plane = _paint(z - core.start, marked, shape)
                if z in missing:
                    sink.write(planes[z], plane[None])
                finder.add(plane)
        else:
            for z in core:
                finder.add(np.ascontiguousarray(sink.array[z], np.uint8))
        execution.report(done, total)
    return finder.components()


def _blocks_of(slab: Block, shape: tuple[int, ...], side: int, detection: Detection) -> list[Block]:
    """Cut a slab into blocks with a halo as wide as the reach of a seed."""
    grid = block_grid(shape[1:], (side, side), detection.reach[1:])
    return [
        Block((*slab.index[:1], *own.index), (slab.core[0], *own.core), (slab.outer[0], *own.outer))
        for own in grid
    ]


def _paint(
    number: int, marked: Sequence[tuple[Block, BlockCandidates]], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Paint the candidates of a slice, by its number in the slab."""
    plane = np.zeros(shape[1:], np.uint8)
    for block, found in marked:
        own = slice(int(found.starts[number]), int(found.starts[number + 1]))
        paint_candidates(found.places[own], plane[block.core[1:]])
    return plane
