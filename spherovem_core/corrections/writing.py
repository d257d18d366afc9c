"""Corrected labels on disk: blocks that no operation touched are copied as files, the others written again."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, Region, block_grid, map_blocks
from spherovem_core.corrections.application import Replay, replay
from spherovem_core.corrections.canvas import LabelCanvas
from spherovem_core.corrections.grid import LabelGrid
from spherovem_core.corrections.journal import Entry
from spherovem_core.corrections.label_index import load_index
from spherovem_core.corrections.painted_labels import PaintedLabels, blocks_in
from spherovem_core.corrections.split_cache import SplitCache
from spherovem_core.execution import Execution
from spherovem_core.store import ArrayWriter, Layout, LikeGroup, StoredArray, discard
from spherovem_core.store.layout import CorrectedKind


def apply_journal(
    kind: CorrectedKind,
    automatic: StoredArray,
    group: str,
    entries: Sequence[Entry],
    writer: ArrayWriter,
    execution: Execution,
) -> tuple[Replay, LikeGroup]:
    """Write the labels as operations leave them.

    Only blocks that an operation touched are decoded and written; memory holds a few blocks, and the box of one object at a time.
    A killed run continues with the blocks that the writer's ledger lacks.

    Parameters
    ----------
    kind
        Kind of object.
    automatic
        Labels before the first operation.
    group
        Group of them in the same volume.
    entries
        Operations that count, in order.
    writer
        Takes the corrected labels, of the shape and grid of the automatic ones.
    execution
        Executor, deadline and progress.

    Returns
    -------
    replay
        What became of each operation, and the index of the labels. The labels themselves are those that were written.
    like
        For `finish_multiscale`: the pyramid of the automatic labels, and where it differs.
    """
    layout = writer.layout
    with_blocks = _empty_folder(layout, layout.repainted(kind))
    index = load_index(layout.label_index(kind), automatic, automatic.digest, execution.executor)
    grid = LabelGrid(automatic.shape, automatic.spacing_nm, automatic.origin_nm)
    total = len(entries) + len(block_grid(automatic.shape, writer.spec.shards))

    def report(done: int, _: int) -> None:
        execution.report(done, total)

    splits = SplitCache(layout.splits(kind))
    found = replay(automatic, grid, entries, index=index, folder=with_blocks, splits=splits, report=report)
    splits.drop_unused()
    like = LikeGroup(layout, group, _differs(found.canvas))
    blocks = like.copy(writer, writer.pending(block_grid(writer.spec.shape, writer.spec.shards)))
    done = total - len(blocks)
    results = map_blocks(_read_block, blocks, found.canvas.labels, executor=execution.executor)
    for block, values in results:
        writer.write(block, values)
        done += 1
        report(done, total)
    discard(layout, with_blocks)
    return found, like


def _differs(canvas: LabelCanvas) -> "Differs":
    return Differs(frozenset(canvas.changed_blocks()))


class Differs:
    """Test of regions for blocks that an operation changed."""

    def __init__(self, changed: frozenset[tuple[int, int, int]]) -> None:
        self.changed = changed

    def __call__(self, region: Region) -> bool:
        """Return whether the region touches such a block."""
        return any(place in self.changed for place, _, _ in blocks_in(region))


def _read_block(block: Block, labels: PaintedLabels) -> NDArray[np.uint32]:
    return labels[block.core]


def _empty_folder(layout: Layout, folder: Path) -> Path:
    """Make an empty folder; a killed run may have left one."""
    discard(layout, folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
