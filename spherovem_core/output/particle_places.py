"""Particles at membranes and around nuclei, and their mass."""

import numpy as np
import pandas as pd

from spherovem_core.output.column_order import before_marks
from spherovem_core.parameters import OutputParameters
from spherovem_core.spacing import NM_PER_UM

PG_PER_UM3 = 1.0
"""Mass in pg of 1 µm³ at a density of 1 g/cm³."""


def with_particle_places(particles: pd.DataFrame, parameters: OutputParameters) -> pd.DataFrame:
    """Add mass and places in the cell to the table of particles.

    Parameters
    ----------
    particles
        Table with ``volume_um3``, ``in_nucleus``, ``membrane_gap_um`` and ``distance_to_nucleus_min_um``. Tables of older
        versions lack ``membrane_gap_um``; no particle is at a membrane then.
    parameters
        The two distances, and the density.

    Returns
    -------
    DataFrame
        The table with, before ``corrected``: ``mass_pg``, NaN without a density; ``at_membrane``, whether the gap to the
        membrane of the parent cell is at most ``membrane_distance_nm``; ``perinuclear``, whether it is not in a nucleus and at
        most ``perinuclear_distance_nm`` from that of its parent. Both are False where the distance is not known.
    """
    volume = particles["volume_um3"].to_numpy(np.float64)
    density = np.nan if parameters.particle_density_g_cm3 is None else parameters.particle_density_g_cm3
    inside = particles["in_nucleus"].to_numpy(bool)
    gap = _distance(particles, "membrane_gap_um")
    nucleus = _distance(particles, "distance_to_nucleus_min_um")
    return before_marks(
        particles,
        {
            "mass_pg": volume * density * PG_PER_UM3,
            "at_membrane": gap <= parameters.membrane_distance_nm / NM_PER_UM,
            "perinuclear": (nucleus <= parameters.perinuclear_distance_nm / NM_PER_UM) & ~inside,
        },
    )


def _distance(particles: pd.DataFrame, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if name not in particles:
        return np.full(len(particles), np.nan)
    return particles[name].to_numpy(np.float64)
