"""A segmenter for tests only: bright voxels are foreground, connected foreground is an object."""

from collections.abc import MutableMapping
from typing import Any

import cc3d
import numpy as np

from spherovem_core.blocks import BlockSink, ReadableSink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import FlowParameters, MaskParameters
from spherovem_core.segmentation import Grid, PlacedArray, grid_of
from spherovem_core.segmentation.resample import resample
from spherovem_core.segmentation.scratch import Scratch
from spherovem_core.store.layout import ObjectKind

THRESHOLD = 150
"""Intensity between the lumen of cells (above) and their membranes (below) of a phantom."""


class ThresholdSegmenter:
    """The smallest segmenter that keeps the contract."""

    name = "threshold"
    channels = ("logit",)

    def weights_digest(self, kind: ObjectKind, parameters: FlowParameters) -> str:
        return "threshold"

    def check_weights(self, kind: ObjectKind, parameters: FlowParameters) -> None:
        pass

    def labels_digest(self, parameters: MaskParameters) -> str:
        return ""

    def labels_on_gpu(self, parameters: MaskParameters) -> bool:
        return False

    def predict(
        self,
        kind: ObjectKind,
        source: PlacedArray,
        grid: Grid,
        sink: BlockSink,
        parameters: FlowParameters,
        execution: Execution,
        scratch: Scratch,
    ) -> None:
        blocks = block_grid((1, *grid.shape), (1, *(execution.block_voxels,) * 3))
        for done, block in enumerate(sink.pending(blocks)):
            execution.report(done, len(blocks))
            image = resample(source, grid_of(source), grid, block.core[1:])
            sink.write(block, ((image - THRESHOLD) / 25).astype(np.float16)[None])

    def label(
        self,
        field: PlacedArray,
        image: PlacedArray,
        provisional: ReadableSink,
        sink: BlockSink,
        parameters: MaskParameters,
        execution: Execution,
        ledger: MutableMapping[str, Any] | None = None,
    ) -> int:
        """Upsample the logit block by block; connected components are found in the whole volume at once."""
        blocks = block_grid(image.shape, (execution.block_voxels,) * 3)
        for done, block in enumerate(provisional.pending(blocks)):
            execution.report(done, 2 * len(blocks))
            logit = resample(field[0], grid_of(field), grid_of(image), block.core)
            provisional.write(block, (logit > parameters.probability_threshold).astype(np.uint32))
        labels, count = cc3d.connected_components(
            np.asarray(provisional.array), connectivity=6, out_dtype=np.uint32, return_N=True
        )
        for done, block in enumerate(sink.pending(blocks), len(blocks)):
            execution.report(done, 2 * len(blocks))
            sink.write(block, labels[block.core])
        return int(count)
