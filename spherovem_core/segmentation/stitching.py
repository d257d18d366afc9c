"""Masks of a volume that does not fit in memory: overlapping blocks joined into one labelling."""

from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, block_grid, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import SegmentationParameters
from spherovem_core.segmentation.block_statistics import BlockSurvey
from spherovem_core.segmentation.block_supervoxels import number_regions
from spherovem_core.segmentation.cellpose_dynamics import cellpose_instances
from spherovem_core.segmentation.dynamics import instances
from spherovem_core.segmentation.expansion import expand, reach_voxels
from spherovem_core.segmentation.mask_inputs import MaskField
from spherovem_core.segmentation.selection import choose_objects
from spherovem_core.segmentation.supervoxels import Regions


class Scratch(BlockSink, Protocol):
    """A block sink that can be read back."""

    array: Any


def segment_masks(
    field: MaskField,
    provisional: Scratch,
    sink: BlockSink,
    parameters: SegmentationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any] | None = None,
) -> int:
    """Make masks of a volume, block by block.

    Each block upsamples flows, makes masks with a halo, and keeps a survey of its regions: pieces of objects and
    of background. Where a block looks into the core of one that was done before, objects of both that cover the
    same voxels (intersection over union of 0.5 or more within 8 voxels of the common face) become one. All else
    is decided on the graph of regions, from sums over blocks, so that it does not depend on where blocks end:
    what touches across a face is neighbour as within a block, holes are filled, neighbours with no boundary
    between them are merged, and small, cut and inconsistent objects are dropped. A last pass writes final labels, grown
    into foreground near them.

    Memory is bounded by the block and by the number of objects. With threads, blocks run one after another with
    `execution.workers` compiled threads inside. An executor of processes or of a Dask cluster makes the masks of several
    blocks at a time, one compiled thread each; numbering, which is quick, goes from block to block in their order.

    Parameters
    ----------
    field
        Flows, image and the grid of the masks.
    provisional
        Scratch of the masks' shape, uint32.
    sink
        Takes the final labels, uint32.
    parameters, execution
        See `SegmentationParameters`.
    ledger
        Surveys of finished blocks and errors of judged objects. With a ledger and sinks that survive a kill, the next
        run goes on from there.

    Returns
    -------
    int
        Number of objects. They are numbered from 1 in the order in which they first appear in the volume.
    """
    ledger = {} if ledger is None else ledger
    shape = field.target.shape
    edge = (parameters.block_voxels,) * 3
    blocks = block_grid(shape, edge, parameters.block_halo_voxels)
    with _numba_threads(execution.workers):
        surveys = _survey_blocks(blocks, field, provisional, parameters, execution, ledger)
        regions = Regions(surveys)
        choose_objects(regions, field, provisional.array, parameters, ledger)
        lookup = regions.labels()
        reach = reach_voxels(1000 * parameters.expansion_um, field.target.spacing_nm)
        grown = block_grid(shape, edge, reach)
        pending = sink.pending(grown)
        executor, threads = _other_processes(execution)
        results = map_blocks(
            _final_labels,
            pending,
            lookup,
            field if any(reach) else None,
            provisional.array,
            parameters,
            threads,
            executor=executor,
            ahead=execution.workers + 1,
        )
        for done, (block, labels) in enumerate(results, 2 * len(blocks) - len(pending)):
            execution.report(done, 2 * len(blocks))
            sink.write(block, labels)
    execution.report(2 * len(blocks), 2 * len(blocks))
    return int(lookup.max(initial=0))


def _survey_blocks(
    blocks: Sequence[Block],
    field: MaskField,
    provisional: Scratch,
    parameters: SegmentationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
) -> list[BlockSurvey]:
    """Write every block's regions to `provisional` and its survey to the ledger, where that is not done yet."""
    lacking = {block.key for block in provisional.pending(blocks)}
    todo = [block for block in blocks if block.key in lacking or block.key not in ledger]
    executor, threads = _other_processes(execution)
    made = map_blocks(
        _block_masks,
        todo,
        field,
        parameters,
        execution.device,
        threads,
        executor=executor,
        ahead=execution.workers + 1,
    )
    surveys: list[BlockSurvey] = []
    background = [np.ones(1, bool)]
    unfinished = {block.key for block in todo}
    for done, block in enumerate(blocks):
        if block.key in unfinished:
            execution.report(done, 2 * len(blocks))
            _, (labels, measured) = next(made)
            earlier = np.concatenate(background)
            numbers, survey = number_regions(
                block, labels, provisional.array, earlier, measured, parameters.fill_holes
            )
            provisional.write(block, numbers)
            ledger[block.key] = survey.to_text()
        else:
            survey = BlockSurvey.from_text(ledger[block.key])
        surveys.append(survey)
        background.append(survey.background)
    return surveys


def _other_processes(execution: Execution) -> tuple[Executor | None, int]:
    """The executor, if it is one of other processes, and the compiled threads for a block.

    Threads of one process are as fast inside a block, on less memory than in several blocks.
    """
    if execution.executor is None or isinstance(execution.executor, ThreadPoolExecutor):
        return None, execution.workers
    return execution.executor, 1


def _block_masks(
    block: Block, field: MaskField, parameters: SegmentationParameters, device: str, threads: int
) -> tuple[NDArray[np.uint32], NDArray[np.float32] | None]:
    """Make a block's masks, and measure the boundaries in it where they are asked for."""
    labels, measured = np.zeros([s.stop - s.start for s in block.outer], np.uint32), None
    with _numba_threads(threads):
        # Most blocks around a spheroid hold nothing.
        if field.has_foreground(block.outer, parameters):
            values = field.upsampled(block.outer, parameters)
            foreground = values[3] > parameters.probability_threshold
            if parameters.mask_dynamics == "cellpose":
                labels = cellpose_instances(values[:3], foreground, device)
            else:
                labels = instances(values[:3], foreground)
            if parameters.merge_boundary_strength:
                measured = _with_layer_before(block, values[3], field, parameters)
    return labels, measured


def _final_labels(
    block: Block,
    lookup: NDArray[np.uint32],
    field: MaskField | None,
    provisional: ArrayLike,
    parameters: SegmentationParameters,
    threads: int,
) -> NDArray[np.uint32]:
    """Labels of a block's core by its regions, grown where there is a field."""
    labels: NDArray[np.uint32] = lookup[np.asarray(provisional[block.outer])]
    if field is not None:
        with _numba_threads(threads):
            foreground = field.logit(block.outer, parameters) > parameters.probability_threshold
            labels = expand(labels, foreground, 1000 * parameters.expansion_um, field.target.spacing_nm)
    return labels[block.inner]


def _with_layer_before(
    block: Block, logit: NDArray[np.float32], field: MaskField, parameters: SegmentationParameters
) -> NDArray[np.float32]:
    """Confidence and gradient (2, z + 1, y + 1, x + 1) of a block's core and the layers in front of it."""
    region = tuple(slice(max(0, s.start - 1), s.stop) for s in block.core)
    inside = tuple(
        slice(s.start - o.start, s.stop - o.start) for s, o in zip(region, block.outer, strict=True)
    )
    values = field.boundaries(region, logit[inside], parameters)
    missing = [(0, 0)] + [(int(s.start == 0), 0) for s in block.core]
    return np.pad(values, missing)


@contextmanager
def _numba_threads(count: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(max(1, min(count, numba.config.NUMBA_NUM_THREADS)))
    try:
        yield
    finally:
        numba.set_num_threads(before)
