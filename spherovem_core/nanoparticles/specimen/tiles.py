"""The one pass over the image: means of tiles of about 120 nm, from alternate rows, and their brightest lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, map_blocks, slab_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters.specimen import MOST_TILES
from spherovem_core.spacing import SpacingNm

EVEN, ODD, LINE = range(3)
FEATURES = 3
SLAB_SLICES = 8
LINE_ROWS, SIDE_ROWS = 3, 9
"""A charging streak is lower than `LINE_ROWS` rows, and brighter than all rows from there to `SIDE_ROWS` above and below."""


@dataclass(frozen=True)
class TileGrid:
    """Tiles of an image.

    Attributes
    ----------
    shape
        Tiles along z, y and x; the last along an axis may cover the image in part.
    factors
        Voxels of the image per tile.
    spacing_nm
        Size of a tile.
    """

    shape: tuple[int, int, int]
    factors: tuple[int, int, int]
    spacing_nm: SpacingNm

    @property
    def planes(self) -> tuple[int, int, int]:
        """Shape of the tiles' features, as planes: `FEATURES` for each layer of tiles."""
        depth, height, width = self.shape
        return FEATURES * depth, height, width


def tile_grid(shape: Sequence[int], spacing_nm: SpacingNm, wanted_nm: float) -> TileGrid:
    """Choose tiles of about `wanted_nm` per side, doubled until there are at most `MOST_TILES`.

    120 nm keeps the error of a border below 60 nm, less than the radius of the smallest particle that the pipeline finds.
    A tile has two rows at least, because the noise is told from structure by alternate rows.
    """
    while True:
        dz, dy, dx = (max(1, math.floor(wanted_nm / step + 0.5)) for step in spacing_nm)
        factors = (dz, max(2, dy), dx)
        depth, height, width = (-(-n // f) for n, f in zip(shape, factors, strict=True))
        if depth * height * width <= MOST_TILES:
            nz, ny, nx = (step * f for step, f in zip(spacing_nm, factors, strict=True))
            return TileGrid((depth, height, width), factors, (nz, ny, nx))
        wanted_nm *= 2


def collect_tiles(
    source: ArrayLike,
    grid: TileGrid,
    sink: BlockSink,
    execution: Execution | None = None,
    bad_slices: Sequence[int] = (),
) -> None:
    """Reduce an image to tiles, slab by slab; a killed run continues from the slabs in the sink.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        Read slice by slice; a worker holds one slice.
    sink
        Takes float32 planes (3 Z, Y, X), three per layer of tiles: mean of the even rows, mean of the odd rows, and the
        excess of the brightest line. NaN where all slices of a layer are bad or hold one intensity only.
    bad_slices
        Slices filled from their neighbours; they are left out.
    """
    execution = execution or Execution()
    slabs = slab_grid(grid.planes, FEATURES * max(1, SLAB_SLICES // grid.factors[0]))
    blocks = sink.pending(slabs)
    done = len(slabs) - len(blocks)
    results = map_blocks(
        _slab, blocks, source, grid, frozenset(bad_slices),
        executor=execution.executor, ahead=max(1, execution.workers),
    )  # fmt: skip
    for number, (block, values) in enumerate(results, start=done + 1):
        sink.write(block, values)
        execution.report(number, len(slabs))


def _slab(block: Block, source: ArrayLike, grid: TileGrid, bad_slices: frozenset[int]) -> NDArray[np.float32]:
    _, height, width = grid.shape
    deep, high, wide = grid.factors
    first, last = block.core[0].start // FEATURES, block.core[0].stop // FEATURES
    tiles = np.full((last - first, FEATURES, height, width), np.nan, np.float32)
    for t in range(first, last):
        sums = np.zeros((FEATURES, height, width), np.float32)
        sums[LINE] = -np.inf
        used = 0
        for z in range(t * deep, min((t + 1) * deep, source.shape[0])):
            image = np.ascontiguousarray(source[z])
            if z not in bad_slices and image.size and image.min() < image.max():
                _add_slice(image, high, wide, sums)
                used += 1
        if used:
            sums[:LINE] /= used
            tiles[t - first] = sums
    return tiles.reshape(-1, height, width)


@numba.njit(cache=True, nogil=True)
def _add_slice(image, high, wide, sums):  # type: ignore[no-untyped-def]
    """Add the means of a slice's tiles to `sums`, and raise the excess of lines to that of the slice."""
    rows, columns = image.shape
    means = np.empty((rows, sums.shape[2]), np.float32)
    for y in range(rows):
        for tx in range(sums.shape[2]):
            total = np.float32(0)
            stop = min(columns, (tx + 1) * wide)
            for x in range(tx * wide, stop):
                total += image[y, x]
            means[y, tx] = total / (stop - tx * wide)
    for ty in range(sums.shape[1]):
        start, stop = ty * high, min(rows, (ty + 1) * high)
        for tx in range(sums.shape[2]):
            even, odd = np.float32(0), np.float32(0)
            line = sums[2, ty, tx]
            for y in range(start, stop):
                if (y - start) % 2:
                    odd += means[y, tx]
                else:
                    even += means[y, tx]
                beside = np.float32(0)
                for away in range(LINE_ROWS, SIDE_ROWS):
                    beside = max(beside, means[max(y - away, 0), tx], means[min(y + away, rows - 1), tx])
                line = max(line, means[y, tx] - beside)
            number = stop - start
            even /= (number + 1) // 2
            sums[0, ty, tx] += even
            sums[1, ty, tx] += odd / (number // 2) if number > 1 else even
            sums[2, ty, tx] = line
