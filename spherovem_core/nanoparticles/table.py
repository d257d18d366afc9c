"""Tables of the nanoparticles, and of the other objects that stand out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS
from spherovem_core.nanoparticles.objects import boxes_of
from spherovem_core.nanoparticles.piece_measures import contrast_of
from spherovem_core.spacing import SpacingNm, spacing_um

_NM3_PER_UM3 = 1e9


def particle_table(
    voxels: Sequence[NDArray[np.int32]],
    objects: pd.DataFrame,
    volume_nm3: NDArray[np.float64],
    confidence: NDArray[np.float64],
    population: NDArray[np.int64],
    agglomerate: NDArray[np.int64],
    clump: NDArray[np.bool_],
    spacing_nm: SpacingNm,
) -> pd.DataFrame:
    """Build the table of particles, with one row per particle, label 1 first.

    Parameters
    ----------
    voxels
        Voxels (M, 3) of each particle.
    objects
        Measures of the particles, in the order of their labels.
    volume_nm3, confidence, population, agglomerate : (N,) ndarray
        Volume, probability, population and agglomerate of each.
    clump : (N,) ndarray of bool
        True for a clump of particles that is not told apart.
    spacing_nm
        Voxel size (dz, dy, dx).

    Returns
    -------
    DataFrame
        ``label``; ``bbox_z0`` to ``bbox_x1`` (voxels, half-open); ``centroid_z_um`` to ``centroid_x_um`` (mean voxel
        index times spacing); ``voxel_count``; ``volume_um3`` (from the signal, without the rounding to whole voxels);
        ``equivalent_diameter_um`` (of the ball of this volume); ``mean_intensity`` and ``contrast`` (grey values of the stack,
        complemented for dark particles); ``kind`` (nanoparticle, or clump: several that are not told apart); ``population``;
        ``confidence``; ``agglomerate``.
    """
    centroids = np.array([v.mean(axis=0) for v in voxels]).reshape(-1, 3)
    columns = _place_columns(boxes_of(voxels), centroids, spacing_nm)
    columns |= {"voxel_count": np.array([len(v) for v in voxels], np.int64)}
    columns |= _size_columns(objects, volume_nm3)
    return pd.DataFrame(
        columns
        | {
            "kind": np.where(clump, "clump", "nanoparticle").astype(object),
            "population": population.astype(np.int64),
            "confidence": confidence.astype(np.float64),
            "agglomerate": agglomerate.astype(np.int64),
        }
    )


def other_table(
    objects: pd.DataFrame,
    volume_nm3: NDArray[np.float64],
    confidence: NDArray[np.float64],
    reason: NDArray[np.object_],
    spacing_nm: SpacingNm,
) -> pd.DataFrame:
    """Build the table of other objects: as `particle_table`, with the ``reason`` why each is no nanoparticle."""
    boxes = np.array(objects.box.tolist(), np.int64).reshape(-1, 6)
    centroids = np.array(objects.centroid.tolist(), np.float64).reshape(-1, 3)
    columns = _place_columns(boxes, centroids, spacing_nm)
    columns |= {"voxel_count": objects.voxels.to_numpy(np.int64)}
    columns |= _size_columns(objects, volume_nm3)
    return pd.DataFrame(
        columns
        | {
            "kind": np.full(len(objects), "other", object),
            "reason": reason.astype(object),
            "confidence": confidence.astype(np.float64),
        }
    )


def _place_columns(
    boxes: NDArray[np.int64], centroids: NDArray[np.float64], spacing_nm: SpacingNm
) -> dict[str, Any]:
    """Number the objects, and give their boxes and their centroids (N, 3), in voxels, their columns."""
    columns: dict[str, Any] = {"label": np.arange(1, len(boxes) + 1, dtype=np.uint32)}
    columns |= dict(zip(BOX_COLUMNS, boxes.T, strict=True))
    return columns | dict(zip(CENTROID_COLUMNS, (centroids * spacing_um(spacing_nm)).T, strict=True))


def _size_columns(objects: pd.DataFrame, volume_nm3: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    volume = volume_nm3 / _NM3_PER_UM3
    return {
        "volume_um3": volume,
        "equivalent_diameter_um": np.cbrt(6 / np.pi * volume),
        "mean_intensity": objects.level.to_numpy(np.float64),
        "contrast": contrast_of(objects),
    }
