"""Dose of each cell: volume fraction, mass, and where in the cell its particles lie; and its contact with other cells."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.output.column_order import before_marks
from spherovem_core.output.particle_places import PG_PER_UM3

Floats = NDArray[np.float64]


def with_doses(
    cells: pd.DataFrame, particles: pd.DataFrame, density_g_cm3: float | None = None
) -> pd.DataFrame:
    """Add what the particles of each cell amount to, and its contact with others.

    Parameters
    ----------
    cells
        Table with ``label``, ``volume_um3``, ``surface_area_um2``, ``nanoparticle_volume_um3`` and ``contact_area_um2``, all
        cells. Tables of older versions lack the last; the fraction is NaN then.
    particles
        Table with ``parent_cell``, ``agglomerate``, and the columns of `with_particle_places`. Those marked ``excluded`` do not
        count.
    density_g_cm3
        Density of the particles; None leaves their mass unknown.

    Returns
    -------
    DataFrame
        The table with, before ``corrected``:

        - ``contact_fraction``: contact area over the area of the cell's surface; both are of the part in the volume.
        - ``nanoparticle_volume_fraction``: volume of its particles over its own.
        - ``nanoparticle_mass_pg`` and ``nanoparticle_concentration_pg_per_um3``: mass of its particles, and that over its volume;
          NaN without a density.
        - ``nanoparticle_membrane_fraction``, ``nanoparticle_perinuclear_fraction``: fractions, by number, of its particles that
          have the distance; NaN with none.
        - ``agglomerate_count``: agglomerates of two or more of its particles.
        - ``agglomerated_fraction``: fraction of its particles, by number, that are in those; NaN without particles.
    """
    counted = particles[~particles["excluded"]] if "excluded" in particles else particles
    counted = counted[counted["parent_cell"] > 0]
    own = counted["parent_cell"].to_numpy(np.int64)
    labels = cells["label"].to_numpy(np.int64)
    volume = cells["volume_um3"].to_numpy(np.float64)
    taken_up = cells["nanoparticle_volume_um3"].to_numpy(np.float64)
    mass = taken_up * (np.nan if density_g_cm3 is None else density_g_cm3 * PG_PER_UM3)
    known_gap = np.isfinite(column_or_nan(counted, "membrane_gap_um"))
    known_nucleus = np.isfinite(column_or_nan(counted, "distance_to_nucleus_min_um")) & ~counted[
        "in_nucleus"
    ].to_numpy(bool)
    shared = counted.groupby(["parent_cell", "agglomerate"])["label"].transform("size").to_numpy() > 1
    groups = counted[shared].drop_duplicates(["parent_cell", "agglomerate"])["parent_cell"].to_numpy(np.int64)
    return before_marks(
        cells,
        {
            "contact_fraction": _ratio(
                column_or_nan(cells, "contact_area_um2"), cells["surface_area_um2"].to_numpy(np.float64)
            ),
            "nanoparticle_volume_fraction": _ratio(taken_up, volume),
            "nanoparticle_mass_pg": mass,
            "nanoparticle_concentration_pg_per_um3": _ratio(mass, volume),
            "nanoparticle_membrane_fraction": _fraction(
                own, counted["at_membrane"].to_numpy(bool), known_gap, labels
            ),
            "nanoparticle_perinuclear_fraction": _fraction(
                own, counted["perinuclear"].to_numpy(bool), known_nucleus, labels
            ),
            "agglomerate_count": _sums(groups, np.ones(len(groups)), labels).astype(np.int64),
            "agglomerated_fraction": _fraction(own, shared, np.ones(len(own), bool), labels),
        },
    )


def column_or_nan(table: pd.DataFrame, name: str) -> Floats:
    """Return a column as numbers; NaN in all rows if the table lacks it."""
    return np.asarray(table[name].to_numpy(np.float64)) if name in table else np.full(len(table), np.nan)


def _sums(own: NDArray[np.int64], values: Floats, labels: NDArray[np.int64]) -> Floats:
    """Sum values by cell, 0 for cells with none."""
    found = pd.Series(values).groupby(own).sum().reindex(labels, fill_value=0.0)
    return np.asarray(found.to_numpy(np.float64))


def _fraction(
    own: NDArray[np.int64], chosen: NDArray[np.bool_], known: NDArray[np.bool_], labels: NDArray[np.int64]
) -> Floats:
    """Count the chosen ones among the known ones of each cell."""
    found = _sums(own[known], chosen[known].astype(np.float64), labels)
    return _ratio(found, _sums(own[known], np.ones(int(known.sum())), labels))


def _ratio(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found
