"""Nanoparticles of a volume: all steps of the stage, on sinks or in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, MemorySink, ReadableSink, block_grid, slab_grid
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.candidates import DEPTH, find_candidates
from spherovem_core.nanoparticles.classification import Classified, classify
from spherovem_core.nanoparticles.detection import plan_detection
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.objects import CropReader, find_objects
from spherovem_core.nanoparticles.packed_contrast import TILE
from spherovem_core.nanoparticles.slice_statistics import collect_statistics
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A slab of the posterior takes two bytes per voxel, and as many for each copy made for writing.
_SLAB_VOXELS = 36_000_000
LABEL_BLOCK = (128, 512, 512)


@dataclass(frozen=True, eq=False)
class ParticleTables:
    """Tables of a volume, and its mixture.

    Attributes
    ----------
    particles, others
        One row per nanoparticle, and per other object that stands out; see `spherovem_core.nanoparticles.table`.
    agglomerates
        One row per agglomerate of touching particles; see `spherovem_core.nanoparticles.agglomerates`.
    mixture
        Populations, limits of the acquisition, and warnings.
    """

    particles: pd.DataFrame
    others: pd.DataFrame
    agglomerates: pd.DataFrame
    mixture: Mixture


@dataclass(frozen=True, eq=False)
class Particles:
    """Nanoparticles of a volume in memory.

    Attributes
    ----------
    labels : (Z, Y, X) ndarray of uint32
        0 is background; particles are numbered from 1 in the order of their first voxels. Other objects have no label.
    posterior : (Z, Y, X) ndarray of float16
        Probability that a voxel is nanoparticle.
    table, others, agglomerates
        See `ParticleTables`.
    mixture
        Populations, limits of the acquisition, and warnings.
    """

    labels: NDArray[np.uint32]
    posterior: NDArray[np.float16]
    table: pd.DataFrame
    others: pd.DataFrame
    agglomerates: pd.DataFrame
    mixture: Mixture


def find_particles(
    volume: NDArray[np.uint8] | NDArray[np.uint16],
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters | None = None,
    execution: Execution | None = None,
    *,
    bad_slices: Sequence[int] = (),
) -> Particles:
    """Find the nanoparticles of a volume in memory.

    The result is the same as that of the blocked computation (`write_particles`).

    Parameters
    ----------
    volume : (Z, Y, X) ndarray of uint8 or uint16
        Registered image.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    parameters
        Parameters of the stage; by default the daily setting.
    execution
        Executor, deadline and progress; by default one thread. Runs on the CPU.
    bad_slices
        Slices filled from their neighbours; they are not counted for the levels.

    Returns
    -------
    Particles
        If the stack holds no nanoparticles, ``mixture.detected`` is False, ``mixture.reason`` says why, and labels and posterior
        are 0 everywhere.

    Raises
    ------
    ParameterError
        If the image is neither uint8 nor uint16, or every slice is bad or holds one intensity only.

    Examples
    --------
    Noisy tissue with one bright ball of 200 nm:

    >>> import numpy as np
    >>> from spherovem_core.nanoparticles import find_particles
    >>> random = np.random.default_rng(0)
    >>> volume = random.normal(120, 10, (24, 128, 128))
    >>> z, y, x = np.ogrid[:24, :128, :128]
    >>> ball = (20 * (z - 12)) ** 2 + (10 * (y - 60)) ** 2 + (10 * (x - 70)) ** 2 < 100**2
    >>> volume[ball] += 100
    >>> found = find_particles(np.clip(volume, 0, 255).astype(np.uint8), spacing_nm=(20, 10, 10))
    >>> found.table[["label", "population", "kind"]].to_dict("records")
    [{'label': 1, 'population': 1, 'kind': 'nanoparticle'}]
    >>> bool(abs(1e3 * found.table["equivalent_diameter_um"][0] - 200) < 5)
    True
    """
    posterior = MemorySink(np.zeros(volume.shape, np.float16))
    candidates = MemorySink(np.zeros(volume.shape, np.uint8))
    labels = MemorySink(np.zeros(volume.shape, np.uint32))
    tables = write_particles(
        volume,
        spacing_nm,
        parameters or NanoparticleParameters(),
        posterior,
        candidates,
        labels,
        execution,
        bad_slices=bad_slices,
    )
    return Particles(
        labels.array, posterior.array, tables.particles, tables.others, tables.agglomerates, tables.mixture
    )


def write_particles(
    source: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    posterior_sink: BlockSink,
    candidate_sink: ReadableSink,
    label_sink: BlockSink,
    execution: Execution | None = None,
    *,
    bad_slices: Sequence[int] = (),
    depth: int = DEPTH,
    tile: int = TILE,
    label_block: tuple[int, int, int] = LABEL_BLOCK,
) -> ParticleTables:
    """Find the nanoparticles of a volume that does not fit in memory.

    1. The first pass over the slices measures drift, noise and the texture of the tissue, from which the contrast of
    candidates follows
       (`collect_statistics`).
    2. The second pass marks the candidates block by block, and joins them to components (`find_candidates`).
    3. Every candidate is cut out of the image half-way between its own level and that of its surroundings, and measured
       (`find_objects`).
    4. Objects are told apart: clumps are split, particles sorted into populations, other objects set aside (`classify`).
    5. Labels and posterior are painted block by block.

    A killed run continues from the blocks in the sinks. Memory holds some slices, the high contrast of those around a slab, and
    the voxels of the objects.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        Registered image; read slice by slice, and in crops around the candidates.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    parameters
        Parameters of the stage.
    posterior_sink, candidate_sink, label_sink
        Take the posterior (float16, in slabs), the candidates (uint8, slice by slice, not needed afterwards) and the final
        labels (uint32).
    execution
        Executor, deadline and progress; by default one thread. Runs on the CPU.
    bad_slices
        Slices filled from their neighbours; they are not counted for the levels.
    depth, tile
        Slices of the blocks in which candidates are found, and side in pixels of their tiles: no result depends on them.
    label_block
        Block shape of the labels, aligned with the shards of `label_sink`.

    Returns
    -------
    ParticleTables

    Raises
    ------
    ParameterError
        If the image is neither uint8 nor uint16, has not three axes, or every slice is bad or holds one intensity only.
    DeadlineError
        If the stage ran past its time limit; finished blocks are kept.
    """
    if len(source.shape) != 3:
        raise ParameterError(f"the image has shape {source.shape}, expected (Z, Y, X)")
    execution = execution or Execution()
    spacing = (float(spacing_nm[0]), float(spacing_nm[1]), float(spacing_nm[2]))
    statistics = collect_statistics(source, spacing, parameters, execution, bad_slices)
    detection = plan_detection(statistics, source.dtype, spacing, parameters)
    first, slabs = -(-source.shape[0] // depth), slab_grid(source.shape, slab_depth(source.shape, depth))
    label_blocks = block_grid(source.shape, label_block)
    total = first + len(slabs) + len(label_blocks)
    components = find_candidates(source, detection, candidate_sink, execution, total, depth, tile)
    reader = CropReader(source, detection, spacing)
    objects = find_objects(components, candidate_sink.array, reader, execution)
    found = classify(objects, reader, parameters, execution)
    _paint(found, slabs, label_blocks, posterior_sink, label_sink, execution, first)
    return ParticleTables(found.particles, found.others, found.agglomerates, found.mixture)


def slab_depth(shape: Sequence[int], depth: int = DEPTH) -> int:
    """Choose the slices per slab of the posterior, at most `depth`, so that it fits in memory at any size of a slice."""
    return int(np.clip(_SLAB_VOXELS // (shape[1] * shape[2]), 1, depth))


def _paint(
    found: Classified,
    slabs: Sequence[Block],
    label_blocks: Sequence[Block],
    posterior_sink: BlockSink,
    label_sink: BlockSink,
    execution: Execution,
    done: int,
) -> None:
    """Paint the blocks that are not yet written."""
    total = done + len(slabs) + len(label_blocks)
    for slab in posterior_sink.pending(slabs):
        posterior_sink.write(slab, found.painted.posterior_in(slab))
        done += 1
        execution.report(done, total)
    for block in label_sink.pending(label_blocks):
        label_sink.write(block, found.painted.labels_in(block))
        done += 1
        execution.report(min(done, total), total)
