"""Figures as SVG within the page, drawn by matplotlib's object interface.

Text stays text. Everything drawn in `INK` takes the text colour of the page, light or dark.
"""

import hashlib
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spherovem_core.report.page import Panel

INK = "#123456"
"""Placeholder for the text colour of the page."""

SOFT = "#7d8694"
PALETTE = ("#2f86c6", "#d1495b", "#b07a1e", "#2a9d74", "#9a6fc4")
OUTLINE_COLOURS = {"cells": "#ffb000", "nuclei": "#35c2ff", "nanoparticles": "#ff4d6d"}
"""Each has enough contrast with the ground of the light and of the dark page."""

POINTS_PER_INCH, PIXELS_PER_INCH = 72, 96
LEGEND_INCHES = 0.2
LEAST_SCALE = 0.78
"""Text in a panel that shrinks further is too small to read."""
TITLE = "title"
SVG = "http://www.w3.org/2000/svg"
LINK = "http://www.w3.org/1999/xlink"
RENDERING: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spherovem",
    "image.composite_image": False,
}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Margins:
    """Inches around the axes of a panel."""

    left: float = 0.58
    right: float = 0.12
    top: float = 0.3
    bottom: float = 0.44


@dataclass(frozen=True)
class Layer:
    """An image that fills the axes.

    Attributes
    ----------
    uri
        Data URI.
    sharp
        True to show its pixels as squares where it is enlarged.
    """

    uri: str
    sharp: bool = False


def new_panel(
    width: float, height: float, title: str = "", margins: Margins = Margins(), legend: bool = False
) -> Axes:
    """Start a panel of a size in inches, margins included. `legend` reserves a row for it under the title."""
    if legend:
        margins = replace(margins, top=margins.top + LEGEND_INCHES)
    figure = Figure(figsize=(width, height))
    across = (width - margins.left - margins.right) / width
    up = (height - margins.top - margins.bottom) / height
    axes = figure.add_axes((margins.left / width, margins.bottom / height, across, up))
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set(color=SOFT, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", labelsize=8, color=SOFT, labelcolor=INK, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=8.5)
    above = 5 + LEGEND_INCHES * POINTS_PER_INCH * legend
    axes.annotate(
        title, (0, 1), (0, above), "axes fraction", "offset points", fontsize=9, color=INK, gid=TITLE
    )
    return axes


def add_legend(axes: Axes) -> None:
    """Add a legend in the row above the axes, if anything has a name."""
    names = axes.get_legend_handles_labels()[1]
    if names:
        axes.legend(
            fontsize=8,
            frameon=False,
            labelcolor=INK,
            ncols=len(names),
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            borderaxespad=0.1,
            handlelength=1.3,
            handletextpad=0.5,
            columnspacing=1.1,
        )


def show_empty_reason(axes: Axes, reason: str) -> None:
    """Write into an empty panel why it is empty."""
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", fontsize=9, color=INK)
    axes.set(xticks=[], yticks=[])


def finish(axes: Axes, name: str = "", layers: Sequence[Layer] = ()) -> Panel:
    """Turn a panel into SVG for the page.

    Parameters
    ----------
    name
        Text for screen readers; by default title and axis labels.
    layers
        Images that fill the axes, the last one on top.
    """
    figure = cast(Figure, axes.figure)
    buffer = io.StringIO()
    with matplotlib.rc_context(RENDERING):
        figure.savefig(buffer, format="svg", transparent=True, dpi=150, metadata=NO_METADATA)
    width, height = figure.get_size_inches() * POINTS_PER_INCH
    box = axes.get_position()
    place = (box.x0 * width, (1 - box.y1) * height, box.width * width, box.height * height)
    title = next((text.get_text() for text in axes.texts if text.get_gid() == TITLE), "")
    spoken = name or spoken_name(title, axes.get_ylabel(), axes.get_xlabel())
    images = "".join(image_element(layer, place) for layer in layers)
    return panel_of(width, height, spoken, Markup(images + _content(buffer.getvalue())))


def spoken_name(*texts: str) -> str:
    """Join the texts of a panel for screen readers."""
    return ", ".join(text for text in texts if text)


def panel_of(width: float, height: float, spoken: str, content: Markup) -> Panel:
    """Make a panel of a size in points from the elements of an SVG."""
    markup = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(spoken)}">{content}</svg>'
    wanted = round(width * PIXELS_PER_INCH / POINTS_PER_INCH)
    return Panel(Markup(markup), wanted, round(LEAST_SCALE * wanted))


def image_element(layer: Layer, place: tuple[float, float, float, float]) -> str:
    """Place an image at left, top, width and height in points."""
    x, y, width, height = place
    sharp = ' class="sharp"' if layer.sharp else ""
    return (
        f'<image{sharp} x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" '
        f'preserveAspectRatio="none" href="{layer.uri}"/>'
    )


def _content(svg: str) -> str:
    """Extract the drawing of matplotlib, without styles, names or colours that would affect the rest of the page."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg))
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        name = element.attrib.pop("id", None)
        if name in used:
            element.set("id", f"{own}-{name}")
        link = element.attrib.pop(f"{{{LINK}}}href", None)
        if link is not None:
            element.set("href", f"#{own}-{link[1:]}" if link.startswith("#") else link)
        clip = element.get("clip-path")
        if clip is not None:
            element.set("clip-path", clip.replace("url(#", f"url(#{own}-"))
        style = element.get("style")
        if style is not None:
            element.set("style", _page_style(style))
    return "".join(ElementTree.tostring(child, encoding="unicode") for child in root)


def _page_style(style: str) -> str:
    """Replace ink by the text colour of the page, and the font of matplotlib by the font of the page."""
    style = style.replace(INK, "currentColor")
    return re.sub(r"font: ([\d.]+px) [^;]*sans-serif", r"font-size: \1", style)
