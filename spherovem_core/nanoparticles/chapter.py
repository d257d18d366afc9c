"""Nanoparticles chapter of the report: mixture over the histogram, zoomed view of posterior and outlines, sizes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from spherovem_core.histograms import count_intensities, map_counts
from spherovem_core.label_statistics import CENTROID_COLUMNS
from spherovem_core.report.charts import HEIGHT, WIDE, distribution
from spherovem_core.report.figures import OUTLINE_COLOURS, PALETTE, SOFT, add_legend, finish, new_panel
from spherovem_core.report.images import map_plane, plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Panel, Picture, Section, Table
from spherovem_core.report.views import contrast_limits, cut, window_around
from spherovem_core.store import StoredArray
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR, REGISTERED

WINDOW_PX = 192
BAND_ROWS = 512
MOST_PIXELS = 32_000_000
HISTOGRAM_SLICES = 5
LEAST_FRACTION = 1e-9


def nanoparticles_section(inputs: ReportInputs) -> Section:
    """Show the fitted mixture and the labelled particles."""
    particles = inputs.tables["nanoparticles"]
    volume = float(np.prod(inputs.open_level(NANOPARTICLES).shape))
    fraction = float(particles["voxel_count"].sum()) / volume
    facts = [
        ("Particles", str(len(particles))),
        ("Fraction of the volume", f"{100 * fraction:.3g} %"),
        ("In a cell", f"{int((particles['parent_cell'] > 0).sum())}"),
        ("In a nucleus", f"{int(particles['in_nucleus'].sum())}"),
        ("Second population of intensities", "found" if _detected(inputs) else "not found"),
    ]
    if inputs.mixture.get("reason"):
        facts.append(("Why", str(inputs.mixture["reason"])))
    if _detected(inputs):
        facts.append(("Overlap with the background", f"{inputs.mixture['overlap']:.2g}"))
    pictures = [_mixture(inputs), _zoom(inputs)]
    tables = []
    if len(particles):
        sizes = distribution(
            {"particles": 1000 * particles["equivalent_diameter_um"]},
            "equivalent diameter (nm)",
            "Sizes",
            "particles",
        )
        pictures.append(
            Picture(
                [sizes],
                "Size distribution of the particles. Touching particles count as one unless split_touching is on.",
            )
        )
        tables.append(Table("Particles: median and quartiles", _quartiles(particles)))
    return Section("nanoparticles", "Nanoparticles", facts, pictures, tables, nanoparticles_warnings(inputs))


def nanoparticles_warnings(inputs: ReportInputs) -> list[str]:
    """List why no particles were labelled, or why their outlines are uncertain."""
    if not _detected(inputs):
        reason = inputs.mixture.get("reason", "")
        return [f"the intensities show no second population ({reason}): no nanoparticles were labelled"]
    if not inputs.mixture.get("converged", True):
        return ["the intensity mixture has not converged: raise nanoparticles.max_iterations"]
    return []


def _detected(inputs: ReportInputs) -> bool:
    return bool(inputs.mixture.get("detected", True))


def _quartiles(particles: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "equivalent_diameter_um": "equivalent diameter (µm)",
        "volume_um3": "volume (µm³)",
        "nearest_neighbour_um": "distance to the nearest other particle (µm)",
        "distance_to_nucleus_um": "distance to the nucleus (µm)",
    }
    rows = [
        {
            "measure": title,
            "count": int(particles[name].notna().sum()),
            **{
                label: float(particles[name].quantile(q))
                for label, q in (("25 %", 0.25), ("median", 0.5), ("75 %", 0.75))
            },
        }
        for name, title in columns.items()
        if name in particles
    ]
    return pd.DataFrame(rows)


def _mixture(inputs: ReportInputs) -> Picture:
    mixture = inputs.mixture
    axes = new_panel(WIDE, HEIGHT + 0.4, "Intensities and the fitted mixture", legend=True)
    axes.set(xlabel="intensity on the scale of the stack", ylabel="fraction of voxels", yscale="log")
    levels = np.asarray(mixture["levels"], float)
    found, slice_count = _measured_histogram(inputs)
    axes.fill_between(
        levels,
        LEAST_FRACTION,
        np.maximum(found, LEAST_FRACTION),
        color=SOFT,
        alpha=0.45,
        step="mid",
        linewidth=0,
        label=f"{slice_count} slices",
    )
    parts = _parts(mixture)
    for (name, density), colour in zip(parts.items(), PALETTE, strict=False):
        axes.plot(
            levels,
            np.where(density > LEAST_FRACTION, density, np.nan),
            color=colour,
            label=name,
            linewidth=1.3,
        )
    total = sum(parts.values())
    axes.plot(
        levels,
        np.where(total > LEAST_FRACTION, total, np.nan),
        color=PALETTE[4],
        label="sum",
        linewidth=1,
        linestyle="--",
    )
    least = found[found > 0].min(initial=1e-4)
    axes.set_ylim(bottom=max(LEAST_FRACTION, least / 3))
    axes.yaxis.set_minor_locator(NullLocator())
    shown = levels[(found > 0) | (total > least)]
    axes.set_xlim(shown.min(), shown.max())
    add_legend(axes)
    return Picture(
        [finish(axes)],
        "Fitted mixture of background, particles and their blurred edges. Its sum should follow the measured intensities "
        "(grey).",
    )


def _parts(mixture: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Weight the distribution of each component by its fraction of all voxels."""
    weight = float(mixture["weight"])
    edges = weight * float(mixture.get("edge_ratio", 0.0))
    fractions = {"background": 1 - weight - edges, "particles": weight, "edge": edges}
    return {
        {"edge": "edges of particles"}.get(name, name): fraction * np.asarray(mixture[name], float)
        for name, fraction in fractions.items()
        if fraction > 0 and name in mixture
    }


def _measured_histogram(inputs: ReportInputs) -> tuple[NDArray[np.float64], int]:
    """Measure the fraction of voxels in each bin of the mixture; returns it and the number of slices read.

    The slices are spread over the stack. Of large slices only bands of rows are read, at most `MOST_PIXELS` in all.
    """
    registered = inputs.open_level(REGISTERED)
    depth, height, width = registered.shape
    slices = inputs.tables["slices"]
    good = (
        slices.loc[slices["used"].fillna(True).astype(bool), "z"].to_numpy()
        if "used" in slices
        else np.arange(depth)
    )
    good = good if len(good) else np.arange(depth)
    numbers = np.unique(good[np.linspace(0, len(good) - 1, HISTOGRAM_SLICES).round().astype(int)])
    bands = range(0, height, BAND_ROWS)
    wanted = max(1, MOST_PIXELS // (len(numbers) * BAND_ROWS * width))
    chosen = [
        bands[i]
        for i in np.unique(np.linspace(0, len(bands) - 1, min(wanted, len(bands))).round().astype(int))
    ]
    histograms = [
        histogram_in_stack_scale(registered[z, row : row + BAND_ROWS], inputs.mixture, z)
        for z in numbers.tolist()
        for row in chosen
    ]
    return np.mean(histograms, axis=0), len(numbers)


def histogram_in_stack_scale(
    image: NDArray[np.unsignedinteger], mixture: Mapping[str, Any], z: int
) -> NDArray[np.float64]:
    """Compute the fraction of a slice's voxels in each bin of the mixture.

    Parameters
    ----------
    image : (Y, X) ndarray of uint8 or uint16
        Slice z or a part of it, as stored; dark nanoparticles are not complemented.
    mixture
        Mixture as stored. Its map of the slice is applied; intensities beyond the bins count in the first or the last bin.
    """
    oriented = ~image if mixture["polarity"] == "dark" else image
    gain, offset = mixture["maps"][z]
    levels = np.asarray(mixture["levels"], float)
    counts = map_counts(count_intensities(oriented), gain, offset, (levels[1:] + levels[:-1]) / 2)
    return np.asarray(counts / image.size)


def _zoom(inputs: ReportInputs) -> Picture:
    image, labels, posterior = (inputs.open_level(group) for group in (REGISTERED, NANOPARTICLES, POSTERIOR))
    centre = _densest_place(inputs.tables["nanoparticles"], image)
    window = window_around(image, {1: centre[1], 2: centre[2]}, WINDOW_PX)
    view, found, chance = (cut(stored, 0, centre[0], window) for stored in (image, labels, posterior))
    limits = contrast_limits([view.values])
    panels: list[Panel] = [
        plane(view, limits, title="image", sharp=True),
        plane(view, limits, [(found, OUTLINE_COLOURS["nanoparticles"])], title="outlines", sharp=True),
        map_plane(chance, (0.0, 1.0), "magma", "posterior", title="posterior"),
    ]
    place = "where particles are densest" if len(inputs.tables["nanoparticles"]) else "in the middle"
    return Picture(
        panels,
        f"The registered image, outlines of the labelled particles and the posterior of each voxel, {place}, "
        f"at z = {view.position_um:.2f} µm.",
    )


def _densest_place(particles: pd.DataFrame, image: StoredArray) -> NDArray[np.float64]:
    """Find the position (z, y, x) in µm of the box with most particles, or the middle of the volume if there are none.

    Boxes are as wide as the window and as deep as the median particle.
    """
    spacing, shape = np.array(image.spacing_nm) / 1000, np.array(image.shape)
    if particles.empty:
        return np.asarray(shape // 2 * spacing)
    centres = particles[list(CENTROID_COLUMNS)].to_numpy(float)
    deep = max(float(particles["equivalent_diameter_um"].median()), spacing[0])
    boxes = np.floor(centres / np.array([deep, *(WINDOW_PX * spacing[1:])])).astype(int)
    _, box, counts = np.unique(boxes, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(np.median(centres[box.ravel() == counts.argmax()], axis=0))
