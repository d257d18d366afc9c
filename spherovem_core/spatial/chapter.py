"""Spatial chapter of the report: particles compared with random places, particles per cell, overview in 3D."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spherovem_core.label_statistics import CENTROID_COLUMNS
from spherovem_core.report.charts import HEIGHT, WIDTH, distribution, envelope_lines
from spherovem_core.report.figures import (
    PALETTE,
    SOFT,
    Layer,
    Margins,
    add_legend,
    finish,
    new_panel,
    show_empty_reason,
)
from spherovem_core.report.findings import findings, left_out, random_places
from spherovem_core.report.images import map_plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Panel, Picture, Section, Table
from spherovem_core.report.surfaces import Body, balls, draw, volume_surface
from spherovem_core.report.views import cut, fitting_level
from spherovem_core.store.layout import DISTANCE, REGISTERED, ObjectKind, labels_group

OVERVIEW_VOXELS = 96
MOST_BALLS = 1500
OVERVIEW_WIDTH = 7.0
OVERVIEW_PX = 1000
NUCLEUS_COLOUR, PARTICLE_COLOUR, CELL_COLOUR = "#62b0e8", "#f0627a", "#e3b45a"


def spatial_section(inputs: ReportInputs) -> Section:
    """Show the distance of particles from the nucleus of their cell, and how they differ from random places."""
    absent = [kind for kind in ("cells", "nuclei", "nanoparticles") if inputs.is_absent(kind)]
    if len(absent) > 1:
        return Section("spatial", "Spatial relations", [(kind.capitalize(), "none given") for kind in absent])
    if absent == ["nanoparticles"]:
        return _without_particles(inputs)
    particles, cells = inputs.tables["nanoparticles"], inputs.tables["cells"]
    if absent:
        return Section("spatial", "Spatial relations", *_without(inputs, absent[0]))
    measured = particles["distance_to_nucleus_um"].to_numpy(dtype=float)
    facts = [
        ("Particles with a distance", f"{int(np.isfinite(measured).sum())} of {len(particles)}"),
        ("Cells with particles", f"{int((cells['nanoparticle_count'] > 0).sum())} of {len(cells)}"),
    ]
    if np.isfinite(measured).any():
        facts.append(("Median distance to the nucleus", f"{np.nanmedian(measured):.3g} µm"))
    facts += _findings(inputs)
    profile = inputs.tables.get("enrichment")
    pictures, tables = [_enrichment(profile)], []
    if profile is not None and profile["pattern_fraction"].notna().any():
        facts.append(("Mean distance of particle volume", _mean_distances(profile)))
        tables.append(
            Table("Particle volume by distance to the nucleus", _profile_table(profile), folded=True)
        )
    pictures += [*_clustering_pictures(inputs), _by_cell(inputs), *_map(inputs), _overview(inputs)]
    return Section("spatial", "Spatial relations", facts, pictures, tables)


def spatial_warnings(inputs: ReportInputs) -> Sequence[str]:
    """Warn if many particles are left out of the comparison with random places."""
    particles = inputs.tables["nanoparticles"]
    if "pattern_note" not in particles or inputs.is_absent("cells") or not len(particles):
        return []
    reasons = left_out(particles)
    missing = sum(count for _, count in reasons)
    if 2 * missing <= len(particles):
        return []
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
    return [f"clustering and enrichment leave out {missing} of {len(particles)} particles: {listed}"]


def _findings(inputs: ReportInputs) -> list[tuple[str, str]]:
    """State what the comparison with random places says, and which particles it leaves out."""
    if "tests" not in inputs.tables:
        return []
    tests = inputs.tables["tests"]
    facts = [(title.capitalize(), text) for title, text in findings(tests).items()]
    facts.append(("Compared with", random_places(tests)))
    if reasons := left_out(inputs.tables["nanoparticles"]):
        facts.append(("Particles not compared", ", ".join(f"{count} {reason}" for reason, count in reasons)))
    return facts


def _without_particles(inputs: ReportInputs) -> Section:
    """Show nuclei in their cells, where no particles were given."""
    nuclei, cells = inputs.tables["nuclei"], inputs.tables["cells"]
    facts = [
        ("Nanoparticles", "none given"),
        ("Nuclei in a cell", f"{int((nuclei['parent_cell'] > 0).sum())} of {len(nuclei)}"),
        ("Cells with a nucleus", f"{int((cells['nucleus_count'] > 0).sum())} of {len(cells)}"),
    ]
    return Section("spatial", "Spatial relations", facts, [*_map(inputs), _overview(inputs)])


def _without(inputs: ReportInputs, absent: str) -> tuple[list[tuple[str, str]], list[Picture]]:
    """Show what is known of particles where no cells or no nuclei were given: no distance, no enrichment."""
    particles, cells = inputs.tables["nanoparticles"], inputs.tables["cells"]
    facts = [
        (absent.capitalize(), "none given"),
        ("Distance to the nucleus", f"not measured without {absent}"),
    ]
    if absent == "cells":
        facts.append(("In a nucleus", f"{int(particles['in_nucleus'].sum())} of {len(particles)}"))
        return [*facts, *_findings(inputs)], [*_clustering_pictures(inputs), _overview(inputs)]
    facts.append(("In a cell", f"{int((particles['parent_cell'] > 0).sum())} of {len(particles)}"))
    facts.append(("Cells with particles", f"{int((cells['nanoparticle_count'] > 0).sum())} of {len(cells)}"))
    facts += _findings(inputs)
    return facts, [*_clustering_pictures(inputs), _by_cell(inputs), _overview(inputs)]


def _mean_distances(profile: pd.DataFrame) -> str:
    middle = (profile["distance_low_um"] + profile["distance_high_um"]) / 2
    found, by_chance = (
        float((middle * profile[name]).sum()) for name in ("pattern_fraction", "random_fraction")
    )
    return f"{found:.3g} µm, at random places {by_chance:.3g} µm (in the cytoplasm)"


def _profile_table(profile: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "distance_low_um": "from (µm)",
        "distance_high_um": "to (µm)",
        "pattern_fraction": "fraction found",
        "random_fraction": "fraction at random",
        "enrichment": "enrichment",
        "enrichment_low": "95 % from",
        "enrichment_high": "to",
        "enrichment_random_low": "random from",
        "enrichment_random_high": "to (random)",
    }
    return profile[list(columns)].rename(columns=columns)


def _enrichment(profile: pd.DataFrame | None) -> Picture:
    axes = new_panel(WIDTH, HEIGHT, "Particle volume", legend=True)
    axes.set(xlabel="distance to the nucleus (µm)", ylabel="fraction of the volume")
    ratios = new_panel(WIDTH, HEIGHT, "Enrichment", legend=True)
    ratios.set(xlabel="distance to the nucleus (µm)", ylabel="found / at random")
    if profile is None or not profile["pattern_fraction"].notna().any():
        reason = (
            "not measured in this run"
            if profile is None
            else "no particle in the\ncytoplasm of a cell with a nucleus"
        )
        for each in (axes, ratios):
            show_empty_reason(each, reason)
    else:
        edges = [*profile["distance_low_um"], profile["distance_high_um"].iloc[-1]]
        axes.stairs(
            profile["random_fraction"], edges, fill=True, color=SOFT, alpha=0.5, label="random places"
        )
        axes.stairs(profile["pattern_fraction"], edges, color=PALETTE[1], linewidth=1.8, label="particles")
        add_legend(axes)
        ratios.axhline(1, color=SOFT, linewidth=1, linestyle="--")
        enough = profile["random_fraction"] >= 0.005
        low, high = (profile[f"enrichment_global_{end}"].where(enough) for end in ("low", "high"))
        ratios.stairs(
            high, edges, baseline=low, fill=True, color=SOFT, alpha=0.4, label="random places (95 %)"
        )
        ratios.stairs(
            profile["enrichment"].where(enough),
            edges,
            color=PALETTE[1],
            linewidth=1.8,
            baseline=None,
            label="particles",
        )
        middle = (profile["distance_low_um"] + profile["distance_high_um"]) / 2
        low, high = (profile[f"enrichment_{end}"].where(enough) for end in ("low", "high"))
        ratios.vlines(middle, low, high, color=PALETTE[1], linewidth=0.8)
        ratios.set_ylim(bottom=0)
        add_legend(ratios)
    return Picture(
        [finish(axes), finish(ratios)],
        "Particle volume by distance to the nucleus, as found and at random places for the same particles in the same cells, "
        "where there is room for each. The enrichment is the ratio of the two, with 95 % intervals (by the scatter of cells); "
        "5 % of random patterns leave the grey band anywhere. It is not shown for bins with less than 0.5 % at random.",
    )


def _clustering_pictures(inputs: ReportInputs) -> list[Picture]:
    """Show Ripley's L, the pair correlation and the nearest neighbours over envelopes; nothing for tables of older versions."""
    table = inputs.tables.get("ripley")
    if table is None or "ripley_l_excess_global_low_um" not in table:
        return []
    radii = table["radius_um"].to_numpy()

    def panel(name: str, unit: str, axis: str, title: str, level: float | None, own: bool) -> Panel:
        values = {
            part: table[f"{name}{part}{unit}"].to_numpy(float)
            for part in ("", "_global_low", "_global_high", *(("_low", "_high") if own else ()))
        }
        interval = (values["_low"], values["_high"]) if own else None
        band = (values["_global_low"], values["_global_high"])
        return envelope_lines(radii, values[""], band, interval, ("radius (µm)", axis), title, level)

    return [
        Picture(
            [
                panel("ripley_l_excess", "_um", "L − radius (µm)", "Clustering", 0.0, True),
                panel("pair_correlation", "", "pairs / at random", "Pair correlation", 1.0, True),
                panel("neighbour_fraction", "", "fraction of particles", "Nearest neighbours", None, False),
            ],
            "Pairs of particles in one cell, compared with random places for the same particles in the same cells. Ripley's L "
            "minus the radius: above 0 particles cluster. Pair correlation: pairs near the radius over such pairs at random. "
            "Fraction of particles with a neighbour within the radius. 5 % of random patterns leave a grey band anywhere; "
            "dotted lines are 95 % intervals (by the scatter of cells).",
        )
    ]


def _by_cell(inputs: ReportInputs) -> Picture:
    cells = inputs.tables["cells"]
    panels = [
        distribution(
            {"cells": cells["nanoparticle_count"]}, "particles per cell", "Particles per cell", "cells"
        )
    ]
    caption = "Number of particles per cell"
    if "nanoparticle_radial_rank" in cells and not inputs.is_absent("nuclei"):
        panels.append(
            distribution(
                {"cells": cells["nanoparticle_radial_rank"]},
                "mean rank, from the nucleus (0) to the border (1)",
                "Position in the cell",
                "cells",
            )
        )
        caption += "; their mean rank by distance to the nucleus among random places: 0.5 at random, less near the nucleus"
    return Picture(panels, caption + ".")


def _map(inputs: ReportInputs) -> list[Picture]:
    views = [
        cut(fitting_level(inputs.open_level, DISTANCE, inputs.image_px, axis), axis) for axis in (0, 1, 2)
    ]
    known = [view.values[np.isfinite(view.values)] for view in views]
    farthest = max((float(values.max()) for values in known if values.size), default=None)
    if farthest is None:
        return []
    panels = [map_plane(view, (0.0, farthest or 1.0), "viridis", "µm to the nucleus") for view in views]
    caption = "Distance to the nearest nuclear surface of the same cell; empty outside cells and in cells without a nucleus."
    return [Picture(panels, caption)]


def _overview(inputs: ReportInputs) -> Picture:
    shown: ObjectKind = "cells" if inputs.is_absent("nuclei") else "nuclei"
    bodies_of = fitting_level(inputs.open_level, labels_group(shown), OVERVIEW_VOXELS)
    image = inputs.open_level(REGISTERED)
    upper = np.array(image.shape) * np.array(image.spacing_nm) / 1000
    particles, selection = _balls(inputs.tables["nanoparticles"], float(upper.max()))
    colour, named = (CELL_COLOUR, "Cells (yellow)") if shown == "cells" else (NUCLEUS_COLOUR, "Nuclei (blue)")
    bodies = [Body(volume_surface(bodies_of), colour, 0.55)]
    if not inputs.is_absent("nanoparticles"):
        bodies.append(Body(particles, PARTICLE_COLOUR))
        named += f" and nanoparticles (red{selection})"
    picture = draw(bodies, OVERVIEW_PX, (np.zeros(3), upper))
    axes = new_panel(OVERVIEW_WIDTH, OVERVIEW_WIDTH * picture.height / picture.width, "", Margins(0, 0, 0, 0))
    axes.set_axis_off()
    return Picture(
        [finish(axes, "Objects in 3D", [Layer(picture.uri)])],
        f"{named} in the registered volume, z downwards.",
    )


def _balls(
    particles: pd.DataFrame, extent_um: float
) -> tuple["np.ndarray[tuple[int, int, int], np.dtype[np.float64]]", str]:
    """Draw a ball at each particle, large enough to be seen. Of many particles, only the largest are drawn."""
    shown = particles.nlargest(MOST_BALLS, "volume_um3")
    radii = np.maximum(shown["equivalent_diameter_um"].to_numpy(float) / 2, 0.006 * extent_um)
    selection = f", the largest {MOST_BALLS} of {len(particles)}" if len(particles) > MOST_BALLS else ""
    return balls(shown[list(CENTROID_COLUMNS)].to_numpy(float), radii), selection
