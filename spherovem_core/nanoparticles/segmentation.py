"""Second pass over a volume: posterior and labels, slab by slab."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, block_grid, slab_grid
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.assembly import Assembly, assemble
from spherovem_core.nanoparticles.delineation import mask_halo
from spherovem_core.nanoparticles.lookup import check_image
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.numbering import Numbering, number_particles
from spherovem_core.nanoparticles.slabs import (
    SlabReader,
    SlabSummary,
    label_slab,
    measured_slice,
    measured_slices,
    posterior_of,
    summarise,
)
from spherovem_core.nanoparticles.table import particle_table
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A slab takes about 12 bytes a voxel, with the copies that writing it makes; one at a time, whatever the workers.
_SLAB_VOXELS = 36_000_000
_MAX_SLAB_DEPTH = 64
LABEL_BLOCK = (128, 512, 512)


class ReadableSink(BlockSink, Protocol):
    """A block sink whose written blocks can be read back."""

    @property
    def array(self) -> ArrayLike:
        """What was written so far."""


def slab_depth(shape: Sequence[int]) -> int:
    """Slices a slab, such that a few slabs fit in memory whatever the size of a slice."""
    return int(np.clip(_SLAB_VOXELS // (shape[1] * shape[2]), 1, _MAX_SLAB_DEPTH))


def segment_particles(
    source: ArrayLike,
    spacing_nm: SpacingNm,
    mixture: Mixture,
    posterior_sink: BlockSink,
    provisional: ReadableSink,
    label_sink: BlockSink,
    parameters: NanoparticleParameters,
    execution: Execution | None = None,
    depth: int | None = None,
    label_block: tuple[int, int, int] = LABEL_BLOCK,
) -> pd.DataFrame:
    """Write posterior and labels of a volume, and list its nanoparticles.

    Slabs are worked through in order, with a halo such that the mask is what the whole volume would give; the slices that
    two slabs share are read once. Within a slab, columns are spread over the executor. Its components are
    labelled and measured, and merged with those of the next slab by union-find over the slices that touch. All
    sums are of integers (float16 posteriors are multiples of 2 ** -24): labels and table are the same to
    the last bit whatever the depth of the slabs and the number of workers.

    What is already written is read back instead of computed, so that a run that was killed goes on, with the same
    result as one that was not.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        The registered image.
    spacing_nm
        Voxel size (dz, dy, dx).
    mixture
        Fitted to `source`.
    posterior_sink
        Of float16; written in slabs.
    provisional
        Of uint32, for the labels of the slabs; written in slabs, not needed afterwards.
    label_sink
        Of uint32; written in blocks of `label_block`, numbered from 1 in the order of their first voxels.
    parameters, execution
        Of the stage and of the run.
    depth
        Slices a slab; left out, chosen from the size of a slice. The same must be given to go on with a killed run.
    label_block
        Blocks of the labels, to be aligned with the shards of `label_sink`.

    Returns
    -------
    DataFrame
        One row a particle; see `spherovem_core.nanoparticles.table.particle_table`.

    Raises
    ------
    ShapeMismatchError
        If the image is not what the mixture was fitted to.
    DeadlineError
        If the stage ran past its time limit; finished blocks are kept.
    """
    execution = execution or Execution()
    check_image(source, mixture)
    if len(mixture.weights) != source.shape[0]:
        raise ShapeMismatchError(
            f"the image has {source.shape[0]} slices, the mixture {len(mixture.weights)}; fit it to this image"
        )
    slabs = slab_grid(source.shape, depth or slab_depth(source.shape), mask_halo(spacing_nm, parameters).z)
    label_blocks = block_grid(source.shape, label_block)
    total = len(slabs) + len(label_blocks)
    summaries = _label_slabs(
        slabs, source, spacing_nm, mixture, posterior_sink, provisional, parameters, execution, total
    )
    assembly = assemble(slabs, summaries, source.shape)
    numbering = number_particles(assembly, source, mixture, provisional.array, spacing_nm, parameters)
    _write_labels(label_blocks, label_sink, assembly, numbering, provisional.array, execution, total)
    return particle_table(numbering.measures, spacing_nm)


def _label_slabs(
    slabs: list[Block],
    source: ArrayLike,
    spacing_nm: SpacingNm,
    mixture: Mixture,
    posterior_sink: BlockSink,
    provisional: ReadableSink,
    parameters: NanoparticleParameters,
    execution: Execution,
    total: int,
) -> list[SlabSummary]:
    """Compute and write the slabs that are missing, read back the others."""
    missing = {block.key for sink in (posterior_sink, provisional) for block in sink.pending(slabs)}
    reader = SlabReader(source, mixture, parameters)
    summaries = []
    for done, slab in enumerate(slabs, start=1):
        if slab.key in missing:
            planes = reader.planes(slab)
            core = planes[slab.inner[0]]
            posterior_sink.write(slab, posterior_of(core))
            labels = label_slab(planes, slab, spacing_nm, parameters, execution)
            provisional.write(slab, labels)
            slices = iter([measured_slice(plane.image, plane.table, parameters) for plane in core])
        else:
            labels = np.asarray(provisional.array[slab.core])
            slices = measured_slices(source, mixture, parameters, slab.core[0])
        summaries.append(summarise(slab, source.shape, slices, labels))
        execution.report(done, total)
    return summaries


def _write_labels(
    blocks: list[Block],
    sink: BlockSink,
    assembly: Assembly,
    numbering: Numbering,
    provisional: ArrayLike,
    execution: Execution,
    total: int,
) -> None:
    missing = {block.key for block in sink.pending(blocks)}
    todo = [block for block in blocks if block.key in missing]
    for done, block in enumerate(todo, start=1):
        sink.write(block, _final_labels(block, assembly, numbering, provisional))
        execution.report(total - len(todo) + done, total)


def _final_labels(
    block: Block, assembly: Assembly, numbering: Numbering, provisional: ArrayLike
) -> NDArray[Any]:
    labels = assembly.read(provisional, block.core, numbering.labels)
    numbering.paint_split(labels, block.core, assembly, provisional)
    return labels
