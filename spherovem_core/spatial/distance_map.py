"""Map of the distance to the nucleus, written block by block for a volume that does not fit in memory."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, Region, corners, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import BOX_COLUMNS, LabelStatistics
from spherovem_core.rounding import round_to
from spherovem_core.spacing import SpacingNm
from spherovem_core.spatial.cell_bins import Bins, bins_entry, count_in_cell
from spherovem_core.spatial.cell_distance import keep_in_cells
from spherovem_core.spatial.distance import distance_in_cell, distance_step_um
from spherovem_core.spatial.grids import SERIAL, check_same_grid
from spherovem_core.spatial.known_space import (
    CellContents,
    Distances,
    KnownSpace,
    find_cells,
)
from spherovem_core.utils.accelerator import accelerator

CACHE_BYTES = 1 << 30
COLUMN_BLOCKS = 4

Cell = tuple[int, Region]
Plan = list[tuple[Block, list[int], list[int]]]


def write_distance_map(
    nuclei: ArrayLike,
    cells: ArrayLike,
    spacing_nm: SpacingNm,
    sink: BlockSink,
    blocks: Sequence[Block],
    execution: Execution = SERIAL,
    *,
    cache_bytes: int = CACHE_BYTES,
    contents: CellContents | None = None,
    known: KnownSpace | None = None,
    bin_um: float | None = None,
) -> None:
    """Write the map of `distance_to_nucleus`, rounded to `distance_step_um`, in bounded memory.

    The executor computes whole cells, and the calling thread joins them to blocks. Finished cells stay in a cache until it is
    full. Blocks are written in columns along z, four by four blocks wide, so that most cells are computed once and cells on
    the sides of a column twice. The cache is planned ahead from the boxes of the cells. The distances of a cell are computed
    on the execution's device.

    Parameters
    ----------
    nuclei, cells : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    sink
        Takes the blocks; blocks that it already holds are not computed again.
    blocks
        Blocks that cover the volume, aligned to the files of the sink.
    execution
        Executor, device, deadline and progress.
    cache_bytes
        Memory for the distances of finished cells; the cells in computation need more.
    contents
        The cells and their keys, if they are known; None reads the volumes for them.
    known
        Its map, if any, gives the distances in cells whose keys it holds; the others are computed.
    bin_um
        Width of the bins of distance in which the voxels of the computed cells are counted, for `known`; None counts none.

    Raises
    ------
    ShapeMismatchError
        If the two label volumes differ in shape.
    """
    check_same_grid(nuclei=nuclei, cells=cells)
    with accelerator(execution.device) as gpu:
        contents = contents or find_cells(cells, nuclei, execution, keyed=known is not None)
        _write(
            nuclei,
            cells,
            spacing_nm,
            sink,
            blocks,
            execution,
            cache_bytes,
            gpu.device,
            contents,
            known or KnownSpace(),
            None if known is None else bin_um,
        )


def _write(
    nuclei: ArrayLike,
    cells: ArrayLike,
    spacing_nm: SpacingNm,
    sink: BlockSink,
    blocks: Sequence[Block],
    execution: Execution,
    cache_bytes: int,
    device: str,
    contents: CellContents,
    known: KnownSpace,
    bin_um: float | None,
) -> None:
    boxes = contents.statistics
    kept, gone = _compare(contents, known, blocks)
    ordered = sorted(sink.pending(blocks), key=_column_order)
    finished = 0
    pending = []
    for block in ordered:
        if _copy(block, boxes, kept, gone, known):
            finished += 1
            execution.report(finished, len(ordered))
        else:
            pending.append(block)
    plan = _plan(pending, boxes, ~kept, cache_bytes)
    todo = [(int(boxes.labels[row]), boxes.region(row)) for _, rows, _ in plan for row in rows]
    known.count("cells", len({label for label, _ in todo}), int(kept.sum()))
    computed = map_blocks(
        _distance_and_bins,
        todo,
        nuclei,
        cells,
        spacing_nm,
        device,
        bin_um,
        executor=execution.executor,
        ahead=execution.workers + 1,
    )
    partly_kept = [(block, boxes.labels[_touching(block, boxes, kept)]) for block in pending]
    before = map_blocks(
        _kept_values,
        [(block, labels) for block, labels in partly_kept if len(labels)],
        cells,
        None if known.distances is None else known.distances.values,
        executor=execution.executor,
        ahead=execution.workers + 1,
    )
    distances = _noting_bins(computed, contents, known, bin_um)
    for block, values, replaced in _join_cells(plan, boxes, ~kept, distances, before):
        _write_block(sink, known, block, values, replaced)
        finished += 1
        execution.report(finished, len(ordered))


def _write_block(
    sink: BlockSink, known: KnownSpace, block: Block, values: Distances, replaced: Distances | None
) -> None:
    """Write a block, beside its values in the replaced map if these were read."""
    if replaced is None or known.distances is None or known.distances.write_changes is None:
        sink.write(block, values)
    else:
        known.distances.write_changes(block, values, replaced)


def _distance_and_bins(
    cell: Cell,
    nuclei: ArrayLike,
    cells: ArrayLike,
    spacing_nm: SpacingNm,
    device: str,
    bin_um: float | None,
) -> tuple[NDArray[np.float32] | None, Bins]:
    """Measure the distances in a cell, round them, and count its voxels by distance while they are there."""
    found = distance_in_cell(cell, nuclei, cells, spacing_nm, device)
    if found is not None:
        found = round_to(found, distance_step_um(spacing_nm))
    return found, [[], []] if found is None or bin_um is None else count_in_cell(found, bin_um)


def _noting_bins(
    computed: Iterator[tuple[Cell, tuple[NDArray[np.float32] | None, Bins]]],
    contents: CellContents,
    known: KnownSpace,
    bin_um: float | None,
) -> Iterator[tuple[Cell, NDArray[np.float32] | None]]:
    keys = dict(zip(contents.statistics.labels.tolist(), contents.keys, strict=False))
    for cell, (distance, bins) in computed:
        if bin_um is not None:
            known.add(bins_entry(keys[cell[0]]), bins)
        yield cell, distance


def _compare(
    contents: CellContents, known: KnownSpace, blocks: Sequence[Block]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Mark the cells whose distances the known map holds, and return the boxes (N, 6) of those cells of it that are gone."""
    kept = np.zeros(len(contents.statistics), np.bool_)
    if known.distances is None:
        return kept, np.empty((0, 6), np.int64)
    old = known.distances.cells
    kept |= np.isin(np.array(contents.keys, object), old["key"].to_numpy(object))
    for block in blocks:
        touching = _touching(block, contents.statistics, kept)
        if len(touching) and not known.distances.is_intact(block):
            kept[touching] = False
    remaining = {key for key, keep in zip(contents.keys, kept, strict=True) if keep}
    gone = old[~old["key"].isin(remaining)]
    return kept, gone[list(BOX_COLUMNS)].to_numpy(np.int64)


def _copy(
    block: Block,
    boxes: LabelStatistics,
    kept: NDArray[np.bool_],
    gone: NDArray[np.int64],
    known: KnownSpace,
) -> bool:
    """Take a block of the known map over if no cell in it changed; return whether it was."""
    if known.distances is None:
        return False
    low, high = corners(block.core)
    lost = ((gone[:, :3] < high) & (gone[:, 3:] > low)).all(axis=1).any()
    return bool(
        not lost
        and not _touching(block, boxes, ~kept)
        and known.distances.is_intact(block)
        and known.distances.copy(block)
    )


def _kept_values(
    item: tuple[Block, NDArray[np.uint32]], cells: ArrayLike, known: ArrayLike
) -> tuple[Distances, Distances]:
    """Read the known distances in a block; return those of the kept cells, NaN elsewhere, and all."""
    block, labels = item
    replaced = np.asarray(known[block.core], np.float32)
    values = replaced.copy()
    keep_in_cells(np.ascontiguousarray(cells[block.core], np.uint32), np.sort(labels), values)
    return values, replaced


def _column_order(block: Block) -> tuple[int, ...]:
    z, y, x = block.index
    return y // COLUMN_BLOCKS, x // COLUMN_BLOCKS, z, y, x


def _plan(
    blocks: Sequence[Block], boxes: LabelStatistics, changed: NDArray[np.bool_], cache_bytes: int
) -> Plan:
    """Plan for each block the changed cells (rows of `boxes`) to compute before it and to drop after it."""
    size = np.prod(boxes.high - boxes.low, axis=1) * 4
    held: OrderedDict[int, int] = OrderedDict()
    plan: Plan = []
    for block in blocks:
        needed = _touching(block, boxes, changed)
        fresh = [row for row in needed if row not in held]
        for row in needed:
            held[row] = int(size[row])
            held.move_to_end(row)
        dropped = []
        while held and sum(held.values()) > cache_bytes:
            dropped.append(held.popitem(last=False)[0])
        plan.append((block, fresh, dropped))
    return plan


def _touching(block: Block, boxes: LabelStatistics, chosen: NDArray[np.bool_]) -> list[int]:
    """Return those of the chosen cells (rows of `boxes`) whose boxes meet the block."""
    low, high = corners(block.core)
    touches = ((boxes.low < high) & (boxes.high > low)).all(axis=1) & chosen
    return [int(row) for row in np.flatnonzero(touches)]


def _join_cells(
    plan: Plan,
    boxes: LabelStatistics,
    changed: NDArray[np.bool_],
    computed: Iterator[tuple[Cell, NDArray[np.float32] | None]],
    before: Iterator[tuple[tuple[Block, NDArray[np.uint32]], tuple[Distances, Distances]]],
) -> Iterator[tuple[Block, Distances, Distances | None]]:
    """Add the distances of the changed cells to those of the kept ones, block by block.

    Yields the block, its values, and those of the replaced map if they were read.
    """
    held: dict[int, NDArray[np.float32] | None] = {}
    for block, fresh, dropped in plan:
        for row in fresh:
            held[row] = next(computed)[1]
        if _touching(block, boxes, ~changed):
            values, replaced = next(before)[1]
        else:
            values, replaced = np.full([s.stop - s.start for s in block.core], np.nan, np.float32), None
        for row in _touching(block, boxes, changed):
            own = held[row]
            if own is not None:
                _paste(values, block.core, own, boxes.region(row))
        for row in dropped:
            del held[row]
        yield block, values, replaced


def _paste(values: NDArray[np.float32], core: Region, own: NDArray[np.float32], box: Region) -> None:
    """Write the distances of a cell where its box meets the block; NaN, outside the cell, keeps the value of the block."""
    common = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(core, box, strict=True)]
    target = values[tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(common, core, strict=True))]
    source = own[tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(common, box, strict=True))]
    np.fmax(target, source, out=target)
