"""Nanoparticles that another program labelled, or none at all: the tables of the stage as far as they can be measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spherovem_core.blocks import ArrayLike, Block, block_grid, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import (
    BLOCK_EDGE,
    BOX_COLUMNS,
    CENTROID_COLUMNS,
    LabelStatistics,
    collect_label_statistics,
)
from spherovem_core.nanoparticles.agglomerates import agglomerate_table, number_agglomerates
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.particles import ParticleTables
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm, spacing_um, voxel_volume_um3

NO_POPULATION = 0
NEIGHBOURS = [(z, y, x) for z in (0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1) if (z, y, x) > (0, 0, 0)]
"""Half of the 26 neighbours of a voxel."""


def measure_given(
    labels: ArrayLike,
    image: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    reason: str,
    execution: Execution | None = None,
) -> ParticleTables:
    """Measure particles by their labels alone, block by block.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of uint32
        Labels of the particles, whose numbers stay; 0 is background.
    image : (Z, Y, X) array-like of uint8 or uint16
        Registered image on the same grid.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    parameters
        ``polarity`` is used.
    reason
        Origin of the labels, for the mixture.
    execution
        Executor; by default one thread. Runs on the CPU.

    Returns
    -------
    ParticleTables
        ``particles`` as in `particle_table`, but: ``volume_um3`` counts voxels; ``contrast`` and ``confidence``, which the
        detection estimates, are NaN; ``population`` is 0. Particles that share a face, an edge or a corner are an agglomerate.
        There are no other objects. The mixture has no populations, and its limits are None.
    """
    execution = execution or Execution()
    found = collect_label_statistics(labels, execution.executor)
    blocks = block_grid(labels.shape, (BLOCK_EDGE,) * 3, halo=1)
    sums = np.zeros(len(found))
    pairs = [np.empty((0, 2), np.int64)]
    for _, (names, intensity, touching) in map_blocks(
        _measure_block, blocks, labels, image, executor=execution.executor
    ):
        sums[np.searchsorted(found.labels, names)] += intensity
        pairs.append(np.searchsorted(found.labels, touching))
    top = float(np.iinfo(image.dtype).max)
    mean = sums / np.maximum(found.voxel_count, 1)
    particles = _table(found, spacing_nm, top - mean if parameters.polarity == "dark" else mean)
    agglomerate = number_agglomerates(_components(np.concatenate(pairs), len(found)))
    particles["agglomerate"] = agglomerate.astype(np.int64)
    columns = [name for name in particles if name not in ("population", "agglomerate", "confidence")]
    others = particles.iloc[:0][columns].assign(reason=np.empty(0, object), confidence=np.empty(0))
    mixture = Mixture(
        polarity=parameters.polarity,
        dtype=np.dtype(image.dtype).name,
        detected=len(found) > 0,
        reason=reason,
        populations=[],
        others={},
        fraction=float(found.voxel_count.sum() / np.prod(labels.shape)),
        noise=None,
        min_contrast=None,
        blur_nm=None,
        depth_nm=None,
        blur_objects=0,
        expected_diameter_nm=None,
        detection_limit_nm=None,
    )
    return ParticleTables(particles, others, agglomerate_table(particles, agglomerate), mixture)


def _table(found: LabelStatistics, spacing_nm: SpacingNm, intensity: NDArray[np.float64]) -> pd.DataFrame:
    volume = found.voxel_count * voxel_volume_um3(spacing_nm)
    columns: Mapping[str, Any] = {
        "label": found.labels,
        **dict(zip(BOX_COLUMNS, np.hstack([found.low, found.high]).T, strict=True)),
        **dict(zip(CENTROID_COLUMNS, (found.centroid * spacing_um(spacing_nm)).T, strict=True)),
        "voxel_count": found.voxel_count,
        "volume_um3": volume,
        "equivalent_diameter_um": np.cbrt(6 / np.pi * volume),
        "mean_intensity": intensity,
        "contrast": np.full(len(found), np.nan),
        "kind": np.full(len(found), "nanoparticle", object),
        "population": np.full(len(found), NO_POPULATION, np.int64),
        "confidence": np.full(len(found), np.nan),
    }
    return pd.DataFrame(columns)


def _measure_block(
    block: Block, labels: ArrayLike, image: ArrayLike
) -> tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.uint32]]:
    """Sum the intensities of each label in the block, and list the pairs of labels that touch in it or at its border."""
    values = np.asarray(labels[block.outer])
    inside = values[block.inner]
    if not values.any():
        return np.empty(0, np.uint32), np.empty(0), np.empty((0, 2), np.uint32)
    where = np.nonzero(values)
    names, place = np.unique(inside[inside > 0], return_inverse=True)
    sums = np.bincount(place, np.asarray(image[block.core])[inside > 0], len(names)).astype(np.float64)
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in where)
    return names, sums, _touching(values[box])


def _touching(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """List the pairs of labels that share a face, an edge or a corner."""
    found = [np.empty((0, 2), np.uint32)]
    for offset in NEIGHBOURS:
        here = values[
            tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, values.shape, strict=True))
        ]
        there = values[
            tuple(slice(max(0, o), n + min(0, o)) for o, n in zip(offset, values.shape, strict=True))
        ]
        both = (here != there) & (here > 0) & (there > 0)
        found.append(np.unique(np.stack([here[both], there[both]], 1), axis=0))
    return np.unique(np.concatenate(found), axis=0)


def _components(pairs: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    components: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return components
