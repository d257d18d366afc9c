"""Frames around images, with ticks and labels, written as SVG.

A frame of matplotlib takes 30 ms and a report has a hundred; these take less than 1 ms. Places of ticks and their text are
those of matplotlib.
"""

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from spherovem_core.report.figures import (
    POINTS_PER_INCH,
    SOFT,
    Layer,
    Margins,
    image_element,
    panel_of,
    spoken_name,
)
from spherovem_core.report.page import Panel

TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 9, 8.5, 8
TICK_LENGTH, TICK_PAD = 3.0, 6.5
TITLE_PAD = 5.0
DIGIT, POINT = 0.64, 0.32
"""Widths of a digit and of a point, as fractions of the size of the font."""
LEAST_LABEL_X = 9.0
"""Where the label of the vertical axis still lies within the panel, in points."""
TICK_STEPS = (1, 2, 2.5, 5, 10)
MOST_INTERVALS = 5


@dataclass(frozen=True)
class Axis:
    """Values at the begin (left or top) and the end (right or bottom) of a side, and the text beside it, lines apart."""

    begin: float
    end: float
    label: str

    def ticks(self, most: int = MOST_INTERVALS) -> list[tuple[float, str]]:
        """Return place, as a fraction of the side, and text of each tick, with at most so many intervals."""
        low, high = sorted((self.begin, self.end))
        found = MaxNLocator(most, steps=TICK_STEPS).tick_values(low, high)
        values = [float(value) for value in found if low <= value <= high]
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        formatter.create_dummy_axis()
        axis: Any = formatter.axis
        axis.set_view_interval(low, high)
        places = [(value - self.begin) / (self.end - self.begin) for value in values]
        return list(zip(places, formatter.format_ticks(values), strict=True))


def frame_images(
    layers: Sequence[Layer],
    size: tuple[float, float],
    margins: Margins,
    title: str,
    axes: tuple[Axis, Axis] | None = None,
    marked: tuple[float, float, float, float] | None = None,
    mark_colour: str = SOFT,
) -> Panel:
    """Frame images.

    Parameters
    ----------
    layers
        Images that fill the frame, the last one on top.
    size
        Width and height of the panel in inches, margins included.
    axes
        Horizontal and vertical axis; none by default.
    marked
        Left, right, bottom and top of a rectangle to draw over the images, in values of the axes.
    """
    width, height = size[0] * POINTS_PER_INCH, size[1] * POINTS_PER_INCH
    left, top = margins.left * POINTS_PER_INCH, margins.top * POINTS_PER_INCH
    box = (left, top, width - left - margins.right * POINTS_PER_INCH, 0.0)
    box = (*box[:3], height - top - margins.bottom * POINTS_PER_INCH)
    parts = [image_element(layer, box) for layer in layers]
    if axes is not None and marked is not None:
        name = hashlib.sha256("".join([title, str(marked), *parts]).encode()).hexdigest()[:8]
        parts.append(_mark(box, axes, marked, mark_colour, name))
    parts.append(_rectangle(box, SOFT, 0.8))
    if axes is not None:
        parts += [
            horizontal_axis(box, axes[0].label, axes[0].ticks()),
            vertical_axis(box, axes[1].label, axes[1].ticks()),
        ]
    parts.append(text_element(left, top - TITLE_PAD, title, TITLE_SIZE, "start"))
    labels = [axis.label for axis in reversed(axes or ())]
    return panel_of(width, height, spoken_name(title, *labels), Markup("".join(parts)))


Box = tuple[float, float, float, float]
"""Left, top, width and height in points."""


def horizontal_axis(box: Box, label: str, places: Sequence[tuple[float, str]]) -> str:
    """Draw ticks, at fractions of the width, and the label, lines apart, below a box."""
    left, bottom = box[0], box[1] + box[3]
    ticks = [(left + place * box[2], text) for place, text in places]
    marks = "".join(f"M{x:.2f} {bottom:.2f}v{TICK_LENGTH:g}" for x, _ in ticks)
    texts = [text_element(x, bottom + TICK_PAD + 6.08, text, TICK_SIZE, "middle") for x, text in ticks]
    lines = [
        text_element(left + box[2] / 2, bottom + 24.96 + 1.2 * LABEL_SIZE * n, line, LABEL_SIZE, "middle")
        for n, line in enumerate(label.split("\n"))
    ]
    return _ticks(marks) + "".join(texts + lines)


def vertical_axis(box: Box, label: str, places: Sequence[tuple[float, str]]) -> str:
    """Draw ticks, at fractions of the height from above, and the label left of a box."""
    left, top = box[:2]
    ticks = [(top + place * box[3], text) for place, text in places]
    marks = "".join(f"M{left:.2f} {y:.2f}h-{TICK_LENGTH:g}" for y, _ in ticks)
    texts = [text_element(left - TICK_PAD, y + 3.04, text, TICK_SIZE, "end") for y, text in ticks]
    widest = max((text_width(text) for _, text in ticks), default=0.0)
    x, y = max(LEAST_LABEL_X, left - TICK_PAD - widest - 6.0), top + box[3] / 2
    return _ticks(marks) + "".join(texts) + text_element(x, y, label, LABEL_SIZE, "middle", upright=True)


def text_width(text: str) -> float:
    """Estimate the width of a number beside a tick, in points."""
    return TICK_SIZE * sum(POINT if character == "." else DIGIT for character in text)


def _ticks(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{SOFT}" stroke-width="0.8"/>' if path else ""


def _mark(
    box: Box, axes: tuple[Axis, Axis], marked: tuple[float, float, float, float], colour: str, name: str
) -> str:
    """Draw a rectangle, cut at the frame; the name must be that of no other panel."""
    across, down = axes
    start, end, low, high = marked
    xs = [box[0] + (value - across.begin) / (across.end - across.begin) * box[2] for value in (start, end)]
    ys = [box[1] + (value - down.begin) / (down.end - down.begin) * box[3] for value in (low, high)]
    drawn = _rectangle((min(xs), min(ys), abs(xs[1] - xs[0]), abs(ys[1] - ys[0])), colour, 1.5)
    frame = _rectangle(box, "none", 0)
    return f'<clipPath id="{name}-frame">{frame}</clipPath><g clip-path="url(#{name}-frame)">{drawn}</g>'


def _rectangle(box: Box, colour: str, line: float) -> str:
    x, y, width, height = box
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" '
        f'fill="none" stroke="{colour}" stroke-width="{line:g}"/>'
    )


def text_element(x: float, y: float, text: str, size: float, anchor: str, upright: bool = False) -> str:
    """Place a text in points; `anchor` is start, middle or end."""
    turned = f' transform="rotate(-90 {x:.2f} {y:.2f})"' if upright else ""
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" fill="currentColor" '
        f'style="font-size: {size:g}px"{turned}>{html.escape(text)}</text>'
    )
