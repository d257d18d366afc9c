"""Columns of the shape table: those from a label's voxels and those from its surface."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS, LabelStatistics
from spherovem_core.shape.descriptors import SurfaceDescriptors
from spherovem_core.shape.harmonics import DEGREES
from spherovem_core.shape.label_grid import LabelBox
from spherovem_core.spacing import NM_PER_UM, SpacingNm, voxel_volume_um3

INERTIA = ("inertia_1_um2", "inertia_2_um2", "inertia_3_um2")
SURFACE = (
    "surface_area_um2",
    "sphericity",
    "mean_curvature_mean_per_um",
    "mean_curvature_std_per_um",
    "gaussian_curvature_mean_per_um2",
    "gaussian_curvature_std_per_um2",
    "shape_index_mean",
    "shape_index_std",
    "curvedness_mean_per_um",
    "curvedness_std_per_um",
    "curvature_scale_low_um",
    "curvature_scale_high_um",
    "surface_area_at_scale_um2",
    "mean_curvature_std_at_scale_per_um",
    "curvedness_mean_at_scale_per_um",
    "shape_index_mean_at_scale",
    "solidity",
    *(f"harmonic_power_{degree}" for degree in range(1, DEGREES + 1)),
    "fractal_dimension",
    "fractal_r2",
    "fractal_low_um",
    "fractal_high_um",
    "truncated_fraction",
)
COLUMNS = (
    "label",
    *BOX_COLUMNS,
    *CENTROID_COLUMNS,
    "voxel_count",
    "volume_um3",
    "equivalent_diameter_um",
    *SURFACE,
    *INERTIA,
    "shape_note",
)


@dataclass(frozen=True)
class LabelVoxels:
    """Bounding box, voxel count and face areas of one label.

    Attributes
    ----------
    box
        Its bounding box in the volume.
    voxel_count
        Its voxels.
    face_area_nm2, cut_area_nm2
        Area of its voxel faces inside the volume, and of those on the volume's border.
    """

    box: LabelBox
    voxel_count: int
    face_area_nm2: float
    cut_area_nm2: float


def surface_measures(label: LabelVoxels, found: SurfaceDescriptors, volume_nm3: float) -> dict[str, Any]:
    """Compute the surface columns of one label, with its label and its note; lengths in µm."""
    closed = found.area + label.cut_area_nm2
    spread, scale = found.spread, found.at_scale
    return {
        "label": label.box.label,
        "surface_area_um2": found.area / NM_PER_UM**2,
        "sphericity": np.pi ** (1 / 3) * (6 * volume_nm3) ** (2 / 3) / closed,
        "mean_curvature_mean_per_um": found.mean_curvature_mean * NM_PER_UM,
        "mean_curvature_std_per_um": spread.mean_curvature_std * NM_PER_UM,
        "gaussian_curvature_mean_per_um2": found.gaussian_curvature_mean * NM_PER_UM**2,
        "gaussian_curvature_std_per_um2": spread.gaussian_curvature_std * NM_PER_UM**2,
        "shape_index_mean": spread.shape_index_mean,
        "shape_index_std": spread.shape_index_std,
        "curvedness_mean_per_um": spread.curvedness_mean * NM_PER_UM,
        "curvedness_std_per_um": spread.curvedness_std * NM_PER_UM,
        "curvature_scale_low_um": scale.low / NM_PER_UM,
        "curvature_scale_high_um": scale.high / NM_PER_UM,
        "surface_area_at_scale_um2": scale.area / NM_PER_UM**2,
        "mean_curvature_std_at_scale_per_um": scale.mean_curvature_std * NM_PER_UM,
        "curvedness_mean_at_scale_per_um": scale.curvedness_mean * NM_PER_UM,
        "shape_index_mean_at_scale": scale.shape_index_mean,
        "solidity": found.solidity,
        **{f"harmonic_power_{degree}": power for degree, power in enumerate(found.harmonic_power, 1)},
        "fractal_dimension": found.fractal.dimension,
        "fractal_r2": found.fractal.r2,
        "fractal_low_um": found.fractal.low_nm / NM_PER_UM,
        "fractal_high_um": found.fractal.high_nm / NM_PER_UM,
        "truncated_fraction": label.cut_area_nm2 / closed,
        "shape_note": found.note,
    }


def voxel_measures(
    statistics: LabelStatistics, spacing_nm: SpacingNm, origin_nm: tuple[float, float, float]
) -> pd.DataFrame:
    """Compute the columns that follow from voxels alone, one row per label."""
    spacing = np.array(spacing_nm)
    centroids = (statistics.centroid * spacing + origin_nm) / NM_PER_UM
    covariance = statistics.covariance * np.multiply.outer(spacing, spacing) / NM_PER_UM**2
    spread = np.linalg.eigvalsh(covariance)
    moments = np.sort(spread.sum(axis=1, keepdims=True) - spread, axis=1)[:, ::-1]
    volume = statistics.voxel_count * voxel_volume_um3(spacing_nm)
    columns: dict[str, Any] = {"label": statistics.labels}
    columns |= dict(zip(BOX_COLUMNS, np.hstack([statistics.low, statistics.high]).T, strict=True))
    columns |= dict(zip(CENTROID_COLUMNS, centroids.T, strict=True))
    columns |= {
        "voxel_count": statistics.voxel_count,
        "volume_um3": volume,
        "equivalent_diameter_um": (6 * volume / np.pi) ** (1 / 3),
    }
    columns |= dict(zip(INERTIA, np.maximum(moments, 0).T, strict=True))
    return pd.DataFrame(columns)
