"""Masks of a volume that does not fit in memory: overlapping blocks joined into one labelling."""

from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, BlockSink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import SegmentationParameters
from spherovem_core.segmentation.block_regions import number_regions
from spherovem_core.segmentation.cellpose_dynamics import cellpose_instances
from spherovem_core.segmentation.dynamics import instances
from spherovem_core.segmentation.expansion import expand, reach_voxels
from spherovem_core.segmentation.field import MaskField
from spherovem_core.segmentation.regions import Regions
from spherovem_core.segmentation.selection import choose_objects
from spherovem_core.segmentation.survey import BlockSurvey


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

    Memory is bounded by the block and by the number of objects. Blocks run one after another with
    `execution.workers` compiled threads inside.

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
        for done, block in enumerate(pending, 2 * len(blocks) - len(pending)):
            execution.report(done, 2 * len(blocks))
            labels = lookup[np.asarray(provisional.array[block.outer])]
            if any(reach):
                foreground = field.logit(block.outer, parameters) > parameters.probability_threshold
                labels = expand(labels, foreground, 1000 * parameters.expansion_um, field.target.spacing_nm)
            sink.write(block, labels[block.inner])
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
    missing = {block.key for block in provisional.pending(blocks)}
    surveys: list[BlockSurvey] = []
    background = [np.ones(1, bool)]
    for done, block in enumerate(blocks):
        if block.key not in missing and block.key in ledger:
            survey = BlockSurvey.from_text(ledger[block.key])
        else:
            execution.report(done, 2 * len(blocks))
            earlier = np.concatenate(background)
            survey = _block_regions(block, earlier, field, provisional, parameters, execution.device)
            ledger[block.key] = survey.to_text()
        surveys.append(survey)
        background.append(survey.background)
    return surveys


def _block_regions(
    block: Block,
    is_background: NDArray[np.bool_],
    field: MaskField,
    provisional: Scratch,
    parameters: SegmentationParameters,
    device: str,
) -> BlockSurvey:
    """Make a block's masks, write its regions and survey them."""
    labels, measured = np.zeros([s.stop - s.start for s in block.outer], np.uint32), None
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
    numbers, survey = number_regions(
        block, labels, provisional.array, is_background, measured, parameters.fill_holes
    )
    provisional.write(block, numbers)
    return survey


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
