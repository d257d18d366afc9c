"""Figures as PNG data URIs, drawn with matplotlib's object interface: no display, no global state."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.report.page import Picture
from spherovem_core.report.views import View, outlines

PALETTE = ("#0b6e99", "#d1495b", "#edae49", "#00798c", "#6a4c93")
DPI = 110


def picture(figure: Figure, caption: str) -> Picture:
    """Draw a figure into a data URI."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return Picture("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(), caption)


def new_figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray[Any]]:
    """Start a figure of `rows` × `columns` axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes


def big_and_two_small(view: View, width: float = 11.0) -> tuple[Figure, list[Axes]]:
    """Start a figure for an xy plane with the two planes along z beside it, sized to the xy plane."""
    left, right, bottom, top = view.extent_um
    height = min(12.0, 0.62 * width * (bottom - top) / (right - left) + 1)
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplot_mosaic([["xy", "xz"], ["xy", "yz"]], width_ratios=(1.6, 1))
    return figure, [panels[name] for name in ("xy", "xz", "yz")]


def show_view(axes: Axes, view: View, limits: tuple[float, float] | None = None, **options: Any) -> None:
    """Draw a plane to scale, axes in µm."""
    low, high = limits or (None, None)
    options = {"cmap": "gray", "interpolation": "nearest", **options}
    axes.imshow(view.values, extent=view.extent_um, vmin=low, vmax=high, aspect="equal", **options)
    axes.set_xlabel(f"{view.plane[0]} (µm)")
    axes.set_ylabel(f"{view.plane[1]} (µm)")


def draw_outlines(axes: Axes, view: View, colour: str) -> None:
    """Draw the borders of a label plane over what `axes` shows."""
    edge = ndimage.binary_dilation(outlines(view.values))
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    overlay = np.zeros((*edge.shape, 4), np.float32)
    overlay[edge] = (red, green, blue, 1.0)
    axes.imshow(overlay, extent=view.extent_um, interpolation="nearest", aspect="equal")


def histograms(columns: Mapping[str, NDArray[Any]], caption: str, bins: int = 40) -> Picture:
    """Draw one histogram a column; what is not finite is left out."""
    figure, axes = new_figure(1, len(columns), 3.2 * len(columns), 2.6)
    for ax, (name, values), colour in zip(axes[0], columns.items(), PALETTE * 3, strict=False):
        finite = np.asarray(values, dtype=float)
        finite = finite[np.isfinite(finite)]
        if finite.size:
            ax.hist(finite, bins=min(bins, max(5, finite.size)), color=colour)
        ax.set_xlabel(name)
        ax.set_ylabel("count")
    return picture(figure, caption)


def lines_over_z(
    panels: Sequence[tuple[str, Mapping[str, NDArray[Any]]]], z: NDArray[Any], caption: str
) -> Picture:
    """Draw panels of lines over the slice number, one above the other."""
    figure, axes = new_figure(len(panels), 1, 9.5, 1.9 * len(panels) + 0.5)
    for ax, (label, lines) in zip(axes[:, 0], panels, strict=True):
        for (name, values), colour in zip(lines.items(), PALETTE, strict=False):
            ax.plot(z, np.asarray(values, dtype=float), color=colour, label=name, linewidth=1.2)
        ax.set_ylabel(label)
        if len(lines) > 1:
            ax.legend(fontsize=8, loc="upper right")
    axes[-1, 0].set_xlabel("slice")
    return picture(figure, caption)
