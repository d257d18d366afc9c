"""Shape and space: distributions of the descriptors, particles and their distance to the nucleus."""

import numpy as np
import pandas as pd

from spherovem_core.report.figures import PALETTE, histograms, new_figure, picture, show_view
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section
from spherovem_core.report.views import cut, fitting_level
from spherovem_core.store.layout import DISTANCE

DESCRIPTORS = {
    "volume_um3": "volume (µm³)",
    "sphericity": "sphericity",
    "mean_curvature_mean_per_um": "mean curvature (1/µm)",
    "fractal_dimension": "fractal dimension",
}


def shape_section(inputs: ReportInputs) -> Section:
    """Show what shape cells and nuclei have, the whole ones apart from those cut by the border."""
    pictures = [
        histograms(
            {label: inputs.tables[kind][column].to_numpy() for column, label in DESCRIPTORS.items()},
            f"Shape descriptors of {kind}.",
        )
        for kind in ("cells", "nuclei")
    ]
    pictures.append(_scatter(inputs))
    tables = [
        (f"{kind.capitalize()}: medians", _medians(inputs.tables[kind])) for kind in ("cells", "nuclei")
    ]
    return Section("shape", "Shape", (), pictures, tables)


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    groups = {"all": table, "whole": table[table["truncated_fraction"] == 0]}
    rows = [
        {
            "group": name,
            "count": len(rows),
            **{label: float(rows[c].median()) for c, label in DESCRIPTORS.items()},
        }
        for name, rows in groups.items()
    ]
    return pd.DataFrame(rows)


def _scatter(inputs: ReportInputs) -> Picture:
    figure, axes = new_figure(1, 2, 8.5, 3.2)
    for ax, kind in zip(axes[0], ("cells", "nuclei"), strict=True):
        table = inputs.tables[kind]
        for name, chosen, colour in (
            ("whole", table["truncated_fraction"] == 0, PALETTE[0]),
            ("cut by the border", table["truncated_fraction"] > 0, PALETTE[1]),
        ):
            ax.scatter(
                table["volume_um3"][chosen], table["sphericity"][chosen], s=14, color=colour, label=name
            )
        ax.set_xlabel(f"volume of {kind} (µm³)")
        ax.set_ylabel("sphericity")
        ax.legend(fontsize=8)
    return picture(figure, "Sphericity against volume.")


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
    return Section("space", "Space", facts, [_distances(inputs), _map(inputs)])


def _distances(inputs: ReportInputs) -> Picture:
    particles = inputs.tables["nanoparticles"]
    measured = particles["distance_to_nucleus_um"].to_numpy(dtype=float)
    weight = particles["volume_um3"].to_numpy(dtype=float)
    known = np.isfinite(measured)
    field = fitting_level(inputs.layout, DISTANCE, 256)[:]
    offered = field[np.isfinite(field) & (field > 0)]
    figure, axes = new_figure(1, 2, 9, 3)
    edges = np.linspace(
        0, max([1e-6, *measured[known], *np.percentile(offered, [99.5])] if offered.size else [1.0]), 31
    )
    options = {"bins": edges, "density": True}
    if offered.size:
        axes[0, 0].hist(offered, color="0.75", label="cell volume outside nuclei", **options)
    if known.any():
        axes[0, 0].hist(
            measured[known],
            weights=weight[known],
            histtype="step",
            linewidth=2,
            color=PALETTE[1],
            label="particle volume",
            **options,
        )
    axes[0, 0].set_xlabel("distance to the nucleus (µm)")
    axes[0, 0].set_ylabel("density (1/µm)")
    axes[0, 0].legend(fontsize=8)
    counts = inputs.tables["cells"]["nanoparticle_count"].to_numpy()
    axes[0, 1].hist(counts, bins=20, color=PALETTE[0])
    axes[0, 1].set_xlabel("particles a cell")
    axes[0, 1].set_ylabel("cells")
    return picture(
        figure,
        "Distance of the particles to the nucleus against what the cells' volume would give by chance; particles a cell.",
    )


def _map(inputs: ReportInputs) -> Picture:
    stored = fitting_level(inputs.layout, DISTANCE, inputs.image_px)
    figure, axes = new_figure(1, 2, 10, 4.4)
    for ax, axis in zip(axes[0], (0, 1), strict=True):
        show_view(ax, cut(stored, axis), cmap="viridis")
    figure.colorbar(axes[0, 0].images[0], ax=axes[0], label="distance to the nucleus (µm)", shrink=0.8)
    return picture(figure, "Distance to the nearest nuclear surface of the same cell, in two planes.")
