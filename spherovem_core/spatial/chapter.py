"""Space: particles and their distance to the nucleus, against chance; particles a cell; an overview in 3D."""

import numpy as np
import pandas as pd

from spherovem_core.report.charts import HEIGHT, WIDTH, distribution, lines
from spherovem_core.report.enrichment import radial_profile
from spherovem_core.report.figures import (
    PALETTE,
    SOFT,
    Layer,
    Margins,
    add_legend,
    finish,
    new_panel,
    say_nothing_to_show,
)
from spherovem_core.report.images import map_plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Panel, Picture, Section, Table
from spherovem_core.report.surfaces import Body, balls, draw, volume_surface
from spherovem_core.report.views import cut, fitting_level
from spherovem_core.store.layout import DISTANCE, REGISTERED, labels_group

OVERVIEW_VOXELS = 96
MOST_BALLS = 1500
OVERVIEW_WIDTH = 7.0
OVERVIEW_PX = 1000
CENTROID = ["centroid_z_um", "centroid_y_um", "centroid_x_um"]
NUCLEUS_COLOUR, PARTICLE_COLOUR = "#62b0e8", "#f0627a"


def space_section(inputs: ReportInputs) -> Section:
    """Show how far particles lie from the nucleus of their cell, against what the cells offer."""
    particles, cells = inputs.tables["nanoparticles"], inputs.tables["cells"]
    measured = particles["distance_to_nucleus_um"].to_numpy(dtype=float)
    facts = [
        ("Particles with a distance", f"{int(np.isfinite(measured).sum())} of {len(particles)}"),
        ("Cells with particles", f"{int((cells['nanoparticle_count'] > 0).sum())} of {len(cells)}"),
    ]
    if np.isfinite(measured).any():
        facts.append(("Median distance to the nucleus", f"{np.nanmedian(measured):.3g} µm"))
    profile = radial_profile(inputs.tables["radial"]) if "radial" in inputs.tables else None
    pictures, tables = [_against_chance(profile)], []
    if profile is not None and len(profile):
        facts.append(("Mean distance of particle volume", _means(profile)))
        tables.append(Table("Particle volume by distance to the nucleus", _listed(profile), folded=True))
    pictures += [_by_cell(inputs), *_map(inputs), _overview(inputs)]
    return Section("space", "Space", facts, pictures, tables)


def _means(profile: pd.DataFrame) -> str:
    middle = (profile["distance_low_um"] + profile["distance_high_um"]) / 2
    found, by_chance = (float((middle * profile[name]).sum()) for name in ("found", "by_chance"))
    return f"{found:.3g} µm, by chance {by_chance:.3g} µm (in the cytoplasm)"


def _listed(profile: pd.DataFrame) -> pd.DataFrame:
    return profile.set_axis(["from (µm)", "to (µm)", "share found", "share by chance", "ratio"], axis=1)


def _against_chance(profile: pd.DataFrame | None) -> Picture:
    axes = new_panel(WIDTH, HEIGHT, "Particle volume", legend=True)
    axes.set(xlabel="distance to the nucleus (µm)", ylabel="share of the volume")
    ratios = new_panel(WIDTH, HEIGHT, "Found over chance", legend=True)
    ratios.set(xlabel="distance to the nucleus (µm)", ylabel="ratio")
    if profile is None or profile.empty:
        reason = (
            "not measured in this run"
            if profile is None
            else "no particle in the\ncytoplasm of a cell with a nucleus"
        )
        for each in (axes, ratios):
            say_nothing_to_show(each, reason)
    else:
        edges = [*profile["distance_low_um"], profile["distance_high_um"].iloc[-1]]
        axes.stairs(profile["by_chance"], edges, fill=True, color=SOFT, alpha=0.5, label="by chance")
        axes.stairs(profile["found"], edges, color=PALETTE[1], linewidth=1.8, label="found")
        add_legend(axes)
        ratios.axhline(1, color=SOFT, linewidth=1, linestyle="--")
        enough = profile["by_chance"] >= 0.005
        ratios.stairs(profile["ratio"].where(enough), edges, color=PALETTE[1], linewidth=1.8, baseline=None)
        ratios.set_ylim(bottom=0)
    return Picture(
        [finish(axes), finish(ratios)],
        "Particle volume by its distance to the nucleus, against what it would be if each cell's particles were spread evenly "
        "over that cell's own cytoplasm: above 1, particles gather there. Bins with less than 0.5 % by chance have no ratio.",
    )


def _by_cell(inputs: ReportInputs) -> Picture:
    cells = inputs.tables["cells"]
    panels = [
        distribution({"cells": cells["nanoparticle_count"]}, "particles a cell", "Particles a cell", "cells")
    ]
    said = "Particles in each cell"
    if "nanoparticle_radial_rank" in cells:
        panels.append(
            distribution(
                {"cells": cells["nanoparticle_radial_rank"]},
                "mean rank, from the nucleus (0) to the border (1)",
                "Where in the cell",
                "cells",
            )
        )
        said += (
            ", and where in the cytoplasm they lie: 0.5 where they are spread as it is, less near the nucleus"
        )
    if "ripley" in inputs.tables:
        panels.append(_clustering(inputs.tables["ripley"]))
        said += "; and Ripley's L of their centres less the radius: above 0 they cluster"
    return Picture(panels, said + ".")


def _clustering(table: pd.DataFrame) -> Panel:
    curves = {"particles": table["ripley_l_excess_um"]}
    return lines(
        table["radius_um"].to_numpy(), curves, "radius (µm)", "L − radius (µm)", "Clustering", level=0.0
    )


def _map(inputs: ReportInputs) -> list[Picture]:
    views = [
        cut(fitting_level(inputs.open_level, DISTANCE, inputs.image_px, axis), axis) for axis in (0, 1, 2)
    ]
    known = [view.values[np.isfinite(view.values)] for view in views]
    farthest = max((float(values.max()) for values in known if values.size), default=None)
    if farthest is None:
        return []
    panels = [map_plane(view, (0.0, farthest or 1.0), "viridis", "µm to the nucleus") for view in views]
    said = "Distance to the nearest nuclear surface of the same cell; left open outside cells and in cells with no nucleus."
    return [Picture(panels, said)]


def _overview(inputs: ReportInputs) -> Picture:
    nuclei = fitting_level(inputs.open_level, labels_group("nuclei"), OVERVIEW_VOXELS)
    image = inputs.open_level(REGISTERED)
    upper = np.array(image.shape) * np.array(image.spacing_nm) / 1000
    particles, said = _balls(inputs.tables["nanoparticles"], float(upper.max()))
    bodies = [Body(volume_surface(nuclei), NUCLEUS_COLOUR, 0.55), Body(particles, PARTICLE_COLOUR)]
    picture = draw(bodies, OVERVIEW_PX, (np.zeros(3), upper))
    axes = new_panel(OVERVIEW_WIDTH, OVERVIEW_WIDTH * picture.height / picture.width, "", Margins(0, 0, 0, 0))
    axes.set_axis_off()
    return Picture(
        [finish(axes, "Nuclei and nanoparticles in 3D", [Layer(picture.uri)])],
        f"Nuclei (blue) and nanoparticles (red{said}) in the registered volume, z downwards.",
    )


def _balls(
    particles: pd.DataFrame, extent_um: float
) -> tuple["np.ndarray[tuple[int, int, int], np.dtype[np.float64]]", str]:
    """Small balls at the particles, no smaller than can be seen; of many, the largest."""
    shown = particles.nlargest(MOST_BALLS, "volume_um3")
    radii = np.maximum(shown["equivalent_diameter_um"].to_numpy(float) / 2, 0.006 * extent_um)
    said = f", the largest {MOST_BALLS} of {len(particles)}" if len(particles) > MOST_BALLS else ""
    return balls(shown[CENTROID].to_numpy(float), radii), said
