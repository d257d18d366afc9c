"""Scratch arrays of a step on disk: a killed run continues them, and they go when the step is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spherovem_core.blocks import ArrayLike, Block, ReadableSink
from spherovem_core.segmentation.scratch import Files
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import ArrayWriter
from spherovem_core.workflow.run import StepRun


@dataclass(frozen=True)
class StepScratch:
    """Provisional arrays of a step, see `spherovem_core.segmentation.scratch.Scratch`.

    Attributes
    ----------
    run
        Of a step that names its `provisional` folder.
    spacing_nm
        Voxel size of all of the arrays.
    """

    run: StepRun[Any]
    spacing_nm: SpacingNm

    def open(self, name: str, shape: Sequence[int], dtype: DTypeLike, files: Files) -> ReadableSink:
        """Begin an array, or continue the one of the same digest and files."""
        return _ReadBack(
            self.run.provisional(shape, dtype, self.spacing_nm, part=name, files=(files.chunks, files.shards))
        )

    def discard(self, name: str) -> None:
        """Delete an array."""
        self.run.discard_part(name)


@dataclass(frozen=True)
class _ReadBack:
    """A writer whose blocks are read back past zarr, which takes several times as long."""

    writer: ArrayWriter

    @property
    def array(self) -> ArrayLike:
        return self.writer.stored

    def pending(self, blocks: Sequence[Block]) -> list[Block]:
        return self.writer.pending(blocks)

    def write(self, block: Block, values: NDArray[np.generic]) -> None:
        self.writer.write(block, values)
