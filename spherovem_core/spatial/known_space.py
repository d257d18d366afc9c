"""Earlier spatial measurements, found by content, so that only what changed is measured again.

Nothing is taken over because a correction says so, but because the content is the same:

- The distances in a cell depend on its voxels and on which of them lie in a nucleus: on two content hashes, together the cell's
  key. Neither the numbers of cells and nuclei nor other cells matter. The map that is replaced gives them (`KnownDistances`).
- The distances of a particle's centroid depend on the key of its parent cell and on the voxel that holds the centroid.
- The volume of a cell at each distance to its nucleus depends on the cell's key.
- The piece of a contact in a block depends on the labels around its faces (`spherovem_core.spatial.contact_changes`).
- The least depth of a cell depends on its content, and on the surface of the specimen.
- Sums over a block (statistics, overlaps, pieces of particles and their distances) depend on the values of all arrays in it,
  numbers included.
- Nearest neighbours depend on all centroids.
- Counts at random places in a cell depend on its key and on its particles, and on the rule of admissible places, which is chosen
  by the particles of many cells; their random numbers come from the content of the cell.
- Parents, counts and ranks are always computed from all of these.

The entries hold for one spacing, origin, shape of the volumes, set of parameters and version of the method.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block
from spherovem_core.execution import Execution
from spherovem_core.known_blocks import (
    Columns,
    KnownResults,
    RegionDigests,
    columns_from_text,
    columns_to_text,
)
from spherovem_core.label_pair_statistics import collect_pair_statistics, sum_hashes
from spherovem_core.label_statistics import BOX_COLUMNS, LabelStatistics, collect_label_statistics

NUCLEUS_BLOCKS = "blocks of nuclei"
"""Name of the overlaps of nuclei and cells among the known results."""


Distances = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CellContents:
    """The cells of a volume.

    Attributes
    ----------
    statistics
        Their statistics.
    keys
        Key of each cell: the content hash of its voxels and that of those in nuclei. Empty if it was not asked for.
    overlaps
        One row per nucleus and cell (0: none): ``label``, ``cell``, ``voxels``. None without keys.
    """

    statistics: LabelStatistics
    keys: Sequence[str]
    overlaps: pd.DataFrame | None = None

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the keys and the bounding boxes (ends exclusive), one element per cell."""
        boxes = np.hstack([self.statistics.low, self.statistics.high])
        return {"key": np.array(self.keys, str), **dict(zip(BOX_COLUMNS, boxes.T, strict=True))}


def find_cells(
    cells: ArrayLike,
    nuclei: ArrayLike,
    execution: Execution,
    *,
    keyed: bool = True,
    known: KnownResults | None = None,
) -> CellContents:
    """Find the cells in a pass over their volume, and their keys in another pass over both volumes.

    Parameters
    ----------
    keyed
        False leaves keys and overlaps out.
    known
        Statistics of blocks so far; blocks in which nothing changed are not read.
    """
    statistics = collect_label_statistics(cells, execution.executor, known=known)
    if not keyed:
        return CellContents(statistics, ())
    pairs = collect_pair_statistics(nuclei, cells, execution, known=known, work=NUCLEUS_BLOCKS)
    nucleus = sum_hashes(pairs, "other")
    keys = []
    for label, own in zip(statistics.labels.tolist(), statistics.hashes, strict=True):
        first, second = nucleus.get(label, (None, None))
        keys.append(f"{own}-none" if first is None else f"{own}-{first:016x}{second:016x}")
    overlaps = pairs.rename(columns={"other": "cell"})[["label", "cell", "voxels"]]
    return CellContents(statistics, keys, overlaps)


class KnownDistances:
    """A map of distances that was written before on the same grid, and the cells that it holds.

    Parameters
    ----------
    values : (Z, Y, X) array-like of float32
        The map.
    record
        What `record_distances` recorded of it. Blocks that differ from it are not used.
    take_over
        Copies a block of the map to the new one; returns False where it cannot. None for a sink that cannot.
    write_changes
        Writes the values of a block to the new map, with those of this map beside them. None for a sink that cannot.
    """

    def __init__(
        self,
        values: ArrayLike,
        record: Mapping[str, Any],
        take_over: Callable[[Block], bool] | None = None,
        write_changes: Callable[[Block, Distances, Distances], None] | None = None,
    ) -> None:
        self.values = values
        self.cells = pd.DataFrame(columns_from_text(record["cells"]))
        self._blocks: Mapping[str, str] = record["blocks"]
        self._digests = RegionDigests(values)
        self._take_over = take_over
        self.write_changes = write_changes

    def is_intact(self, block: Block) -> bool:
        """Return whether the map holds in a block what was recorded."""
        return self._blocks.get(block.key) == self._digests.of(block.core)

    def copy(self, block: Block) -> bool:
        """Copy a block to the new map as it is; return False where that is not possible."""
        return self._take_over is not None and self._take_over(block)


def record_distances(
    contents: CellContents, distance: ArrayLike, blocks: Sequence[Block]
) -> Mapping[str, Any]:
    """Record, as JSON, the cells whose distances a map holds, and the digest of each of its blocks."""
    digests = RegionDigests(distance)
    return {
        "cells": columns_to_text(contents.columns()),
        "blocks": {block.key: digests.of(block.core) for block in blocks},
    }


@dataclass(eq=False)
class KnownSpace(KnownResults):
    """Measurements by content.

    Attributes
    ----------
    distances
        The map that is replaced; None if there is none.
    """

    distances: KnownDistances | None = None


def table_columns(table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the columns of a table of numbers."""
    return {str(name): table[name].to_numpy() for name in table.columns}


def known_columns(known: KnownSpace | None, key: str, compute: Callable[[], Columns]) -> Columns:
    """Return arrays that an earlier run computed under a key, or compute them."""
    if known is None:
        return compute()
    text = known.find(key)
    if text is None:
        text = columns_to_text(compute())
        known.add(key, text)
    return columns_from_text(text)
