"""Voxels of each cell by distance to the nucleus, found by the cell's content, so that unchanged cells are not read again."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.spatial.distance_bins import find_bins
from spherovem_core.spatial.known_space import CellContents, KnownSpace

Bins = list[list[int]]
"""Bins of distance with voxels, and the number of voxels in each."""


def bins_entry(key: str) -> str:
    """Return the name under which the bins of a cell of this key are known."""
    return f"bins {key}"


def count_in_cell(distance: NDArray[np.float32], width: float) -> Bins:
    """Count the voxels of one cell by distance; NaN outside the cell."""
    voxels = np.bincount(find_bins(distance[np.isfinite(distance)], width))
    bins = np.flatnonzero(voxels)
    return [bins.tolist(), voxels[bins].tolist()]


def known_cell_bins(
    contents: CellContents,
    cells: ArrayLike,
    distance: ArrayLike,
    width: float,
    execution: Execution,
    known: KnownSpace,
) -> pd.DataFrame:
    """Return the voxels of each cell by distance: those of known cells, and of the others as they are counted.

    `write_distance_map` counts the cells that it computes. Cells are read here if their distances were taken over or written by a
    killed run, and an older record of measurements does not name their bins.
    """
    found, todo = {}, []
    for row, (label, key) in enumerate(zip(contents.statistics.labels.tolist(), contents.keys, strict=True)):
        bins = known.find(bins_entry(key))
        if bins is None:
            todo.append((label, contents.statistics.region(row)))
        else:
            found[label] = bins
    keys = dict(zip(contents.statistics.labels.tolist(), contents.keys, strict=True))
    shared = (cells, distance, width)
    ahead = execution.workers + 1
    counted = map_blocks(_count_cell, todo, *shared, executor=execution.executor, ahead=ahead)
    for done, ((label, _), bins) in enumerate(counted, 1):
        known.add(bins_entry(keys[label]), bins)
        found[label] = bins
        execution.report(done, len(todo))
    columns = [
        np.repeat(np.array(list(found), np.int64), [len(bins) for bins, _ in found.values()]),
        *(np.array([each for pair in found.values() for each in pair[part]], np.int64) for part in (0, 1)),
    ]
    return pd.DataFrame(dict(zip(("cell", "bin", "voxels"), columns, strict=True)))


def _count_cell(cell: tuple[int, Region], cells: ArrayLike, distance: ArrayLike, width: float) -> Bins:
    label, region = cell
    inside = np.asarray(cells[region]) == label
    return count_in_cell(np.where(inside, np.asarray(distance[region]), np.float32(np.nan)), width)
