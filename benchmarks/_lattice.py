"""Lattice of cubic cells of any size, computed when it is read: ideal flows, and an image with membranes."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import Block

PITCH = 48
GAP = 1.5
SPACING = (50.0, 50.0, 50.0)


class LatticeFlows:
    """Ideal flows of cubic cells with background between them; `split` cuts each cell in two along x.

    The flows of a half lead to its own centre; the probability does not separate the halves.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, side: int, split: bool = False) -> None:
        self.shape = (4, side, side, side)
        self.split = split

    def __getitem__(self, region: Any) -> NDArray[np.float16]:
        index = region if isinstance(region, tuple) else (region,)
        components = index[0]
        places = [np.arange(*s.indices(n)) for s, n in zip(index[1:], self.shape[1:], strict=True)]
        dz, dy, dx = np.meshgrid(*(_away(place) for place in places), indexing="ij", sparse=True)
        logit = PITCH / 2 - GAP - np.maximum(np.maximum(abs(dz), abs(dy)), abs(dx))
        if isinstance(components, int):
            assert components == 3
            return logit.astype(np.float16)
        if self.split:
            dx = dx - np.where(dx > 0, 1, -1) * (PITCH / 4 - GAP / 2)
        length = np.maximum(np.sqrt(dz**2 + dy**2 + dx**2), 1) / 5
        maps = np.empty((4, *length.shape), np.float16)
        for n, away in enumerate((dz, dy, dx)):
            maps[n] = away / length
        maps[3] = logit
        return maps[components]

    def whole(self) -> NDArray[np.float16]:
        """Compute the whole array in memory."""
        return self[(slice(0, 4), *(slice(0, n) for n in self.shape[1:]))]


class LatticeImage:
    """Grey cells with dark gaps, and noise that depends only on the position of a voxel."""

    dtype = np.dtype(np.uint8)

    def __init__(self, side: int) -> None:
        self.shape = (side, side, side)

    def __getitem__(self, region: Any) -> NDArray[np.uint8]:
        places = [np.arange(*s.indices(n)) for s, n in zip(region, self.shape, strict=True)]
        dz, dy, dx = np.meshgrid(*(abs(_away(place)) for place in places), indexing="ij", sparse=True)
        inside = np.maximum(np.maximum(dz, dy), dx) < PITCH / 2 - GAP
        z, y, x = np.meshgrid(*places, indexing="ij", sparse=True)
        noise = (z * 7919 + y * 104729 + x * 1299709) % 17 - 8
        return np.where(inside, 128 + noise, 60 + noise).astype(np.uint8)


class ZarrSink:
    """Block sink on a zarr array in a temporary folder."""

    def __init__(self, folder: Path, side: int) -> None:
        self.array = zarr.create_array(
            folder, shape=(side,) * 3, dtype="uint32", chunks=(64,) * 3, shards=(128,) * 3
        )

    def pending(self, blocks: list[Block]) -> list[Block]:
        """Return all blocks, because the folder is new."""
        return blocks

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Write the block's core."""
        self.array[block.core] = values


def cells_of(side: int) -> int:
    """Count the cells in a lattice of this side, including those cut by its border."""
    return int((-(-side // PITCH)) ** 3)


def _away(place: NDArray[np.int64]) -> NDArray[np.float32]:
    """Compute the signed distance to the middle of the cell."""
    return ((PITCH - 1) / 2 - place % PITCH).astype(np.float32)
