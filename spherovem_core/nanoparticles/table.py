"""Table of nanoparticles."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.label_statistics import BOX_COLUMNS
from spherovem_core.nanoparticles.components import (
    INTENSITY,
    POSTERIOR,
    POSTERIOR_UNIT,
    SUM_Z,
    VOXELS,
    ComponentMeasures,
)
from spherovem_core.spacing import SpacingNm, spacing_um, voxel_volume_um3


def particle_table(measures: ComponentMeasures, spacing_nm: SpacingNm) -> pd.DataFrame:
    """Build the table of particles, with one row per particle, label 1 first.

    Parameters
    ----------
    measures
        Measures of the particles in the order of their labels.
    spacing_nm
        Voxel size (dz, dy, dx).

    Returns
    -------
    DataFrame
        ``label``; ``bbox_z0`` to ``bbox_x1`` (voxels, half-open); ``centroid_z_um`` to ``centroid_x_um`` (mean voxel
        index times spacing); ``voxel_count``; ``volume_um3``; ``equivalent_diameter_um`` (of the ball of the same volume);
        ``mean_posterior``; ``mean_intensity`` (of the image as stored).
    """
    voxels = measures.sums[:, VOXELS]
    columns: dict[str, NDArray[Any]] = {"label": np.arange(1, len(measures) + 1, dtype=np.uint32)}
    columns |= dict(zip(BOX_COLUMNS, measures.boxes.T, strict=True))
    for n, (axis, step) in enumerate(zip("zyx", spacing_um(spacing_nm), strict=True)):
        columns[f"centroid_{axis}_um"] = measures.sums[:, SUM_Z + n] / voxels * step
    volume = voxels * voxel_volume_um3(spacing_nm)
    return pd.DataFrame(
        columns
        | {
            "voxel_count": voxels,
            "volume_um3": volume,
            "equivalent_diameter_um": np.cbrt(6 / np.pi * volume),
            "mean_posterior": measures.sums[:, POSTERIOR] / voxels * POSTERIOR_UNIT,
            "mean_intensity": measures.sums[:, INTENSITY] / voxels,
        }
    )
