"""Labels of another program, taken as they are."""

from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np

from spherovem_core.blocks import BlockSink, ReadableSink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import FlowParameters, MaskParameters
from spherovem_core.segmentation.grid import Grid, PlacedArray, grid_of
from spherovem_core.segmentation.scratch import Scratch
from spherovem_core.store.label_files import Level, describe_labels, label_digest, open_labels_on_grid
from spherovem_core.store.layout import ObjectKind

NO_FIELD: tuple[str, ...] = ()


class SegmenterWithoutField:
    """Base class of segmenters that predict nothing."""

    channels = NO_FIELD

    def labels_digest(self, parameters: MaskParameters) -> str:
        """Return an empty digest: no model makes the labels."""
        return ""

    def labels_on_gpu(self, parameters: MaskParameters) -> bool:
        """Return False."""
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
        """Do nothing: there is no field."""


class ImportedSegmenter(SegmenterWithoutField):
    """Copies the labels of the file that the parameter `network` names; their numbers stay.

    There is no field. The file lies on the grid of the image, or states its voxel size and offset. `copy_labels` takes it on any
    level of the image.
    """

    name = "imported"

    def weights_digest(self, kind: ObjectKind, parameters: FlowParameters) -> str:
        """Return the digest of the file's content."""
        return label_digest(parameters.network)

    def check_weights(self, kind: ObjectKind, parameters: FlowParameters) -> None:
        """Read the header of the file."""
        describe_labels(parameters.network)

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
        """Copy the labels, and return the number of objects.

        Raises
        ------
        LabelsError
            If the file is not there, or its labels do not fit the image; see `open_labels_on_grid`.
        """
        return copy_labels(parameters.network, grid_of(image), (), sink, execution, ledger)


def copy_labels(
    name: str,
    grid: Grid,
    levels: Sequence[Level],
    sink: BlockSink,
    execution: Execution,
    ledger: MutableMapping[str, Any] | None = None,
) -> int:
    """Copy the labels of a file onto a grid, block by block.

    Returns
    -------
    int
        Number of objects.

    Raises
    ------
    LabelsError
        As `open_labels_on_grid`.
    DeadlineError
        If the deadline passes; finished blocks stay in the sink.
    """
    ledger = {} if ledger is None else ledger
    blocks = block_grid(grid.shape, (execution.block_voxels,) * 3)
    missing = {block.key for block in sink.pending(blocks)}
    todo = [block for block in blocks if block.key in missing or block.key not in ledger]
    if todo:
        with open_labels_on_grid(name, grid.shape, grid.spacing_nm, grid.origin_nm, levels=levels) as labels:
            for done, block in enumerate(todo, len(blocks) - len(todo) + 1):
                values = labels[block.core]
                ledger[block.key] = [int(label) for label in np.unique(values) if label]
                if block.key in missing:
                    sink.write(block, values)
                execution.report(done, len(blocks))
    return len({label for block in blocks for label in ledger[block.key]})


class NoSegmenter(SegmenterWithoutField):
    """Leaves a kind of object out: no label, no field."""

    name = "none"

    def weights_digest(self, kind: ObjectKind, parameters: FlowParameters) -> str:
        """Return a constant: nothing outside is read."""
        return "none"

    def check_weights(self, kind: ObjectKind, parameters: FlowParameters) -> None:
        """Do nothing."""

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
        """Write background everywhere."""
        blocks = sink.pending(block_grid(grid_of(image).shape, (execution.block_voxels,) * 3))
        for done, block in enumerate(blocks, 1):
            sink.write(block, np.zeros([s.stop - s.start for s in block.core], np.uint32))
            execution.report(done, len(blocks))
        return 0
