"""Overlaps of two label volumes: voxel counts and content hashes of each pair of labels, in one pass over both."""

from typing import Any

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, block_grid
from spherovem_core.execution import Execution
from spherovem_core.known_blocks import KnownResults, RegionDigests, map_known_blocks
from spherovem_core.label_runs import find_label_runs
from spherovem_core.label_statistics import BLOCK_EDGE, SEEDS, hash_run, row_key

COLUMNS = {
    "label": np.int64,
    "other": np.int64,
    "voxels": np.int64,
    "first_hash": np.uint64,
    "second_hash": np.uint64,
}


def collect_pair_statistics(
    labels: ArrayLike,
    others: ArrayLike,
    execution: Execution,
    *,
    known: KnownResults | None = None,
    work: str = "pairs of labels",
) -> pd.DataFrame:
    """Measure the overlap of every label with every label of another volume, block by block.

    Parameters
    ----------
    labels, others : (Z, Y, X) array-likes of unsigned integers, of one shape
        Instance labels, 0 is background. Blocks without any of `labels` are not read in the other volume.
    execution
        Its executor maps blocks. Runs on the CPU (numba).
    known
        Statistics of blocks so far. Blocks in which nothing changed are not read.
    work
        Name of this work in `known`.

    Returns
    -------
    DataFrame
        One row per pair, sorted: ``label``, without 0; ``other``, 0 where none lies there; ``voxels`` of both; and
        ``first_hash`` and ``second_hash``, the two numbers of the content hash of these voxels as in
        `spherovem_core.label_statistics.LabelStatistics`. Hashes of pairs of one label add up to that of all their voxels.
    """
    blocks = block_grid(labels.shape, (BLOCK_EDGE,) * 3)
    digests = RegionDigests(labels, others)
    found = [pd.DataFrame({name: np.empty(0, kind) for name, kind in COLUMNS.items()})]
    results = map_known_blocks(
        _scan_pairs,
        blocks,
        (labels, others),
        work,
        lambda block: digests.of(block.core),
        known,
        execution.executor,
        execution.workers + 2,
    )
    for done, columns in enumerate(results, 1):
        if len(columns["label"]):
            found.append(pd.DataFrame(dict(columns)))
        execution.report(done, len(blocks))
    return _add_up(pd.concat(found, ignore_index=True))


def sum_hashes(table: pd.DataFrame, column: str) -> dict[int, tuple[int, int]]:
    """Add up the content hashes of pairs by one of their labels."""
    added = table.groupby(column)[["first_hash", "second_hash"]].sum()
    return {
        int(label): (int(first), int(second))
        for label, first, second in zip(added.index, added["first_hash"], added["second_hash"], strict=True)
    }


def _scan_pairs(block: Block, labels: ArrayLike, others: ArrayLike) -> dict[str, NDArray[Any]]:
    own = np.ascontiguousarray(labels[block.core], np.uint32)
    if not own.any():
        return {name: np.empty(0, kind) for name, kind in COLUMNS.items()}
    other = np.ascontiguousarray(others[block.core], np.uint32)
    start, length = find_label_runs(own, other)
    inside = own.reshape(-1)[start] > 0
    start, length = start[inside], length[inside]
    corner = np.array([side.start for side in block.core])
    table = pd.DataFrame(
        {
            "label": own.reshape(-1)[start].astype(np.int64),
            "other": other.reshape(-1)[start].astype(np.int64),
            "voxels": length,
            **dict(
                zip(
                    ("first_hash", "second_hash"),
                    _hash_runs(start, length, corner, np.array(own.shape)),
                    strict=True,
                )
            ),
        }
    )
    added = _add_up(table)
    return {name: added[name].to_numpy() for name in COLUMNS}


def _add_up(table: pd.DataFrame) -> pd.DataFrame:
    """Add up the rows of each pair; sums of hashes are taken modulo 2⁶⁴."""
    return table.groupby(["label", "other"], as_index=False).sum()


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _hash_runs(start: Any, length: Any, corner: Any, shape: Any) -> Any:
    """Hash runs along x, given by the flat index of their first voxel in a block and by their length."""
    first, second = np.empty(len(start), np.uint64), np.empty(len(start), np.uint64)
    for i in range(len(start)):
        line, x = start[i] // shape[2], start[i] % shape[2] + corner[2]
        z, y = line // shape[1] + corner[0], line % shape[1] + corner[1]
        first[i] = hash_run(row_key(z, y, SEEDS[0]), x, x + length[i])
        second[i] = hash_run(row_key(z, y, SEEDS[1]), x, x + length[i])
    return first, second
