"""Intervals of the dose of each cell, and of the totals of an acquisition."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.output.cell_doubts import cell_doubts
from spherovem_core.output.column_order import before_marks
from spherovem_core.output.counting_evidence import (
    CountingEvidence,
    cut_ratios,
    number_of_rows,
)
from spherovem_core.output.particle_draws import FoundParticles, Grouping, particle_intervals
from spherovem_core.output.particle_intervals import volume_errors
from spherovem_core.output.particle_places import PG_PER_UM3
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.tables import column_unit

Floats = NDArray[np.float64]

IMPORTED = "imported particles have no confidence"
NO_SIZE = "no particle was found that shows how large missed ones are"
METHOD = (
    "draws from confidences, unexplained other objects, particles at the border, recall and errors of volumes"
)


def with_dose_intervals(
    cells: pd.DataFrame,
    particles: pd.DataFrame,
    spacing_nm: SpacingNm,
    noise: float | None,
    density_g_cm3: float | None = None,
    evidence: CountingEvidence | None = None,
) -> pd.DataFrame:
    """Add the 95 % intervals of the particles of each cell.

    They account for objects that are no particles, for particles that were missed, for the errors of volumes
    (`draw_particles`), for a cell that is wrong or whose surface is shifted (`CellDoubts`), and, in the fraction, for the volume
    of the cell. The interval of a mass is that of the volume times the density, which is taken as exact.

    Parameters
    ----------
    cells
        Final table with the intervals of `with_object_intervals` and the doses of `with_doses`.
    particles
        Final table; those marked ``excluded`` do not count.
    spacing_nm, noise
        Voxel size of the image, and standard deviation of its noise in grey values; None for imported particles.
    density_g_cm3
        Density of the particles.
    evidence
        On particles that were missed; None: none.

    Returns
    -------
    DataFrame
        The table with lower and upper ends of ``nanoparticle_count``, ``nanoparticle_volume_um3``,
        ``nanoparticle_volume_fraction`` and ``nanoparticle_mass_pg``; NaN for imported particles,
        and all but the count where no particle was found that shows how large missed ones are.
    """
    known = pd.Series(np.arange(len(cells)), cells["label"].to_numpy())
    counted = _counted(particles)
    owner = known.reindex(counted["parent_cell"]).to_numpy(np.float64)
    inside = np.isfinite(owner)
    own, owner_row = counted[inside], owner[inside].astype(np.int64)
    evidence = evidence or CountingEvidence()
    volume_um3 = float(cells["volume_um3"].sum()) if len(cells) else 0.0
    per_um3 = len(own) / volume_um3 if volume_um3 > 0 else 0.0
    body_cell = known.reindex(evidence.body_cells).to_numpy(np.float64)
    in_cell = np.isfinite(body_cell)
    grouping = Grouping(
        owner_row,
        len(cells),
        evidence.bodies.of(in_cell),
        body_cell[in_cell].astype(np.int64),
        cut_ratios(cells, evidence),
        cell_doubts(cells, owner_row, own, per_um3),
    )
    ends = _ends(own, grouping, counted, spacing_nm, noise, evidence.explained)
    mass = np.nan if density_g_cm3 is None else density_g_cm3 * PG_PER_UM3
    columns: dict[str, Floats] = {}
    for end, other in (("low", "high"), ("high", "low")):
        volume = ends[f"volume_{end}"]
        columns |= {
            f"nanoparticle_count_{end}": ends[f"count_{end}"],
            f"nanoparticle_volume_{end}_um3": volume,
            f"nanoparticle_volume_fraction_{end}": _fraction(cells, volume, end, other),
            f"nanoparticle_mass_{end}_pg": volume * mass,
        }
    return before_marks(cells, columns)


def _fraction(cells: pd.DataFrame, taken_up: Floats, end: str, other: str) -> Floats:
    """Divide by the cell; the relative errors of both are independent."""
    volume, particles = (
        cells[name].to_numpy(np.float64) for name in ("volume_um3", "nanoparticle_volume_um3")
    )
    cell = cells[f"volume_{other}_um3"].to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = particles / volume
        spread = np.hypot(taken_up - particles, particles * (volume / cell - 1)) / volume
        alone = taken_up / cell
    sign = -1.0 if end == "low" else 1.0
    # With no particle found, there is no middle to spread from.
    found: Floats = np.where(particles > 0, np.maximum(middle + sign * spread, 0.0), alone)
    return found


def particle_totals(
    particles: pd.DataFrame,
    spacing_nm: SpacingNm,
    noise: float | None,
    evidence: CountingEvidence | None = None,
) -> pd.DataFrame:
    """Compute number and volume of all particles of an acquisition, and of those in cells, with 95 % intervals.

    Returns
    -------
    DataFrame
        ``quantity``, ``unit``, ``found`` (number or volume of the objects in the table), ``low``, ``high``, ``note``,
        ``method``. NaN for imported particles, and for volumes where no particle was found.
    """
    counted = _counted(particles)
    evidence = evidence or CountingEvidence()
    owner, body_owner = (np.zeros(len(rows), np.int64) for rows in (counted, evidence.bodies))
    every = Grouping(owner, 1, evidence.bodies, body_owner, np.array([evidence.slivers]))
    outside = counted["parent_cell"].to_numpy(np.int64) == 0
    rows = []
    groups = {
        "": (every, counted),
        "_in_cells": (
            replace(every, outside=outside, body_outside=evidence.body_cells == 0),
            counted[~outside],
        ),
    }
    for suffix, (grouping, own) in groups.items():
        ends = _ends(counted, grouping, counted, spacing_nm, noise, evidence.explained)
        for name, unit_name, key, found in (
            (f"nanoparticle_count{suffix}", "nanoparticle_count", "count", float(len(own))),
            (f"nanoparticle_volume{suffix}", "volume_um3", "volume", float(own["volume_um3"].sum())),
        ):
            low, high = (float(ends[f"{key}_{end}"][0]) for end in ("low", "high"))
            note = IMPORTED if noise is None else NO_SIZE if np.isnan(high) else ""
            rows.append((name, column_unit(unit_name), found, low, high, note, METHOD))
    return pd.DataFrame(rows, columns=["quantity", "unit", "found", "low", "high", "note", "method"])


def _usual(counted: pd.DataFrame) -> float:
    """Return the mean volume of particles; NaN without any."""
    return float(counted["volume_um3"].mean()) if len(counted) else float("nan")


def _ends(
    own: pd.DataFrame,
    grouping: Grouping,
    counted: pd.DataFrame,
    spacing_nm: SpacingNm,
    noise: float | None,
    explained: tuple[int, int],
) -> dict[str, Floats]:
    if noise is None:
        unknown = np.full(grouping.groups, np.nan)
        return dict.fromkeys(("count_low", "count_high", "volume_low", "volume_high"), unknown)
    confidence = np.nan_to_num(own["confidence"].to_numpy(np.float64), nan=1.0)
    if "corrected" in own:
        # A person made or looked at it.
        confidence = np.where(own["corrected"].to_numpy(bool), 1.0, confidence)
    found = FoundParticles(
        grouping,
        confidence,
        own["volume_um3"].to_numpy(np.float64),
        np.nan_to_num(volume_errors(own, spacing_nm, noise)),
        _usual(counted),
        number_of_rows(own, counted),
        explained,
    )
    return particle_intervals(found)


def _counted(particles: pd.DataFrame) -> pd.DataFrame:
    return particles[~particles["excluded"].to_numpy(bool)] if "excluded" in particles else particles
