"""Histograms and bars written as SVG, in a hundredth of the time that matplotlib takes: most reports draw them again.

Sizes, places of ticks and their text are those of matplotlib.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from spherovem_core.report.figures import (
    LEGEND_INCHES,
    PALETTE,
    POINTS_PER_INCH,
    SOFT,
    Margins,
    panel_of,
    spoken_name,
)
from spherovem_core.report.image_frames import (
    TICK_LENGTH,
    TICK_PAD,
    TICK_SIZE,
    TITLE_PAD,
    TITLE_SIZE,
    Axis,
    Box,
    horizontal_axis,
    text_element,
    text_width,
    vertical_axis,
)
from spherovem_core.report.page import Panel

SPACE = 0.05
"""Free part of an axis beyond the data, on either side."""
MOST_COUNTS = 4
DECADES_WITH_STEPS = 200
"""Below this ratio of its ends, a logarithmic axis has ticks at 1, 2 and 5 of each decade."""
OPACITY = 0.85
BAR_HEIGHT = 0.7
KEY, KEY_GAP, KEY_APART = 10.4, 4.0, 8.8
"""Width of a colour's key in a legend, and the spaces after it and after its name, in points."""
LETTER = 0.53
"""Mean width of a letter, as a fraction of the size of the font."""

Ticks = list[tuple[float, str]]


def histogram(
    groups: Mapping[Any, NDArray[np.float64]],
    edges: NDArray[np.float64],
    label: str,
    title: str,
    count_label: str,
    log_x: bool,
    colours: Sequence[str],
    size: tuple[float, float],
) -> Panel:
    """Draw a stacked histogram.

    Parameters
    ----------
    groups
        Values by the name of their group; the names make the legend if there are several.
    edges
        Edges of the bins.
    size
        Width and height of the panel in inches.
    """
    margins = Margins(top=Margins.top + LEGEND_INCHES * (len(groups) > 1))
    box = _box(size, margins)
    scale = np.log if log_x else np.asarray
    ends = np.array([scale(edges[0]), scale(edges[-1])])
    ends += np.array([-SPACE, SPACE]) * (ends[1] - ends[0])
    x = box[0] + (scale(edges) - ends[0]) / (ends[1] - ends[0]) * box[2]
    counts = [np.histogram(values, edges)[0] for values in groups.values()]
    heights = np.cumsum(counts, axis=0)
    highest = (1 + SPACE) * max(float(heights.max()), 1.0)
    bottom = box[1] + box[3]
    parts = []
    for below, above, colour in zip([np.zeros_like(heights[0]), *heights], heights, colours, strict=False):
        outline = _steps(x, bottom - above / highest * box[3]), _steps(x, bottom - below / highest * box[3])
        parts.append(_area(outline, colour))
    found = MaxNLocator(MOST_COUNTS, integer=True).tick_values(0, highest)
    rising = [
        (1 - value / highest, f"{value:g}" if value < 1e5 else f"{value:.0f}")
        for value in found
        if 0 <= value <= highest
    ]
    ticks = (
        _log_ticks(ends, _most(box[2])) if log_x else _linear_ticks(float(ends[0]), float(ends[1]), box[2])
    )
    parts += [_spines(box), horizontal_axis(box, label, ticks), vertical_axis(box, count_label, rising)]
    if len(groups) > 1:
        parts.append(_legend(box, [str(name) for name in groups], colours))
    above = TITLE_PAD + POINTS_PER_INCH * LEGEND_INCHES * (len(groups) > 1)
    parts.append(text_element(box[0], box[1] - above, title, TITLE_SIZE, "start"))
    return _panel(size, spoken_name(title, count_label, label), parts)


def bars(
    names: Sequence[str], values: Sequence[float], texts: Sequence[str], label: str, title: str
) -> Panel:
    """Draw horizontal bars from top to bottom, with a name on the left and a text at the end of each."""
    margins = Margins(left=1.75, right=0.6)
    size = (5.0, 0.75 + 0.21 * len(names))
    box = _box(size, margins)
    highest = (1 + SPACE) * (max(values, default=0.0) or 1.0)
    # As many bars high as the axis is long, with a free space above the first and below the last.
    length = (len(names) - 1 + BAR_HEIGHT) * (1 + 2 * SPACE)
    first = (length - (len(names) - 1)) / 2
    parts = []
    for number, (name, value, text) in enumerate(zip(names, values, texts, strict=True)):
        y, end = box[1] + (number + first) / length * box[3], box[0] + value / highest * box[2]
        half = BAR_HEIGHT / 2 / length * box[3]
        parts.append(
            f'<rect x="{box[0]:.2f}" y="{y - half:.2f}" width="{end - box[0]:.2f}" height="{2 * half:.2f}" fill="{PALETTE[0]}"/>'
            f'<path d="M{box[0]:.2f} {y:.2f}h-{TICK_LENGTH:g}" fill="none" stroke="{SOFT}" stroke-width="0.8"/>'
        )
        parts.append(text_element(box[0] - TICK_PAD, y + 3.04, name, TICK_SIZE, "end"))
        parts.append(text_element(end + 3, y + 2.8, text, TICK_SIZE, "start"))
    ticks = _linear_ticks(0.0, highest, box[2])
    parts += [_spines(box), horizontal_axis(box, label, ticks)]
    parts.append(text_element(box[0], box[1] - TITLE_PAD, title, TITLE_SIZE, "start"))
    return _panel(size, spoken_name(title, label), parts)


def _box(size: tuple[float, float], margins: Margins) -> Box:
    left, top = margins.left, margins.top
    sides = (left, top, size[0] - left - margins.right, size[1] - top - margins.bottom)
    x, y, width, height = (POINTS_PER_INCH * side for side in sides)
    return x, y, width, height


def _panel(size: tuple[float, float], spoken: str, parts: Sequence[str]) -> Panel:
    return panel_of(size[0] * POINTS_PER_INCH, size[1] * POINTS_PER_INCH, spoken, Markup("".join(parts)))


def _most(width: float) -> int:
    """Return how many intervals of ticks fit, as matplotlib does."""
    return int(np.clip(width // (3 * TICK_SIZE), 1, 9))


def _linear_ticks(low: float, high: float, width: float) -> Ticks:
    """Place as many ticks as there is room for their texts."""
    for most in range(_most(width), 1, -1):
        ticks = Axis(low, high, "").ticks(most)
        if sum(text_width(text) + TICK_SIZE for _, text in ticks) <= width:
            break
    return ticks


def _log_ticks(ends: NDArray[np.float64], most: int) -> Ticks:
    low, high = np.exp(ends)
    subs = (1, 2, 5) if high < DECADES_WITH_STEPS * low else (1,)
    found = LogLocator(subs=subs, numticks=most).tick_values(low, high)
    return [
        (float((np.log(value) - ends[0]) / (ends[1] - ends[0])), f"{value:g}")
        for value in found
        if low <= value <= high
    ]


def _steps(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[str]:
    """Return the corners of a line with a step at each edge."""
    return [f"{a:.2f} {b:.2f}" for a, b in zip(np.repeat(x, 2)[1:-1], np.repeat(y, 2), strict=True)]


def _area(outline: tuple[list[str], list[str]], colour: str) -> str:
    above, below = outline
    return f'<path d="M{"L".join([*above, *reversed(below)])}z" fill="{colour}" fill-opacity="{OPACITY:g}"/>'


def _spines(box: Box) -> str:
    left, top, width, height = box
    path = f"M{left:.2f} {top:.2f}v{height:.2f}h{width:.2f}"
    return f'<path d="{path}" fill="none" stroke="{SOFT}" stroke-width="0.8"/>'


def _legend(box: Box, names: Sequence[str], colours: Sequence[str]) -> str:
    """Name the colours in the row above the box."""
    x, y, parts = box[0], box[1] - TITLE_PAD, []
    for name, colour in zip(names, colours, strict=False):
        parts.append(
            f'<rect x="{x:.2f}" y="{y - 5.6:.2f}" width="{KEY:g}" height="5.6" fill="{colour}" fill-opacity="{OPACITY:g}"/>'
        )
        parts.append(text_element(x + KEY + KEY_GAP, y, name, TICK_SIZE, "start"))
        x += KEY + KEY_GAP + LETTER * TICK_SIZE * len(name) + KEY_APART
    return "".join(parts)
