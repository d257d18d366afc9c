"""Chapter of the report on uptake: dose of cells against size and depth, particles in cells, agglomerates, contacts."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from spherovem_core.output.uptake import FEWEST_CELLS
from spherovem_core.report.charts import distribution, scatter
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Panel, Picture, Section, Table

TITLE = "Uptake and contacts"
NAMES: Mapping[str, str] = {
    "nanoparticle_count": "particles per cell",
    "nanoparticle_volume_um3": "particle volume per cell",
    "nanoparticle_volume_fraction": "fraction of the cell's volume",
    "nanoparticle_density_per_um3": "particles per cell volume",
    "volume_um3": "volume of the cell",
    "depth_um": "depth below the surface",
}
MOST_OUTSIDE = 0.05
"""Fraction of the cells with their centroid outside of the specimen from which there is a warning."""

SIZES = ((1, 1, "1"), (2, 2, "2"), (3, 5, "3 to 5"), (6, 10, "6 to 10"), (11, None, "more than 10"))
"""Classes of agglomerates by the number of particles: first, last and name."""


def dose_section(inputs: ReportInputs) -> Section:
    """Show doses against size and depth of cells, places of particles and agglomerates, and contacts between cells."""
    facts, pictures, tables = [], [], []
    if not inputs.is_absent("cells"):
        facts += _contact_facts(inputs) + _depth_facts(inputs)
        pictures += _contact_pictures(inputs)
    if not (inputs.is_absent("cells") or inputs.is_absent("nanoparticles")):
        facts = [*_dose_facts(inputs), *_place_facts(inputs), *facts]
        pictures = [*_uptake_pictures(inputs), *pictures]
        tables += _uptake_tables(inputs)
    if not inputs.is_absent("nanoparticles"):
        tables += _agglomerate_tables(inputs)
    if not (facts or tables):
        facts = [("Cells and nanoparticles", "none given, or measured by an older version")]
    return Section("uptake", TITLE, facts, pictures, tables)


def dose_warnings(inputs: ReportInputs) -> Sequence[str]:
    """Warn if the depth of most cells may be less than stated, and if cells lie outside of the specimen."""
    cells = inputs.tables["cells"]
    if "depth_note" not in cells or not len(cells):
        return []
    warnings = []
    unsure = int((cells["depth_um"].notna() & (cells["depth_note"] != "")).sum())
    if 2 * unsure > len(cells):
        warnings.append(
            f"the nearest surface of the specimen may lie outside of the field for {unsure} of {len(cells)} cells: "
            "their depth_um is an upper bound, depth_at_least_um a lower one"
        )
    outside = int((cells["depth_um"] < 0).sum())
    if outside > MOST_OUTSIDE * len(cells):
        warnings.append(
            f"the centroids of {outside} of {len(cells)} cells lie outside of the specimen mask: their depth_um is negative, and "
            "they do not count for uptake against depth; look at the mask, and set nanoparticles.find_resin to false if it "
            "takes tissue for resin"
        )
    return warnings


def _dose_facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    cells = inputs.tables["cells"]
    if "nanoparticle_volume_fraction" not in cells or not len(cells):
        return []
    facts = [
        ("Particles per cell", _quartiles(cells["nanoparticle_count"])),
        ("Particle volume per cell", _quartiles(cells["nanoparticle_volume_um3"], "µm³")),
        ("Fraction of the cell's volume", _quartiles(100 * cells["nanoparticle_volume_fraction"], "%")),
    ]
    if cells["nanoparticle_mass_pg"].notna().any():
        density = inputs.parameters.output.particle_density_g_cm3
        facts.append(
            (f"Mass per cell (at {density:g} g/cm³)", _quartiles(cells["nanoparticle_mass_pg"], "pg"))
        )
    return facts


def _place_facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    particles, own = inputs.tables["nanoparticles"], inputs.parameters.output
    if "at_membrane" not in particles:
        return []
    facts = [
        (
            f"At the membrane (within {own.membrane_distance_nm:g} nm)",
            _part(particles["at_membrane"], particles["membrane_gap_um"].notna()),
        )
    ]
    if not inputs.is_absent("nuclei"):
        outside = particles["distance_to_nucleus_min_um"].notna() & ~particles["in_nucleus"]
        name = f"Perinuclear (within {own.perinuclear_distance_nm:g} nm of the nucleus)"
        facts.append((name, _part(particles["perinuclear"], outside)))
    alone = particles.groupby("agglomerate")["label"].transform("size") == 1
    facts.append(("In agglomerates of two or more", _part(~alone, pd.Series(True, particles.index))))
    return facts


def _contact_facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    cells = inputs.tables["cells"]
    if "contacts" not in inputs.tables or "neighbour_count" not in cells:
        return []
    whole = cells[cells["truncated_fraction"] == 0]
    facts = [("Contacts between cells", str(len(inputs.tables["contacts"])))]
    if len(whole):
        facts.append(("Neighbours of a whole cell", _quartiles(whole["neighbour_count"])))
        facts.append(("Surface in contact, whole cells", _quartiles(100 * whole["contact_fraction"], "%")))
    return facts


def _depth_facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    cells = inputs.tables["cells"]
    if "depth_um" not in cells or not len(cells):
        return []
    if not cells["depth_um"].notna().any():
        return [("Depth of cells", "the field holds no surface of the specimen")]
    certain = int((cells["depth_note"] == "").sum())
    low, high = cells["depth_um"].min(), cells["depth_um"].max()
    return [("Depth of cells", f"{low:.3g} to {high:.3g} µm; certain for {certain} of {len(cells)}")]


def _uptake_pictures(inputs: ReportInputs) -> list[Picture]:
    cells = inputs.tables["cells"]
    if "nanoparticle_volume_fraction" not in cells or not len(cells):
        return []
    whole = cells[cells["truncated_fraction"] == 0]
    panels = [
        _points(
            {"whole cells": whole}, "volume_um3", "volume of the cell (µm³)", "nanoparticle_count", "Size"
        )
    ]
    caption = "Particles of each cell that no border cuts against its volume"
    if "depth_um" in cells and cells["depth_um"].notna().any():
        sure = cells["depth_note"] == ""
        groups = {"certain depth": cells[sure], "surface may be nearer": cells[~sure]}
        panels.append(_points(groups, "depth_um", "depth (µm)", "nanoparticle_density_per_um3", "Depth"))
        caption += "; particles per volume of each cell against its depth below the specimen's surface"
    return [Picture(panels, caption + ".")]


def _points(groups: Mapping[str, pd.DataFrame], x: str, x_label: str, y: str, title: str) -> Panel:
    y_label = NAMES[y] + (" (1/µm³)" if y.endswith("_per_um3") else "")
    return scatter({name: (own[x], own[y]) for name, own in groups.items()}, x_label, y_label, title)


def _contact_pictures(inputs: ReportInputs) -> list[Picture]:
    contacts, cells = inputs.tables.get("contacts"), inputs.tables["cells"]
    if contacts is None or "neighbour_count" not in cells or not len(contacts):
        return []
    whole = cells[cells["truncated_fraction"] == 0]
    panels = [
        distribution({"pairs": contacts["contact_area_um2"]}, "area of a contact (µm²)", "Contacts", "pairs"),
        distribution(
            {"cells": whole["neighbour_count"]}, "neighbours of a whole cell", "Neighbours", "cells"
        ),
    ]
    gap = inputs.parameters.spatial.contact_gap_um
    text = f"Contacts between cells that are at most {gap:g} µm apart: areas, and neighbours of cells that no border cuts."
    return [Picture(panels, text)]


def _uptake_tables(inputs: ReportInputs) -> list[Table]:
    uptake = inputs.tables.get("uptake")
    if uptake is None or not len(uptake):
        return []
    shown = pd.DataFrame(
        {
            "measure": uptake["measure"].map(NAMES),
            "against": uptake["against"].map(NAMES),
            "cells": uptake["cell_count"],
            "rank correlation": uptake["spearman_rho"].round(3),
            "95 % from": uptake["spearman_rho_low"].round(3),
            "to": uptake["spearman_rho_high"].round(3),
            "why not": uptake["reason"],
        }
    )
    title = f"Uptake against size and depth (Spearman; intervals by the scatter of cells, from {FEWEST_CELLS} cells)"
    return [Table(title, shown)]


def _agglomerate_tables(inputs: ReportInputs) -> list[Table]:
    """Count agglomerates by the number of particles and by place."""
    table = inputs.tables.get("agglomerates")
    if table is None or "at_membrane" not in table or not len(table):
        return []
    rows = []
    for first, last, name in SIZES:
        own = table[table["particle_count"].between(first, last or np.inf)]
        inside = own["parent_cell"] > 0
        rows.append(
            {
                "particles": name,
                "agglomerates": len(own),
                "volume (µm³)": round(float(own["volume_um3"].sum()), 4),
                "in a cell": int(inside.sum()),
                "in a nucleus": int(own["in_nucleus"].sum()),
                "perinuclear": int(own["perinuclear"].sum()),
                "at the membrane": int(own["at_membrane"].sum()),
                "across cells": int((own["cell_count"] > 1).sum()),
                "outside the specimen": int((own["place"] == "outside").sum()),
            }
        )
    return [Table("Agglomerates by size and place (1: a particle that touches no other)", pd.DataFrame(rows))]


def _quartiles(values: "pd.Series[float]", unit: str = "") -> str:
    known = values[values.notna()]
    if not len(known):
        return "not known"
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
    text = f"{middle:.3g} (quartiles {low:.3g} to {high:.3g})"
    return f"{text} {unit}".strip()


def _part(chosen: "pd.Series[bool]", known: "pd.Series[bool]") -> str:
    count, total = int((chosen & known).sum()), int(known.sum())
    return f"{count} of {total}" + (f" ({100 * count / total:.1f} %)" if total else "")
