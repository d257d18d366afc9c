"""Panels that show planes of the volume to scale, with overlays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.report.data_uris import coloured, grey, outlined
from spherovem_core.report.figures import PIXELS_PER_INCH, Layer, Margins
from spherovem_core.report.image_frames import Axis, frame_images
from spherovem_core.report.memory import remember_panel, remembered
from spherovem_core.report.page import Panel
from spherovem_core.report.views import Extent, View

WIDTH = 3.4
LARGE = 5.35
FRAME = "#ffb000"
LABEL_PIXELS = 1.5
"""Pixels of the outline grid per pixel of the page."""
MARGINS = Margins(left=0.56, right=0.1, top=0.28, bottom=0.42)
THUMBNAIL = 1.68
THUMBNAIL_MARGINS = Margins(left=0.03, right=0.03, top=0.26, bottom=0.03)
FLATTEST, TALLEST = 0.22, 1.6
"""Bounds of height over width. A plane outside them is stretched or pressed."""


@remember_panel
def plane(
    view: View,
    limits: tuple[float, float],
    labels: Sequence[tuple[View, str]] = (),
    title: str = "",
    width: float = WIDTH,
    sharp: bool = False,
    frame_um: Extent | None = None,
) -> Panel:
    """Show a plane in grey.

    Parameters
    ----------
    labels
        Label planes at the same position, with the colour of their outlines.
    sharp
        True to show voxels as squares.
    frame_um
        Left, right, bottom and top of a rectangle to draw over the plane.
    """
    layers = [Layer(grey(view.values, limits), sharp)]
    if labels:
        across = (width - MARGINS.left - MARGINS.right) * PIXELS_PER_INCH
        fine = (round(LABEL_PIXELS * across * _shown(view)), round(LABEL_PIXELS * across))
        layers.append(Layer(outlines_over(view, labels, fine)))
    return _framed(view, layers, title or view.title, width, frame_um=frame_um)


@remember_panel
def thumbnail(view: View, limits: tuple[float, float], title: str) -> Panel:
    """Show a small plane in grey, without axes."""
    across = THUMBNAIL - THUMBNAIL_MARGINS.left - THUMBNAIL_MARGINS.right
    up = THUMBNAIL_MARGINS.top + THUMBNAIL_MARGINS.bottom
    size = (THUMBNAIL, across * _shown(view) + up)
    return frame_images([Layer(grey(view.values, limits))], size, THUMBNAIL_MARGINS, title)


@remember_panel
def map_plane(
    view: View, limits: tuple[float, float], colours: str, label: str, title: str = "", width: float = WIDTH
) -> Panel:
    """Show a plane of a quantity in colours, with its scale; NaN is transparent."""
    layers = [Layer(coloured(view.values, limits, colours), sharp=True)]
    return _framed(
        view, layers, title or view.title, width, f"{label}: {limits[0]:.3g} (dark) to {limits[1]:.3g}"
    )


def _framed(
    view: View,
    layers: Sequence[Layer],
    title: str,
    width: float,
    below: str = "",
    frame_um: Extent | None = None,
) -> Panel:
    left, right, bottom, top = view.extent_um
    across = width - MARGINS.left - MARGINS.right
    shape = (bottom - top) / (right - left)
    shown = _shown(view)
    margins = Margins(MARGINS.left, MARGINS.right, MARGINS.top, MARGINS.bottom + (0.2 if below else 0))
    stretched = (
        ""
        if shown == shape
        else f", {'stretched' if shown > shape else 'pressed'} {max(shown / shape, shape / shown):.1f}×"
    )
    axes = (
        Axis(left, right, f"{view.plane[0]} (µm)" + (f"\n{below}" if below else "")),
        Axis(top, bottom, f"{view.plane[1]} (µm){stretched}"),
    )
    size = (width, across * shown + margins.top + margins.bottom)
    return frame_images(layers, size, margins, title, axes, frame_um, FRAME)


def _shown(view: View) -> float:
    """Compute height over width of a plane as shown."""
    left, right, bottom, top = view.extent_um
    return float(np.clip((bottom - top) / (right - left), FLATTEST, TALLEST))


def outlines_over(image: View, labels: Sequence[tuple[View, str]], shape: tuple[int, int]) -> str:
    """Encode the outlines of label planes on a grid of the given shape over the image.

    Parameters
    ----------
    labels
        Label planes at the position of the image, with the colours of their outlines. Later ones lie on top.
    """
    content: list[Any] = [f"{image.extent_um} {shape}"]
    for own, colour in labels:
        content += [own.values, f"{own.extent_um} {colour}"]
    return str(
        remembered(
            lambda: outlined([(sampled_outlines(own, image, shape), colour) for own, colour in labels]),
            "outlines",
            *content,
        )
    )


def sampled_outlines(labels: View, image: View, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the pixels on both sides of a border between two labels, or of a label, on a grid of the given shape over the image.

    Labels are sampled at the pixel centres of the grid, so that outlines have the same width everywhere, at any voxel sizes of
    labels and image. Neighbours are compared along each axis before the other one is sampled, in a third of the time.
    """
    left, right, bottom, top = image.extent_um
    own_left, own_right, own_bottom, own_top = labels.extent_um
    rows, columns = labels.values.shape
    y = top + (np.arange(shape[0]) + 0.5) / shape[0] * (bottom - top)
    x = left + (np.arange(shape[1]) + 0.5) / shape[1] * (right - left)
    row = np.clip(((y - own_top) / (own_bottom - own_top) * rows).astype(int), 0, rows - 1)
    column = np.clip(((x - own_left) / (own_right - own_left) * columns).astype(int), 0, columns - 1)
    border: NDArray[np.bool_] = np.take(_borders(np.take(labels.values, row, axis=0)), column, axis=1)
    border |= np.take(_borders(np.take(labels.values, column, axis=1).T).T, row, axis=0)
    return border


def _borders(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the values that differ from the one before or after along the first axis."""
    found = np.zeros_like(labels, dtype=bool)
    differs = labels[:-1] != labels[1:]
    found[:-1] = differs
    found[1:] |= differs
    return found
