"""Uncertainty of a segmentation in tiles of a volume, by which slices for labelling are placed."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, block_grid, map_blocks
from spherovem_core.segmentation.dynamics import FLOW_LENGTH
from spherovem_core.segmentation.grid import Grid, PlacedArray, grid_of

TILE = 8
"""Voxels of the network's grid along the side of a tile: a map of tiles fits memory for any volume."""
BLOCK_TILES = 16
AGREED_LENGTH = 2 * FLOW_LENGTH
"""Least length of the sum of flows from three directions that agree; of those of sections, which are doubled."""


UNCERTAINTY = "uncertainty"
"""Name under which the tiles of a discarded field are kept."""


def uncertainty_tiles(field: ArrayLike) -> NDArray[np.float32]:
    """Measure the mean uncertainty of a network in each tile.

    Parameters
    ----------
    field : (C, Z, Y, X) array
        Field of a segmenter: flows, and as its last channel the logit of the foreground. It is read once, in blocks.

    Returns
    -------
    (⌈Z/8⌉, ⌈Y/8⌉, ⌈X/8⌉) ndarray of float32
        Mean over the tile, from 0 (certain) to 1 (undecided), of ``e + (1 - e) p s``. ``e`` is the entropy of the foreground
        probability ``p`` in bits (uncertainty sampling, Lewis and Gale 1994), ``s`` the fraction of their length that the flows
        lack: they are short where the planes of the three directions disagree, and where the network, undecided between
        directions, predicts their mean. Where objects touch, the foreground is certain and the flows alone tell.
    """
    shape = field.shape[-3:]
    tiles = np.zeros(tuple(-(-n // TILE) for n in shape), np.float32)
    blocks = block_grid(shape, (TILE * BLOCK_TILES,) * 3)
    for block, means in map_blocks(_uncertainty_of_block, blocks, field):
        tiles[tuple(slice(s.start // TILE, -(-s.stop // TILE)) for s in block.core)] = means
    return tiles


def object_tiles(labels: PlacedArray, chosen: Collection[int], grid: Grid) -> NDArray[np.float32]:
    """Measure the fraction of each tile of a grid that chosen objects fill.

    Parameters
    ----------
    labels : (Z, Y, X) array
        Instance labels on any grid over the same volume. They are read once, in blocks.
    chosen
        Numbers of the objects.
    grid
        Grid of the network; tiles have 8 of its voxels along each side.

    Returns
    -------
    ndarray of float32
        As `uncertainty_tiles` of a field on `grid`; a tile into which no voxel of the labels falls has 0.
    """
    numbers = np.array(sorted(chosen), np.int64)
    tiles = tuple(-(-n // TILE) for n in grid.shape)
    filled, voxels = np.zeros(tiles), np.zeros(tiles)
    own = grid_of(labels)
    place = [
        np.clip(
            (np.floor((o + s * np.arange(n) - first) / step + 0.5) // TILE).astype(np.int64), 0, count - 1
        )
        for n, o, s, first, step, count in zip(
            own.shape, own.origin_nm, own.spacing_nm, grid.origin_nm, grid.spacing_nm, tiles, strict=True
        )
    ]
    for block in block_grid(own.shape, (TILE * BLOCK_TILES,) * 3):
        inside = np.isin(labels[block.core], numbers)
        corner = np.ix_(*(axis[side] for axis, side in zip(place, block.core, strict=True)))
        index = np.ravel_multi_index(np.broadcast_arrays(*corner), tiles)
        np.add.at(voxels.reshape(-1), index.reshape(-1), 1)
        np.add.at(filled.reshape(-1), index[inside], 1)
    return (filled / np.maximum(voxels, 1)).astype(np.float32)


def _uncertainty_of_block(block: Block, field: ArrayLike) -> NDArray[np.float32]:
    values = np.asarray(field[(slice(None), *block.core)], np.float32)
    logit = values[-1]
    probability = 1 / (1 + np.exp(-np.abs(logit)))
    # With probability >= 0.5 the other one never loses its digits; at 1 the second term is 0.
    other = np.maximum(1 - probability, np.finfo(np.float32).tiny)
    entropy = -(probability * np.log2(probability) + other * np.log2(other))
    if len(values) == 1:
        return _means(entropy)
    length = np.sqrt((values[:-1] ** 2).sum(axis=0))
    missing = np.maximum(1 - length / AGREED_LENGTH, 0) * np.where(logit > 0, probability, other)
    return _means(entropy + (1 - entropy) * missing)


def _means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average over tiles; a tile at the end of the array over the voxels that it has."""
    for axis, extent in enumerate(values.shape):
        starts = np.arange(0, extent, TILE)
        counts = np.diff(starts, append=extent).astype(np.float32)
        sides = [1, 1, 1]
        sides[axis] = -1
        values = (np.add.reduceat(values, starts, axis=axis) / counts.reshape(sides)).astype(np.float32)
    return values
