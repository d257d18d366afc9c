"""Segmentation slab by slab: the second pass over a volume, which writes posterior and labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, ReadableSink, block_grid, slab_grid
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.delineation import mask_halo
from spherovem_core.nanoparticles.intensity_tables import check_image
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.particle_labels import ParticleLabels, number_particles
from spherovem_core.nanoparticles.slabs import (
    SlabReader,
    SlabSummary,
    label_slab,
    read_measured_slices,
    stored_posterior,
    summarise_slab,
    to_measured_slice,
)
from spherovem_core.nanoparticles.table import particle_table
from spherovem_core.nanoparticles.volume_components import VolumeComponents, merge_slabs
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A slab takes about 12 bytes per voxel with the copies made for writing. Only one slab is in memory, independent of the number of
# workers.
_SLAB_VOXELS = 36_000_000
_MAX_SLAB_DEPTH = 64
LABEL_BLOCK = (128, 512, 512)


def slab_depth(shape: Sequence[int]) -> int:
    """Choose the slices per slab, so that a few slabs fit in memory at any size of a slice."""
    return int(np.clip(_SLAB_VOXELS // (shape[1] * shape[2]), 1, _MAX_SLAB_DEPTH))


def segment_particles(
    source: ArrayLike,
    spacing_nm: SpacingNm,
    mixture: Mixture,
    posterior_sink: BlockSink,
    slab_label_sink: ReadableSink,
    label_sink: BlockSink,
    parameters: NanoparticleParameters,
    execution: Execution | None = None,
    depth: int | None = None,
    label_block: tuple[int, int, int] = LABEL_BLOCK,
) -> pd.DataFrame:
    """Write the posterior and the labels of a volume, and measure its nanoparticles.

    Slabs are processed in order, with a halo that makes the mask equal to that of the whole volume. Slices in two slabs are
    read once. The executor maps the columns of a slab. The components of a slab are labelled, measured and merged with those
    of the next slab (union-find over the two slices that touch). All sums are of integers (float16 posteriors are multiples
    of 2 ** -24): labels and table have the same bits for any depth of the slabs and any number of workers.

    Blocks that are already written are read back, not computed. A killed run therefore continues, with the same result as a
    run that was not killed.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        The registered image.
    spacing_nm
        Voxel size (dz, dy, dx).
    mixture
        Fitted to `source`.
    posterior_sink
        Takes the posterior as float16, in slabs.
    slab_label_sink
        Takes the labels of each slab as uint32, in slabs; not needed afterwards.
    label_sink
        Takes the final labels as uint32, in blocks of `label_block`. Particles are numbered from 1 in the order of their
        first voxels.
    parameters, execution
        Parameters of the stage, and executor, device, deadline and progress.
    depth
        Slices per slab; by default chosen from the size of a slice. A killed run continues only with the same depth.
    label_block
        Block shape of the labels, aligned with the shards of `label_sink`.

    Returns
    -------
    DataFrame
        One row per particle; see `spherovem_core.nanoparticles.table.particle_table`.

    Raises
    ------
    ShapeMismatchError
        If the mixture was fitted to another image type or number of slices.
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
        slabs, source, spacing_nm, mixture, posterior_sink, slab_label_sink, parameters, execution, total
    )
    slab_labels = slab_label_sink.array
    components = merge_slabs(slabs, summaries, source.shape)
    particles = number_particles(components, source, mixture, slab_labels, spacing_nm, parameters)
    _write_labels(label_blocks, label_sink, components, particles, slab_labels, execution, total)
    return particle_table(particles.measures, spacing_nm)


def _label_slabs(
    slabs: list[Block],
    source: ArrayLike,
    spacing_nm: SpacingNm,
    mixture: Mixture,
    posterior_sink: BlockSink,
    slab_label_sink: ReadableSink,
    parameters: NanoparticleParameters,
    execution: Execution,
    total: int,
) -> list[SlabSummary]:
    """Compute and write the missing slabs, and read back the others."""
    missing = {block.key for sink in (posterior_sink, slab_label_sink) for block in sink.pending(slabs)}
    reader = SlabReader(source, mixture, parameters)
    summaries = []
    for done, slab in enumerate(slabs, start=1):
        if slab.key in missing:
            slices = reader.read(slab)
            core = slices[slab.inner[0]]
            posterior_sink.write(slab, stored_posterior(core))
            labels = label_slab(slices, slab, spacing_nm, parameters, execution)
            slab_label_sink.write(slab, labels)
            measured = iter([to_measured_slice(entry.image, entry.table, parameters) for entry in core])
        else:
            labels = np.asarray(slab_label_sink.array[slab.core])
            measured = read_measured_slices(source, mixture, parameters, slab.core[0])
        summaries.append(summarise_slab(slab, source.shape, measured, labels))
        execution.report(done, total)
    return summaries


def _write_labels(
    blocks: list[Block],
    sink: BlockSink,
    components: VolumeComponents,
    particles: ParticleLabels,
    slab_labels: ArrayLike,
    execution: Execution,
    total: int,
) -> None:
    missing = {block.key for block in sink.pending(blocks)}
    todo = [block for block in blocks if block.key in missing]
    for done, block in enumerate(todo, start=1):
        sink.write(block, _final_labels(block, components, particles, slab_labels))
        execution.report(total - len(todo) + done, total)


def _final_labels(
    block: Block, components: VolumeComponents, particles: ParticleLabels, slab_labels: ArrayLike
) -> NDArray[Any]:
    labels = components.read(slab_labels, block.core, particles.of_component)
    particles.paint_split(labels, block.core, components, slab_labels)
    return labels
