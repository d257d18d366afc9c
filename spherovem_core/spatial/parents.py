"""Parent cell of each nucleus or particle: the cell that holds most of it."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.label_runs import find_label_runs
from spherovem_core.spatial.grids import SAME_GRID, SERIAL, Factors, GridPair, pair_grids


def assign_parent_cells(
    labels: ArrayLike,
    cells: ArrayLike,
    *,
    factors: Factors = SAME_GRID,
    min_fraction: float = 0.0,
    execution: Execution = SERIAL,
    overlaps: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Find the cell that holds most of each label.

    Parameters
    ----------
    labels, cells : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background; read block by block.
    factors
        Voxels of `labels` per voxel of `cells` along z, y, x.
    min_fraction
        Fraction of a label's voxels that its parent must hold.
    execution
        Its executor maps blocks. Runs on the CPU.
    overlaps
        One row per label and cell, with ``voxels``; None reads the volumes for them.

    Returns
    -------
    DataFrame
        One row per label, rising: ``label``; ``parent_cell``, the cell that holds most of its voxels (the smaller of equals;
        0 if it meets no cell or no cell holds the fraction `min_fraction`); ``parent_fraction``, the fraction of its voxels in
        the cell that holds most, also if that is less than `min_fraction`.

    Raises
    ------
    ShapeMismatchError
        If the two label volumes do not cover one region.
    """
    if overlaps is None:
        overlaps = _count_overlaps(labels, cells, factors, execution)
    return choose_parents(overlaps, min_fraction)[["label", "parent_cell", "parent_fraction"]]


def _count_overlaps(
    labels: ArrayLike, cells: ArrayLike, factors: Factors, execution: Execution
) -> pd.DataFrame:
    grids = pair_grids(labels, cells, factors, "labels and cells")
    blocks = grids.blocks()
    ahead = execution.workers + 2
    found = []
    for done, (_, table) in enumerate(
        map_blocks(
            _overlaps_of_block, blocks, labels, cells, grids, executor=execution.executor, ahead=ahead
        ),
        1,
    ):
        found.append(table)
        execution.report(done, len(blocks))
    return pd.concat(found).groupby(["label", "cell"], as_index=False).sum()


def choose_parents(overlaps: pd.DataFrame, min_fraction: float) -> pd.DataFrame:
    """Choose for each label the cell of the largest overlap.

    Parameters
    ----------
    overlaps
        Columns ``label``, ``cell`` (0: background), ``voxels`` and any others; one row per pair of label and cell.
    min_fraction
        Fraction of a label's voxels that its parent must hold.

    Returns
    -------
    DataFrame
        The chosen row of each label, rising, with ``parent_cell``, ``parent_fraction`` and ``parts``, the number of voxels of
        the label. ``cell`` is the cell that holds most, even if that is less than `min_fraction`; 0 if the label meets no cell.
    """
    ordered = overlaps.assign(
        in_cell=overlaps["cell"] > 0, parts=overlaps.groupby("label")["voxels"].transform("sum")
    ).sort_values(["label", "in_cell", "voxels", "cell"], ascending=[True, False, False, True])
    best = ordered.drop_duplicates("label").drop(columns="in_cell").reset_index(drop=True)
    fraction = (best["voxels"] / best["parts"]).where(best["cell"] > 0, 0.0)
    parent = best["cell"].where(fraction >= min_fraction, 0).astype(np.uint32)
    return best.assign(label=best["label"].astype(np.uint32), parent_cell=parent, parent_fraction=fraction)


def _overlaps_of_block(block: Block, labels: ArrayLike, cells: ArrayLike, grids: GridPair) -> pd.DataFrame:
    values = np.asarray(labels[block.core])
    if not values.any():
        return overlap_table(np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0, np.int64))
    region, index = grids.gather(block, tuple(np.arange(n) for n in values.shape))
    around = np.asarray(cells[region])
    if grids.factors != SAME_GRID:
        around = around[np.ix_(*index)]
    start, length = find_label_runs(values, around)
    return overlap_table(values.ravel()[start], around.ravel()[start], length)


def overlap_table(
    labels: NDArray[np.unsignedinteger], cells: NDArray[np.unsignedinteger], voxels: NDArray[np.int64]
) -> pd.DataFrame:
    """Sum the voxels of each pair of label and cell, without label 0."""
    known = labels > 0
    table = pd.DataFrame(
        {
            "label": labels[known].astype(np.int64),
            "cell": cells[known].astype(np.int64),
            "voxels": voxels[known],
        }
    )
    return table.groupby(["label", "cell"], as_index=False).sum()
