"""Nanoparticles of a volume: all steps of the stage, on sinks or in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, BlockSink, MemorySink, ReadableSink
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.fitting import fit_statistics
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.slab_segmentation import LABEL_BLOCK, segment_particles
from spherovem_core.nanoparticles.slice_statistics import collect_statistics
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm


@dataclass(frozen=True, eq=False)
class Particles:
    """Nanoparticles of a volume in memory.

    Attributes
    ----------
    labels : (Z, Y, X) ndarray of uint32
        0 is background; particles are numbered from 1 in the order of their first voxels.
    posterior : (Z, Y, X) ndarray of float16
        Probability that a voxel is nanoparticle, before smoothing.
    table
        One row per particle; see `spherovem_core.nanoparticles.table.particle_table`.
    mixture
        Fitted mixture of background and nanoparticles.
    """

    labels: NDArray[np.uint32]
    posterior: NDArray[np.float16]
    table: pd.DataFrame
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
        Slices filled from their neighbours; they are not counted for the mixture.

    Returns
    -------
    Particles
        Labels, posterior, table and mixture. If the stack holds no nanoparticles, ``mixture.detected`` is False,
        ``mixture.reason`` says why, and labels and posterior are 0 everywhere.

    Raises
    ------
    ParameterError
        If the image is neither uint8 nor uint16, or every slice is bad or holds one intensity only.
    MixtureError
        If no background voxel is left, or the fit collapsed.

    Examples
    --------
    Noisy tissue with one bright block of 3 x 20 x 20 voxels:

    >>> import numpy as np
    >>> from spherovem_core.nanoparticles import find_particles
    >>> random = np.random.default_rng(0)
    >>> volume = random.normal(120, 10, (12, 128, 128))
    >>> volume[5:8, 40:60, 70:90] += 100
    >>> found = find_particles(np.clip(volume, 0, 255).astype(np.uint8), spacing_nm=(50, 10, 10))
    >>> found.mixture.detected
    True
    >>> found.table[["label", "voxel_count", "volume_um3"]].round(3).to_dict("records")
    [{'label': 1, 'voxel_count': 1200, 'volume_um3': 0.006}]
    >>> bool((found.labels[5:8, 40:60, 70:90] == 1).all())
    True
    """
    posterior = MemorySink(np.zeros(volume.shape, np.float16))
    slab_labels = MemorySink(np.zeros(volume.shape, np.uint32))
    labels = MemorySink(np.zeros(volume.shape, np.uint32))
    table, mixture = write_particles(
        volume,
        spacing_nm,
        parameters or NanoparticleParameters(),
        posterior,
        slab_labels,
        labels,
        execution,
        bad_slices=bad_slices,
    )
    return Particles(labels.array, posterior.array, table, mixture)


def write_particles(
    source: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    posterior_sink: BlockSink,
    slab_label_sink: ReadableSink,
    label_sink: BlockSink,
    execution: Execution | None = None,
    *,
    bad_slices: Sequence[int] = (),
    depth: int | None = None,
    label_block: tuple[int, int, int] = LABEL_BLOCK,
) -> tuple[pd.DataFrame, Mixture]:
    """Find the nanoparticles of a volume that does not fit in memory.

    The first pass collects statistics (`collect_statistics`), to which the mixture is fitted (`fit_statistics`). The second
    pass writes posterior and labels slab by slab (`segment_particles`). A killed run continues from the blocks in the sinks.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        Registered image; read slice by slice.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    parameters
        Parameters of the stage.
    posterior_sink, slab_label_sink, label_sink
        Take the posterior (float16), the labels of each slab (uint32, not needed afterwards) and the final labels (uint32).
    execution
        Executor, deadline and progress; by default one thread. Runs on the CPU.
    bad_slices
        Slices filled from their neighbours; they are not counted for the mixture.
    depth, label_block
        Slices per slab and block shape of the labels; see `segment_particles`.

    Returns
    -------
    table, mixture
        One row per particle (`spherovem_core.nanoparticles.table.particle_table`), and the fitted mixture.

    Raises
    ------
    ParameterError
        If the image is neither uint8 nor uint16, or every slice is bad or holds one intensity only.
    MixtureError
        If no background voxel is left, or the fit collapsed.
    DeadlineError
        If the stage ran past its time limit; finished blocks are kept.
    """
    statistics = collect_statistics(source, spacing_nm, parameters, execution, bad_slices)
    mixture = fit_statistics(statistics, parameters)
    table = segment_particles(
        source,
        spacing_nm,
        mixture,
        posterior_sink,
        slab_label_sink,
        label_sink,
        parameters,
        execution,
        depth,
        label_block,
    )
    return table, mixture
