"""Gap between particles and the membrane of their cell."""

import numpy as np
import pandas as pd

from spherovem_core.spacing import SpacingNm, voxel_volume_um3


def measure_membrane_gaps(particles: pd.DataFrame, spacing_nm: SpacingNm) -> pd.DataFrame:
    """Add the distance from the surface of each particle to that of its parent cell.

    The particle is taken as the ball of its volume. The surface of the cell lies half a voxel before the centre of the nearest
    voxel outside of it, so that the gap is known to half a voxel of the cells' labels.

    Parameters
    ----------
    particles
        Table with ``volume_um3`` and ``distance_to_cell_surface_um`` (`measure_centroids`).
    spacing_nm
        Voxel size of the labels of cells.

    Returns
    -------
    DataFrame
        The table with ``membrane_gap_um``: negative where the ball crosses the membrane, NaN with no parent or with the centroid
        outside of it.
    """
    radius = np.cbrt(particles["volume_um3"].to_numpy(np.float64) * 3 / (4 * np.pi))
    half = np.cbrt(voxel_volume_um3(spacing_nm)) / 2
    return particles.assign(membrane_gap_um=particles["distance_to_cell_surface_um"] - half - radius)
