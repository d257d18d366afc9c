"""Intervals of the volume of particles, of their distances to the nucleus, and of the dose of cells."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.output.column_order import before_marks
from spherovem_core.output.object_intervals import SHIFT_COLUMNS
from spherovem_core.output.particle_error_weights import (
    COMMON_SIZE_SD,
    DISTANCE_ERROR,
    SIZE_BY_NOISE,
    SIZE_BY_WIDTH,
    SIZE_FLOOR,
)
from spherovem_core.spacing import NM_PER_UM, SpacingNm

Floats = NDArray[np.float64]

NORMAL = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""
DISTANCES = ("distance_to_nucleus", "distance_to_nucleus_min")


def volume_errors(particles: pd.DataFrame, spacing_nm: SpacingNm, noise: float | None) -> Floats:
    """Estimate the error of the volume of each particle, without the part that all particles of an acquisition share.

    The outline is known to a fraction of a voxel, so that the relative error falls with the diameter; noise adds its mean
    over the voxels of the particle, in contrasts.

    Parameters
    ----------
    particles
        Table with ``equivalent_diameter_um``, ``voxel_count`` and ``contrast``.
    spacing_nm
        Voxel size of the image.
    noise
        Standard deviation of its noise in grey values; None for imported particles.

    Returns
    -------
    (N,) ndarray
        Standard deviation of the natural logarithm of the volume; NaN for imported particles.
    """
    if noise is None:
        return np.full(len(particles), np.nan)
    voxel_um = float(np.cbrt(np.prod(spacing_nm))) / NM_PER_UM
    width = np.maximum(particles["equivalent_diameter_um"].to_numpy(np.float64) / voxel_um, 0.5)
    count = np.maximum(particles["voxel_count"].to_numpy(np.float64), 1)
    relative = noise / np.maximum(particles["contrast"].to_numpy(np.float64), 1e-6)
    parts = SIZE_FLOOR**2 + (SIZE_BY_WIDTH / width) ** 2 + (SIZE_BY_NOISE * relative) ** 2 / count
    return np.asarray(np.sqrt(parts))


def with_particle_intervals(
    particles: pd.DataFrame, nuclei: pd.DataFrame, spacing_nm: SpacingNm, noise: float | None
) -> pd.DataFrame:
    """Add the 95 % intervals of volume, diameter and distance to the nucleus of each particle.

    Parameters
    ----------
    particles
        Final table of nanoparticles.
    nuclei
        Final table of nuclei with ``parent_cell`` and the shift of their surfaces (`with_object_intervals`).
    spacing_nm, noise
        As for `volume_errors`.

    Returns
    -------
    DataFrame
        The table with ``volume_low_um3``, ``volume_high_um3``, ``equivalent_diameter_low_um``,
        ``equivalent_diameter_high_um``, and ``distance_to_nucleus_low_um`` to ``distance_to_nucleus_min_high_um``. NaN for
        imported particles and where the nucleus has no interval.
    """
    volume = particles["volume_um3"].to_numpy(np.float64)
    error = np.hypot(volume_errors(particles, spacing_nm, noise), COMMON_SIZE_SD)
    columns: dict[str, Floats] = {}
    for end, sign in (("low", -1.0), ("high", 1.0)):
        own = volume * np.exp(sign * NORMAL * error)
        columns[f"volume_{end}_um3"] = own
        columns[f"equivalent_diameter_{end}_um"] = np.cbrt(6 / np.pi * own)
    return before_marks(particles, columns | _distances(particles, nuclei, spacing_nm))


def _distances(particles: pd.DataFrame, nuclei: pd.DataFrame, spacing_nm: SpacingNm) -> dict[str, Floats]:
    """A nucleus whose surface lies too far out makes distances too small; its outline may be off at each place besides."""
    of_cell = nuclei.groupby("parent_cell")[list(SHIFT_COLUMNS)].agg(
        {SHIFT_COLUMNS[0]: "min", SHIFT_COLUMNS[1]: "max"}
    )
    low, high = (
        of_cell[name].reindex(particles["parent_cell"]).to_numpy(np.float64) for name in SHIFT_COLUMNS
    )
    found = {}
    local = tuple(share * max(spacing_nm) / NM_PER_UM for share in DISTANCE_ERROR)
    for name in DISTANCES:
        distance = particles[f"{name}_um"].to_numpy(np.float64)
        found[f"{name}_low_um"] = np.maximum(distance - np.hypot(low, local[0]), 0.0)
        found[f"{name}_high_um"] = distance + np.hypot(high, local[1])
    return found
