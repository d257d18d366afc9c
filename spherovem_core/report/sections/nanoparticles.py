"""Nanoparticles: posterior and outlines in a zoomed view, size distribution, fitted mixture."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.report.figures import PALETTE, draw_outlines, histograms, new_figure, picture, show_view
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section
from spherovem_core.report.views import View, contrast_limits, cut
from spherovem_core.store import open_array
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR, REGISTERED

WINDOW_PX = 192


def nanoparticles_section(inputs: ReportInputs) -> Section:
    """Show the intensity model and what it labelled."""
    particles = inputs.tables["nanoparticles"]
    volume = float(np.prod(open_array(inputs.layout, NANOPARTICLES).shape))
    share = float(particles["voxel_count"].sum()) / volume
    facts = [
        ("Particles", str(len(particles))),
        ("Share of the volume", f"{100 * share:.3g} %"),
        ("In a cell", f"{int((particles['parent_cell'] > 0).sum())}"),
        ("In a nucleus", f"{int(particles['in_nucleus'].sum())}"),
    ]
    if inputs.mixture.get("detected", True):
        facts.append(("Overlap with the background", f"{inputs.mixture['overlap']:.2g}"))
    pictures = [_mixture(inputs), _zoom(inputs)]
    if len(particles):
        sizes = {"equivalent diameter (µm)": particles["equivalent_diameter_um"].to_numpy()}
        pictures.append(histograms(sizes, "Size distribution of the particles (touching ones count as one)."))
    return Section("nanoparticles", "Nanoparticles", facts, pictures, (), nanoparticles_warnings(inputs))


def nanoparticles_warnings(inputs: ReportInputs) -> list[str]:
    """Say why there are none, or why their outlines are uncertain."""
    warnings = []
    if not inputs.mixture.get("detected", True):
        reason = inputs.mixture.get("reason", "")
        warnings.append(
            f"the intensities show no second population ({reason}): no nanoparticles were labelled"
        )
    elif not inputs.mixture.get("converged", True):
        warnings.append("the intensity mixture had not converged: raise max_iterations of the nanoparticles")
    return warnings


def _mixture(inputs: ReportInputs) -> Picture:
    registered = open_array(inputs.layout, REGISTERED)
    middle = registered[registered.shape[0] // 2]
    figure, axes = new_figure(1, 1, 8, 3)
    ax = axes[0, 0]
    levels = np.asarray(inputs.mixture["levels"])
    shown = histogram_in_stack_scale(middle, inputs.mixture, registered.shape[0] // 2)
    ax.semilogy(levels, np.maximum(shown, 1e-12), color="0.5", label="middle slice")
    weight = float(inputs.mixture["weight"])
    for name, share, colour in (("background", 1 - weight, PALETTE[0]), ("particles", weight, PALETTE[1])):
        density = share * np.asarray(inputs.mixture[name], dtype=float)
        ax.semilogy(levels, np.maximum(density, 1e-12), color=colour, label=name)
    ax.set_ylim(bottom=1e-8)
    ax.set_xlabel("intensity in the stack's scale")
    ax.set_ylabel("share of voxels")
    ax.legend(fontsize=8)
    return picture(
        figure, "The fitted mixture of background and nanoparticles over the intensities of the middle slice."
    )


def histogram_in_stack_scale(
    image: NDArray[np.unsignedinteger], mixture: Mapping[str, Any], z: int
) -> NDArray[np.float64]:
    """Share of a slice's voxels in each bin of the mixture's distributions.

    Parameters
    ----------
    image : (Y, X) ndarray of uint8 or uint16
        Slice z, with nanoparticles as bright or as dark as they are.
    mixture
        As stored; its map of the slice is applied, and intensities beyond the bins count in the first or the last.
    """
    oriented = ~image if mixture["polarity"] == "dark" else image
    counts = np.bincount(oriented.ravel(), minlength=np.iinfo(image.dtype).max + 1)
    gain, offset = mixture["maps"][z]
    levels = np.asarray(mixture["levels"], float)
    # Each intensity's voxels spread evenly over its image.
    edges = gain * (np.arange(counts.size + 1) - 0.5) + offset
    below = np.interp((levels[1:] + levels[:-1]) / 2, edges, np.concatenate([[0], np.cumsum(counts)]))
    return np.asarray(np.diff(below, prepend=0.0, append=float(image.size)) / image.size)


def _zoom(inputs: ReportInputs) -> Picture:
    labels, image = open_array(inputs.layout, NANOPARTICLES), open_array(inputs.layout, REGISTERED)
    particles = inputs.tables["nanoparticles"]
    z_um = float(particles["centroid_z_um"].median()) if len(particles) else None
    label_view = cut(labels, 0, z_um)
    region = _busiest(label_view.values > 0)
    views = [
        _crop(view, region)
        for view in (cut(image, 0, z_um), cut(open_array(inputs.layout, POSTERIOR), 0, z_um), label_view)
    ]
    figure, axes = new_figure(1, 2, 9, 4.4)
    show_view(axes[0, 0], views[0], contrast_limits([views[0].values]))
    draw_outlines(axes[0, 0], views[2], "#ff4d6d")
    show_view(axes[0, 1], View(views[1].values.astype(np.float32), *_place(views[1])), (0, 1), cmap="magma")
    return picture(
        figure,
        "Outlines of the particles over the registered image, and the posterior, where particles are densest.",
    )


def _place(view: View) -> tuple[tuple[float, float, float, float], str, float]:
    return view.extent_um, view.plane, view.position_um


def _busiest(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> tuple[slice, slice]:
    """Window with the most particle pixels, by a box filter."""
    size = tuple(min(WINDOW_PX, n) for n in mask.shape)
    density = ndimage.uniform_filter(mask.astype(np.float32), size, mode="constant")
    centre = np.unravel_index(int(density.argmax()), mask.shape)
    starts = [int(np.clip(c - s // 2, 0, n - s)) for c, s, n in zip(centre, size, mask.shape, strict=True)]
    return slice(starts[0], starts[0] + size[0]), slice(starts[1], starts[1] + size[1])


def _crop(view: View, region: tuple[slice, slice]) -> View:
    rows, columns = region
    left, right, bottom, top = view.extent_um
    width = (right - left) / view.values.shape[1]
    height = (bottom - top) / view.values.shape[0]
    extent = (
        left + columns.start * width,
        left + columns.stop * width,
        top + rows.stop * height,
        top + rows.start * height,
    )
    return View(view.values[region], extent, view.plane, view.position_um)
