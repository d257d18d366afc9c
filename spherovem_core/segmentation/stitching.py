"""Masks of a volume that does not fit in memory: overlapping blocks stitched into one labelling."""

from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, ReadableSink, block_grid, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import MaskParameters
from spherovem_core.segmentation.block_statistics import BlockStatistics
from spherovem_core.segmentation.block_supervoxels import number_supervoxels
from spherovem_core.segmentation.cellpose_dynamics import follow_flows_with_cellpose
from spherovem_core.segmentation.contact_features import MAPS
from spherovem_core.segmentation.dynamics import follow_flows
from spherovem_core.segmentation.expansion import expand_labels, reach_voxels
from spherovem_core.segmentation.learned_merging import LearnedMerging, learned_supervoxels
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.section_labels import label_sections
from spherovem_core.segmentation.selection import choose_objects
from spherovem_core.segmentation.supervoxels import Supervoxels


def segment_masks(
    inputs: MaskInputs,
    provisional: ReadableSink,
    sink: BlockSink,
    parameters: MaskParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any] | None = None,
    learned: LearnedMerging | None = None,
) -> int:
    """Make masks of a volume, block by block.

    Each block upsamples the flows, makes masks with a halo, and measures its supervoxels: the parts of objects and of
    background within its core. Where the halo of a block reaches into the core of an earlier one, objects of both with an
    intersection over union of at least 0.5 within 8 voxels of the common face become one. All else
    is decided on the graph of supervoxels, from sums over blocks, so that it does not depend on where blocks end:
    supervoxels that touch across a face are neighbours as within a block, holes are filled, neighbours without a boundary
    between them are merged, and small, truncated and inconsistent objects are dropped. A last pass writes the final
    labels, grown into foreground near them.

    Memory is bounded by the block and by the number of objects. With threads, blocks run one after another with
    `execution.workers` compiled threads each. With processes or a Dask cluster the masks of several blocks are made in
    parallel, with one compiled thread each; numbering, which is quick, follows the order of the blocks.

    Parameters
    ----------
    inputs
        Flows, image and the grid of the masks.
    provisional
        Array of the masks' shape, uint32, for the supervoxels.
    sink
        Takes the final labels, uint32.
    parameters, execution
        See `MaskParameters`.
    ledger
        Statistics of finished blocks and flow errors of measured objects. With a ledger and sinks that survive a kill,
        the next run continues from there.
    learned
        If given, supervoxels are those of a watershed on learned boundaries instead of the places where flows converge, and the
        model decides on merging instead of `merge_boundary_strength` and `merge_contact_fraction`.

    Returns
    -------
    int
        Number of objects, which are labelled from 1 in the order of their first voxels in the volume.
    """
    ledger = {} if ledger is None else ledger
    shape = inputs.target.shape
    edge = (execution.block_voxels,) * 3
    blocks = block_grid(shape, edge, execution.block_halo_voxels)
    with _numba_threads(execution.workers):
        statistics = measure_blocks(blocks, inputs, provisional, parameters, execution, ledger, learned)
        supervoxels = Supervoxels(statistics)
        choose_objects(supervoxels, inputs, provisional.array, parameters, ledger, learned)
        lookup = supervoxels.labels()
        reach = reach_voxels(1000 * parameters.expansion_um, inputs.target.spacing_nm)
        grown = block_grid(shape, edge, reach)
        pending = sink.pending(grown)
        executor, threads = _other_processes(execution)
        results = map_blocks(
            _final_labels,
            pending,
            lookup,
            inputs if any(reach) else None,
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


def measure_blocks(
    blocks: Sequence[Block],
    inputs: MaskInputs,
    provisional: ReadableSink,
    parameters: MaskParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
    learned: LearnedMerging | None,
) -> list[BlockStatistics]:
    """Write the supervoxels of every unfinished block to `provisional` and their statistics to the ledger."""
    lacking = {block.key for block in provisional.pending(blocks)}
    todo = [block for block in blocks if block.key in lacking or block.key not in ledger]
    executor, threads = _other_processes(execution)
    made = map_blocks(
        _block_masks,
        todo,
        inputs,
        parameters,
        execution.device,
        threads,
        learned,
        executor=executor,
        ahead=execution.workers + 1,
    )
    statistics: list[BlockStatistics] = []
    background = [np.ones(1, bool)]
    unfinished = {block.key for block in todo}
    columns = 2 if learned is None else len(MAPS)
    for done, block in enumerate(blocks):
        if block.key in unfinished:
            execution.report(done, 2 * len(blocks))
            _, (labels, measured) = next(made)
            earlier = np.concatenate(background)
            numbers, own = number_supervoxels(
                block,
                labels,
                provisional.array,
                earlier,
                measured,
                parameters.fill_holes,
                columns,
                with_flows=learned is not None,
            )
            provisional.write(block, numbers)
            ledger[block.key] = own.to_text()
        else:
            own = BlockStatistics.from_text(ledger[block.key])
        statistics.append(own)
        background.append(own.background)
    return statistics


def _other_processes(execution: Execution) -> tuple[Executor | None, int]:
    """Return the executor if it runs other processes, and the compiled threads of a block.

    Threads of one process are as fast within a block as over several blocks, and need less memory.
    """
    if execution.executor is None or isinstance(execution.executor, ThreadPoolExecutor):
        return None, execution.workers
    return execution.executor, 1


def _block_masks(
    block: Block,
    inputs: MaskInputs,
    parameters: MaskParameters,
    device: str,
    threads: int,
    learned: LearnedMerging | None,
) -> tuple[NDArray[np.uint32], NDArray[np.float32] | None]:
    """Make the masks of a block, and measure its boundaries if objects are merged."""
    labels, measured = np.zeros([s.stop - s.start for s in block.outer], np.uint32), None
    with _numba_threads(threads):
        # Most blocks around a spheroid hold nothing.
        if not inputs.has_foreground(block.outer, parameters):
            return labels, measured
        if learned is not None:
            labels, measured = learned_supervoxels(
                block, inputs, learned.model, learned.intensities, parameters
            )
        else:
            values = inputs.upsampled_flows(block.outer, parameters)
            foreground = values[3] > parameters.probability_threshold
            follow = partial(_follow, parameters=parameters, device=device)
            flows = values[:3]
            labels = (
                label_sections(follow, flows, foreground) if inputs.in_sections else follow(flows, foreground)
            )
            if parameters.merge_boundary_strength:
                measured = _with_layer_before(block, values[3], inputs, parameters)
    return labels, measured


def _follow(
    flows: NDArray[np.float32], foreground: NDArray[np.bool_], parameters: MaskParameters, device: str
) -> NDArray[np.uint32]:
    """Number the places where flows converge."""
    if parameters.mask_dynamics == "cellpose":
        return follow_flows_with_cellpose(flows, foreground, device)
    return follow_flows(flows, foreground)


def _final_labels(
    block: Block,
    lookup: NDArray[np.uint32],
    inputs: MaskInputs | None,
    provisional: ArrayLike,
    parameters: MaskParameters,
    threads: int,
) -> NDArray[np.uint32]:
    """Look up the final labels of a block's core by its supervoxels, and grow them if inputs are given."""
    labels: NDArray[np.uint32] = lookup[np.asarray(provisional[block.outer])]
    if inputs is not None:
        with _numba_threads(threads):
            foreground = inputs.upsampled_logit(block.outer, parameters) > parameters.probability_threshold
            labels = expand_labels(
                labels, foreground, 1000 * parameters.expansion_um, inputs.target.spacing_nm
            )
    return labels[block.inner]


def _with_layer_before(
    block: Block, logit: NDArray[np.float32], inputs: MaskInputs, parameters: MaskParameters
) -> NDArray[np.float32]:
    """Measure confidence and gradient (2, z + 1, y + 1, x + 1) of a block's core and the layers in front of it."""
    region = tuple(slice(max(0, s.start - 1), s.stop) for s in block.core)
    inside = tuple(
        slice(s.start - o.start, s.stop - o.start) for s, o in zip(region, block.outer, strict=True)
    )
    values = inputs.boundary_evidence(region, logit[inside], parameters)
    missing = [(0, 0)] + [(int(s.start == 0), 0) for s in block.core]
    return np.pad(values, missing)


@contextmanager
def _numba_threads(count: int) -> Iterator[None]:
    """Set the compiled threads, and restore their number afterwards."""
    before = numba.get_num_threads()
    numba.set_num_threads(max(1, min(count, numba.config.NUMBA_NUM_THREADS)))
    try:
        yield
    finally:
        numba.set_num_threads(before)
