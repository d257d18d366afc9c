"""Background that one supervoxel encloses within a block."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.segmentation.block_statistics import BlockStatistics


def close_pockets(
    statistics: BlockStatistics, core: Region, offset: int
) -> tuple[BlockStatistics, NDArray[np.uint32]]:
    """Give background enclosed by one supervoxel within a block to that supervoxel.

    `find_enclosed_background` would give it to the same object later; closed here, it needs no place in the ledger.

    Returns
    -------
    BlockStatistics, (N,) ndarray of uint32
        Statistics of the remaining supervoxels, and the new number of each supervoxel of the block.
    """
    closed, owners = _find_pockets(statistics, core, offset)
    kept = np.ones(len(statistics), bool)
    kept[closed] = False
    numbers = (np.cumsum(kept) - 1 + offset).astype(np.uint32)
    numbers[closed] = numbers[owners]
    counts, sums = statistics.counts.copy(), statistics.sums.copy()
    np.add.at(counts, owners, statistics.counts[closed])
    np.add.at(sums, owners, statistics.sums[closed])
    open_pairs = np.isin(statistics.pairs - offset, closed, invert=True).all(axis=1)
    pairs = statistics.pairs[open_pairs]
    own = pairs >= offset
    pairs[own] = numbers[pairs[own] - offset]
    remaining = replace(
        statistics,
        background=statistics.background[kept],
        counts=counts[kept],
        firsts=statistics.firsts[kept],
        boxes=statistics.boxes[kept],
        border=statistics.border[kept],
        sums=sums[kept],
        pairs=pairs,
        faces=statistics.faces[open_pairs],
        contact_sums=statistics.contact_sums[open_pairs],
    )
    return remaining, numbers


def _find_pockets(
    statistics: BlockStatistics, core: Region, offset: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find background that touches one supervoxel alone and no face of the block; return it and its owners."""
    low, high = np.array([c.start for c in core]), np.array([c.stop for c in core])
    inside = ((statistics.boxes[:, :3] > low) & (statistics.boxes[:, 3:] < high)).all(axis=1)
    degree = np.zeros(len(statistics), np.int64)
    neighbour = np.zeros(len(statistics), np.int64)
    for here, there in ((0, 1), (1, 0)):
        own = statistics.pairs[:, here] >= offset
        np.add.at(degree, statistics.pairs[own, here] - offset, 1)
        neighbour[statistics.pairs[own, here] - offset] = statistics.pairs[own, there]
    closed = np.flatnonzero(statistics.background & inside & (degree == 1))
    return closed, neighbour[closed] - offset
