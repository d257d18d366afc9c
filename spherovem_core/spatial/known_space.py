"""What was measured before in space, found by content, so that only what changed is measured again.

Nothing is taken over because a correction says so, but because the content is the same:

- The distances in a cell depend on its voxels and on which of them lie in a nucleus: on two content hashes, together the cell's
  key. Neither the numbers of cells and nuclei nor other cells matter. The map that is replaced gives them (`KnownDistances`).
- The distances of a particle's centroid depend on the key of its parent cell and on the voxel that holds the centroid.
- Sums over a block (pieces of particles, radial distribution) depend on the values of all arrays in the block, numbers included.
- Parents of nuclei, counts, ranks, nearest neighbours and Ripley's K are always computed from all of these.

The entries hold for one spacing, origin, shape of the volumes, set of parameters and version of the method.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import BOX_COLUMNS, LabelStatistics, collect_label_statistics


@dataclass(frozen=True)
class MaskedLabels:
    """Labels where another volume is not 0, and 0 elsewhere; computed region by region."""

    labels: ArrayLike
    mask: ArrayLike

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of both volumes."""
        return self.labels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return self.labels.dtype

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        labels: NDArray[Any] = np.asarray(self.labels[region])
        return np.where(np.asarray(self.mask[region]) != 0, labels, labels.dtype.type(0))


@dataclass(frozen=True, eq=False)
class CellContents:
    """The cells of a volume with the key of each: the content hash of its voxels and that of those in nuclei."""

    statistics: LabelStatistics
    keys: Sequence[str]

    def table(self) -> pd.DataFrame:
        """Return the keys and the bounding boxes (ends exclusive), one row per cell."""
        boxes = np.hstack([self.statistics.low, self.statistics.high])
        return pd.DataFrame({"key": np.array(self.keys, str), **dict(zip(BOX_COLUMNS, boxes.T, strict=True))})


def find_cells(
    cells: ArrayLike, nuclei: ArrayLike, execution: Execution, *, keyed: bool = True
) -> CellContents:
    """Find the cells in a pass over their volume, and their keys in another pass over both volumes.

    Parameters
    ----------
    keyed
        False leaves the keys out.
    """
    statistics = collect_label_statistics(cells, execution.executor)
    if not keyed:
        return CellContents(statistics, ())
    inside = collect_label_statistics(MaskedLabels(cells, nuclei), execution.executor)
    nucleus = dict(zip(inside.labels.tolist(), inside.hashes, strict=True))
    keys = [
        f"{own}-{nucleus.get(label, 'none')}"
        for label, own in zip(statistics.labels.tolist(), statistics.hashes, strict=True)
    ]
    return CellContents(statistics, keys)


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
    """

    def __init__(
        self,
        values: ArrayLike,
        record: Mapping[str, Any],
        take_over: Callable[[Block], bool] | None = None,
    ) -> None:
        self.values = values
        self.cells = table_from_text(record["cells"])
        self._blocks: Mapping[str, str] = record["blocks"]
        self._digests = RegionDigests(values)
        self._take_over = take_over

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
        "cells": table_to_text(contents.table()),
        "blocks": {block.key: digests.of(block.core) for block in blocks},
    }


@dataclass(eq=False)
class KnownSpace:
    """Measurements by content, and the numbers of those that were taken over.

    Attributes
    ----------
    entries
        Measurements so far. New ones are added at once, so that entries that survive a kill let the next run continue.
    distances
        The map that is replaced; None if there is none.
    used
        Keys of the entries that this run used or added.
    counts
        For each kind of work: number of items that were measured, and of items that were taken over.
    """

    entries: MutableMapping[str, Any] = field(default_factory=dict)
    distances: KnownDistances | None = None
    used: set[str] = field(default_factory=set)
    counts: dict[str, list[int]] = field(default_factory=dict)

    def find(self, key: str) -> Any:
        """Return an entry, or None."""
        found = self.entries.get(key)
        if found is not None:
            self.used.add(key)
        return found

    def add(self, key: str, value: Any) -> None:
        """Keep an entry."""
        self.entries[key] = value
        self.used.add(key)

    def count(self, work: str, measured: int, taken_over: int) -> None:
        """Count items of a kind of work."""
        counts = self.counts.setdefault(work, [0, 0])
        counts[0] += measured
        counts[1] += taken_over


class RegionDigests:
    """Digests of the values of an array in regions.

    Of an array that is stored in shards, whole shards are digested as they are on disk, without decoding them, each once.
    """

    def __init__(self, array: ArrayLike) -> None:
        self._array = array
        self._shards: dict[tuple[int, ...], str] = {}

    def of(self, region: Region) -> str:
        """Return the digest of a region, or of the shards around it. Equal digests mean equal values."""
        stored: Any = self._array
        place = ",".join(f"{s.start}:{s.stop}" for s in region)
        if not hasattr(stored, "shard_digest"):
            values = np.ascontiguousarray(self._array[region])
            return _digest(place.encode(), str(values.dtype).encode(), values.tobytes())
        parts = []
        for index in stored.shards_of(region):
            if index not in self._shards:
                self._shards[index] = stored.shard_digest(index)
            parts.append(self._shards[index])
        return _digest(place.encode(), *(part.encode() for part in parts))


def map_known_blocks(
    function: Callable[..., pd.DataFrame],
    blocks: Sequence[Block],
    arguments: tuple[Any, ...],
    work: str,
    digests: Sequence[tuple[RegionDigests, Callable[[Block], Region]]],
    known: KnownSpace | None,
    execution: Execution,
) -> Iterator[pd.DataFrame]:
    """Call ``function(block, *arguments)`` for every block whose arrays changed, and yield the tables of all in order.

    Parameters
    ----------
    work
        Name of the work in entries and counts.
    digests
        Of each array that the function reads, with the region that it reads for a block.
    known
        Tables of blocks so far; None evaluates all blocks.
    """
    keys: list[str] = []
    changed = blocks
    if known is not None:
        keys = [
            f"{work} {block.key} {_digest(*(d.of(region(block)).encode() for d, region in digests))}"
            for block in blocks
        ]
        changed = [block for block, key in zip(blocks, keys, strict=True) if known.find(key) is None]
        known.count(work, len(changed), len(blocks) - len(changed))
    evaluated = map_blocks(
        function, changed, *arguments, executor=execution.executor, ahead=execution.workers + 2
    )
    fresh = {block.index for block in changed}
    for done, block in enumerate(blocks):
        if known is None:
            yield next(evaluated)[1]
        elif block.index in fresh:
            table = next(evaluated)[1]
            known.add(keys[done], table_to_text(table))
            yield table
        else:
            yield table_from_text(known.find(keys[done]))
        execution.report(done + 1, len(blocks))


def table_to_text(table: pd.DataFrame) -> str:
    """Encode a table as compressed text for a ledger; columns of text become those of fixed length."""
    file = BytesIO()
    columns: Mapping[str, Any] = {
        str(name): values.to_numpy(str if values.dtype in ("object", "str") else None)
        for name, values in table.items()
    }
    np.savez_compressed(file, **columns)
    return b64encode(file.getvalue()).decode()


def table_from_text(text: str) -> pd.DataFrame:
    """Decode the text of `table_to_text`."""
    with np.load(BytesIO(b64decode(text))) as columns:
        return pd.DataFrame(dict(columns))


def _digest(*parts: bytes) -> str:
    return blake2b(b"\n".join(parts), digest_size=16).hexdigest()
