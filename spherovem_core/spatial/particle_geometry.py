"""Position and size of each particle, for labels that come without a table."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS, collect_label_statistics
from spherovem_core.spacing import SpacingNm, spacing_um, voxel_volume_um3
from spherovem_core.spatial.grids import SERIAL


def measure_geometry(
    particles: ArrayLike, spacing_nm: SpacingNm, execution: Execution = SERIAL
) -> pd.DataFrame:
    """Measure the bounding box, the centroid and the volume of each particle.

    Parameters
    ----------
    particles : (Z, Y, X) array-like of unsigned integers
        Labels of the particles, 0 is background; read block by block.
    spacing_nm : (dz, dy, dx)
        Voxel size of `particles` in nm.
    execution
        Its executor maps blocks. Runs on the CPU.

    Returns
    -------
    DataFrame
        One row per label, rising: ``label``; ``bbox_z0`` to ``bbox_x1`` (voxels, half-open); ``centroid_z_um`` to
        ``centroid_x_um`` (mean voxel index times spacing); ``voxel_count``; ``volume_um3``; ``equivalent_diameter_um`` (of
        the ball with the same volume).
    """
    found = collect_label_statistics(particles, execution.executor)
    volume = found.voxel_count * voxel_volume_um3(spacing_nm)
    columns: dict[str, NDArray[Any]] = {"label": found.labels}
    columns |= dict(zip(BOX_COLUMNS, np.hstack([found.low, found.high]).T, strict=True))
    columns |= dict(zip(CENTROID_COLUMNS, (found.centroid * spacing_um(spacing_nm)).T, strict=True))
    columns |= {
        "voxel_count": found.voxel_count,
        "volume_um3": volume,
        "equivalent_diameter_um": np.cbrt(6 / np.pi * volume),
    }
    return pd.DataFrame(columns)
