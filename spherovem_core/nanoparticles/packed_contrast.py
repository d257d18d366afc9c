"""Contrast of slices, packed: only what can be a candidate is kept; numba kernels on the CPU.

Voxels with less than a fraction of the contrast of the faintest seed are no candidates whatever lies near them. In tissue 2 to
20 % of the voxels have more, so that the slices in which the voxels of a seed are sought fit in memory at any size.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.nanoparticles.detection import Detection

# Side in pixels of the tiles in which the pixels are numbered; 16 bits hold their numbers.
TILE = 256
# Candidate voxels have this fraction of the contrast of the highest maximum near them: less than half, because the level half-way
# is found later, for each body.
FRACTION = np.float32(0.4)


class PackedSlice(NamedTuple):
    """Contrast of a slice where it is high.

    Attributes
    ----------
    starts : (tiles down * tiles across + 1,) ndarray of int64
        Where the pixels of each tile begin.
    places : (N,) ndarray of uint16
        Places of the pixels in their tile, ``y * tile + x``, rising.
    values : (N,) ndarray of uint16
        Their contrast.
    across
        Tiles across.
    tile
        Side of a tile in pixels.
    first
        First tile (down, across), for a part of a slice.
    """

    starts: NDArray[np.int64]
    places: NDArray[np.uint16]
    values: NDArray[np.uint16]
    across: int
    tile: int
    first: tuple[int, int] = (0, 0)

    def part(self, rows: slice, columns: slice) -> "PackedSlice":
        """Cut out the tiles that hold some rows and columns of the slice."""
        (top, bottom), (left, right) = (
            (own.start // self.tile, -(-own.stop // self.tile)) for own in (rows, columns)
        )
        # The tiles of a row lie one after the other.
        ends = [(j * self.across + left, j * self.across + right) for j in range(top, bottom)]
        bounds = [(self.starts[a], self.starts[b]) for a, b in ends]
        counts = np.concatenate([np.diff(self.starts[a : b + 1]) for a, b in ends])
        starts = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        places, values = (np.concatenate([own[a:b] for a, b in bounds]) for own in (self.places, self.values))
        return PackedSlice(starts, places, values, right - left, self.tile, (top, left))

    def seeds(self, level: int) -> "PackedSlice":
        """Return the pixels with at least this contrast alone."""
        kept = self.values >= level
        counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
        return PackedSlice(counts[self.starts], self.places[kept], self.values[kept], self.across, self.tile)


def pack_slice(z: int, source: ArrayLike, detection: Detection, tile: int = TILE) -> PackedSlice:
    """Measure the contrast of slice z of a volume, and pack it."""
    contrast = detection.contrast_slice(np.asarray(source[z]), z)
    return pack_contrast(contrast, detection.level, tile)


def pack_contrast(contrast: NDArray[np.uint16], level: int, tile: int = TILE) -> PackedSlice:
    """Pack the contrast (Y, X) of a slice whose seeds have `level` or more."""
    least = int(np.floor(FRACTION * np.float32(level)))
    down, across = (-(-n // tile) for n in contrast.shape)
    starts = np.zeros(down * across + 1, np.int64)
    np.cumsum(_count(contrast, least, tile, down, across), out=starts[1:])
    places, values = np.empty(starts[-1], np.uint16), np.empty(starts[-1], np.uint16)
    _pack(contrast, least, tile, starts, across, places, values)
    return PackedSlice(starts, places, values, across, tile)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(contrast: Any, least: int, tile: int, down: int, across: int) -> Any:
    """Count the pixels of each tile with at least this contrast."""
    counts, limit = np.zeros(down * across, np.int64), np.uint16(least)
    for y in range(contrast.shape[0]):
        for i in range(across):
            # Rows are cut out first: numba computes several pixels at once only where it knows that they are adjacent.
            row = contrast[y, i * tile : (i + 1) * tile]
            here = np.int32(0)
            for x in range(len(row)):
                here += np.int32(row[x] >= limit)
            counts[y // tile * across + i] += here
    return counts


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _pack(contrast: Any, least: int, tile: int, starts: Any, across: int, places: Any, values: Any) -> None:
    """Write places and contrast of the pixels with at least this contrast."""
    limit = np.uint16(least)
    for number in range(len(starts) - 1):
        n, end = starts[number], starts[number + 1]
        top, left = number // across * tile, number % across * tile
        for y in range(top, min(top + tile, contrast.shape[0])):
            if n == end:
                break
            row = contrast[y, left : left + tile]
            for x in range(len(row)):
                if row[x] >= limit:
                    places[n], values[n] = (y - top) * tile + x, row[x]
                    n += 1
