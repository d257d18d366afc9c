"""Map of the distance to the nucleus, written block by block for a volume that does not fit in memory."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, Region, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import LabelStatistics, collect_label_statistics
from spherovem_core.spacing import SpacingNm
from spherovem_core.spatial.distance import distance_in_cell
from spherovem_core.spatial.grids import SERIAL, check_same_grid
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
) -> None:
    """Write the map of `distance_to_nucleus` in bounded memory.

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

    Raises
    ------
    ShapeMismatchError
        If the two label volumes differ in shape.
    """
    check_same_grid(nuclei=nuclei, cells=cells)
    with accelerator(execution.device) as gpu:
        _write(nuclei, cells, spacing_nm, sink, blocks, execution, cache_bytes, gpu.device)


def _write(
    nuclei: ArrayLike,
    cells: ArrayLike,
    spacing_nm: SpacingNm,
    sink: BlockSink,
    blocks: Sequence[Block],
    execution: Execution,
    cache_bytes: int,
    device: str,
) -> None:
    boxes = collect_label_statistics(cells, execution.executor)
    plan = _plan(sorted(sink.pending(blocks), key=_column_order), boxes, cache_bytes)
    todo = [(int(boxes.labels[row]), boxes.region(row)) for _, rows, _ in plan for row in rows]
    computed = map_blocks(
        distance_in_cell,
        todo,
        nuclei,
        cells,
        spacing_nm,
        device,
        executor=execution.executor,
        ahead=execution.workers + 1,
    )
    for done, (block, values) in enumerate(_join_cells(plan, boxes, computed), 1):
        sink.write(block, values)
        execution.report(done, len(plan))


def _column_order(block: Block) -> tuple[int, ...]:
    z, y, x = block.index
    return y // COLUMN_BLOCKS, x // COLUMN_BLOCKS, z, y, x


def _plan(blocks: Sequence[Block], boxes: LabelStatistics, cache_bytes: int) -> Plan:
    """Plan for each block the cells (rows of `boxes`) to compute before it and to drop after it."""
    size = np.prod(boxes.high - boxes.low, axis=1) * 4
    held: OrderedDict[int, int] = OrderedDict()
    plan: Plan = []
    for block in blocks:
        needed = _touching(block, boxes)
        fresh = [row for row in needed if row not in held]
        for row in needed:
            held[row] = int(size[row])
            held.move_to_end(row)
        dropped = []
        while held and sum(held.values()) > cache_bytes:
            dropped.append(held.popitem(last=False)[0])
        plan.append((block, fresh, dropped))
    return plan


def _touching(block: Block, boxes: LabelStatistics) -> list[int]:
    low = np.array([s.start for s in block.core])
    high = np.array([s.stop for s in block.core])
    touches = ((boxes.low < high) & (boxes.high > low)).all(axis=1)
    return [int(row) for row in np.flatnonzero(touches)]


def _join_cells(
    plan: Plan, boxes: LabelStatistics, computed: Iterator[tuple[Cell, NDArray[np.float32] | None]]
) -> Iterator[tuple[Block, NDArray[np.float32]]]:
    held: dict[int, NDArray[np.float32] | None] = {}
    for block, fresh, dropped in plan:
        for row in fresh:
            held[row] = next(computed)[1]
        values = np.full([s.stop - s.start for s in block.core], np.nan, np.float32)
        for row in _touching(block, boxes):
            own = held[row]
            if own is not None:
                _paste(values, block.core, own, boxes.region(row))
        for row in dropped:
            del held[row]
        yield block, values


def _paste(values: NDArray[np.float32], core: Region, own: NDArray[np.float32], box: Region) -> None:
    """Write the distances of a cell where its box meets the block; NaN, outside the cell, keeps the value of the block."""
    common = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(core, box, strict=True)]
    target = values[tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(common, core, strict=True))]
    source = own[tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(common, box, strict=True))]
    np.fmax(target, source, out=target)
