"""Agglomerates: clumps of touching particles, and their table."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS, merge_boxes

# Pairs of particles are listed for agglomerates of up to this many; those of larger ones are too many for memory.
_ALL_PAIRS = 5000
# Directions along which the extent of a larger agglomerate is measured: at most 1 % too short.
_DIRECTIONS = 400


def number_agglomerates(components: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Number agglomerates from 1 in the order of their first particles.

    Particles that touch (their voxels share a face, an edge or a corner) come from one connected component, which was
    then split. So the agglomerates are the components, also across slabs.

    Parameters
    ----------
    components : (N,) ndarray of int
        Component of each particle, label 1 first; any numbers.

    Returns
    -------
    (N,) ndarray of uint32
        Agglomerate of each particle; a particle that touches no other is an agglomerate of its own.
    """
    _, first, number = np.unique(components, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.uint32)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1)
    return np.asarray(rank[number], np.uint32)


def table_by_number(particles: pd.DataFrame) -> pd.DataFrame:
    """Build the table of the agglomerates that particles name in the column ``agglomerate``, under these numbers."""
    numbers, compact = np.unique(particles["agglomerate"].to_numpy(), return_inverse=True)
    return agglomerate_table(particles, compact + 1).assign(label=numbers.astype(np.uint32))


def agglomerate_table(particles: pd.DataFrame, agglomerates: NDArray[np.integer[Any]]) -> pd.DataFrame:
    """Build the table of agglomerates, with one row per agglomerate, label 1 first.

    Parameters
    ----------
    particles
        Table of particles (`spherovem_core.nanoparticles.table.particle_table`).
    agglomerates : (N,) ndarray of int
        Agglomerate of each particle, numbered from 1 without gaps (`number_agglomerates`).

    Returns
    -------
    DataFrame
        ``label``; ``bbox_z0`` to ``bbox_x1`` (voxels, half-open); ``centroid_z_um`` to ``centroid_x_um`` (mean of the
        particles' centroids, weighted by volume); ``particle_count``; ``volume_um3`` and ``equivalent_diameter_um`` of all
        particles together; ``extent_um`` (largest distance between surfaces, for particles taken as balls of their volume);
        ``radius_of_gyration_um`` (root mean square distance of the volume from the centroid, for the same balls).

    Raises
    ------
    ShapeMismatchError
        If there is not one agglomerate per particle, or if their numbers have gaps.
    """
    number = np.asarray(agglomerates, np.int64) - 1
    count = int(number.max(initial=-1)) + 1
    if len(number) != len(particles) or len(np.unique(number)) != count or number.min(initial=0) < 0:
        raise ShapeMismatchError(
            f"{len(particles)} particles and {len(number)} numbers of agglomerates from {number.min(initial=0) + 1} to {count}: "
            "expected one number per particle, from 1 without gaps; use number_agglomerates"
        )
    volume = particles["volume_um3"].to_numpy(np.float64)
    centroids = particles[list(CENTROID_COLUMNS)].to_numpy(np.float64)
    radii = np.cbrt(3 / (4 * np.pi) * volume)
    total = np.bincount(number, volume, count)
    centre = np.stack([np.bincount(number, volume * c, count) for c in centroids.T], axis=1) / total[:, None]
    # The mean square distance within a ball is 3/5 of its squared radius.
    square = ((centroids - centre[number]) ** 2).sum(axis=1) + 0.6 * radii**2
    boxes = merge_boxes(particles[list(BOX_COLUMNS)].to_numpy(np.int64), number, count)
    columns: dict[str, NDArray[Any]] = {"label": np.arange(1, count + 1, dtype=np.uint32)}
    columns |= dict(zip(BOX_COLUMNS, boxes.T, strict=True))
    columns |= dict(zip(CENTROID_COLUMNS, centre.T, strict=True))
    return pd.DataFrame(
        columns
        | {
            "particle_count": np.bincount(number, minlength=count),
            "volume_um3": total,
            "equivalent_diameter_um": np.cbrt(6 / np.pi * total),
            "extent_um": _extents(centroids, radii, number, count),
            "radius_of_gyration_um": np.sqrt(np.bincount(number, volume * square, count) / total),
        }
    )


def _extents(
    centres: NDArray[np.float64], radii: NDArray[np.float64], number: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    out = np.zeros(count)
    np.maximum.at(out, number, 2 * radii)
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(count + 1))
    for n in np.flatnonzero(np.diff(starts) > 1):
        rows = order[starts[n] : starts[n + 1]]
        out[n] = max(out[n], _extent(centres[rows], radii[rows]))
    return out


def _extent(centres: NDArray[np.float64], radii: NDArray[np.float64]) -> float:
    """Measure the largest distance between the surfaces of balls."""
    if len(radii) <= _ALL_PAIRS:
        first, second = np.triu_indices(len(radii), 1)
        return float((pdist(centres) + radii[first] + radii[second]).max())
    heights = np.arange(_DIRECTIONS) / (_DIRECTIONS - 0.5)
    turns = np.pi * (1 + np.sqrt(5)) * np.arange(_DIRECTIONS)
    flat = np.sqrt(1 - heights**2)
    directions = np.stack([heights, flat * np.cos(turns), flat * np.sin(turns)])
    longest = 0.0
    for direction in directions.T:
        along = centres @ direction
        longest = max(longest, float((along + radii).max() - (along - radii).min()))
    return longest
