"""Charts of measured values: distributions, lines over the slices, scatter, bars."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from spherovem_core.report.figures import PALETTE, SOFT, add_legend, finish, new_panel, show_empty_reason
from spherovem_core.report.memory import remember_panel
from spherovem_core.report.page import Panel
from spherovem_core.report.svg_charts import histogram

WIDTH, HEIGHT = 3.5, 2.5
WIDE = 7.2
BINS = 30
MOST_MARKERS = 3000
"""Charts with more points are drawn as pixels."""


@remember_panel
def distribution(
    groups: Mapping[Any, Any],
    label: str,
    title: str = "",
    count_label: str = "count",
    log_x: bool = False,
    colours: Sequence[str] = PALETTE,
) -> Panel:
    """Draw a stacked histogram of the groups, without values that are not finite."""
    finite = {name: _finite(values) for name, values in groups.items()}
    everything = np.concatenate(list(finite.values())) if finite else np.empty(0)
    if not everything.size:
        axes = new_panel(WIDTH, HEIGHT, title, legend=len(groups) > 1)
        axes.set(xlabel=label, ylabel=count_label)
        show_empty_reason(axes, "nothing to show")
        return finish(axes)
    log_x = log_x and everything.min() > 0
    edges = np.exp(bin_edges(np.log(everything))) if log_x else bin_edges(everything)
    return histogram(finite, edges, label, title, count_label, log_x, colours, (WIDTH, HEIGHT))


def bin_edges(values: NDArray[np.float64], bins: int = BINS) -> NDArray[np.float64]:
    """Choose the edges of a histogram: fewer for few values, and whole numbers in the middle of a bin."""
    low, high = float(values.min()), float(values.max())
    if (values == np.rint(values)).all():
        step = max(1, -(-int(high - low + 1) // bins))
        return np.arange(low - 0.5, high + step + 0.5, step)
    if high - low < 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    return np.linspace(low, high, int(np.clip(values.size, 5, bins)) + 1)


@remember_panel
def lines(
    x: NDArray[Any],
    curves: Mapping[str, Any],
    x_label: str,
    y_label: str,
    title: str = "",
    marked: Sequence[float] = (),
    marked_label: str = "",
    width: float = WIDTH,
    level: float | None = None,
) -> Panel:
    """Draw curves over `x`, with a vertical line at each `marked` position and a horizontal one at `level`."""
    legend = len(curves) > 1 or len(marked) > 0
    axes = new_panel(width, HEIGHT if width == WIDTH else 2.2, title, legend=legend)
    axes.set(xlabel=x_label, ylabel=y_label)
    for number, position in enumerate(marked):
        axes.axvline(
            position, color=SOFT, linewidth=0.8, linestyle=":", label=marked_label if number == 0 else None
        )
    if level is not None:
        axes.axhline(level, color=SOFT, linewidth=1, linestyle="--")
    for (name, values), colour in zip(curves.items(), PALETTE, strict=False):
        known = np.asarray(values, dtype=float)
        # A single value draws no line.
        mark = "o" if np.isfinite(known).sum() == 1 else ""
        axes.plot(x, known, color=colour, label=name, linewidth=1.3, marker=mark, markersize=3)
    # Steps of a quarter would need one more digit, which pushes the label off the panel.
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.labelpad = 2.0
    if legend:
        add_legend(axes)
    if not any(np.isfinite(np.asarray(values, dtype=float)).any() for values in curves.values()):
        show_empty_reason(axes, "not known")
    return finish(axes)


@remember_panel
def envelope_lines(
    x: NDArray[Any],
    measured: NDArray[Any],
    band: tuple[NDArray[Any], NDArray[Any]],
    interval: tuple[NDArray[Any], NDArray[Any]] | None,
    labels: tuple[str, str],
    title: str,
    level: float | None,
) -> Panel:
    """Draw a measured curve with its interval over the envelope of random patterns; `labels` are those of the axes."""
    axes = new_panel(WIDTH, HEIGHT, title, legend=True)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if not np.isfinite(measured).any():
        show_empty_reason(axes, "not tested")
        return finish(axes)
    if level is not None:
        axes.axhline(level, color=SOFT, linewidth=1, linestyle="--")
    axes.fill_between(x, *band, color=SOFT, alpha=0.4, linewidth=0, label="random places (95 %)")
    axes.plot(x, measured, color=PALETTE[1], linewidth=1.5, label="particles")
    if interval is not None and np.isfinite(interval[0]).any():
        for bound in interval:
            axes.plot(x, bound, color=PALETTE[1], linewidth=0.7, linestyle=":")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.labelpad = 2.0
    add_legend(axes)
    return finish(axes)


@remember_panel
def scatter(
    groups: Mapping[str, tuple[Any, Any]],
    x_label: str,
    y_label: str,
    title: str = "",
    log_x: bool = False,
    colours: Sequence[str] = PALETTE,
    width: float = WIDTH,
) -> Panel:
    """Draw points in one colour per group."""
    axes = new_panel(width, 2.9, title, legend=len(groups) > 1)
    axes.set(xlabel=x_label, ylabel=y_label)
    drawn = 0
    for (name, (x, y)), colour in zip(groups.items(), colours, strict=False):
        drawn += len(x)
        if len(x):
            many = len(x) > MOST_MARKERS
            axes.scatter(
                x, y, s=3 if many else 12, color=colour, label=name, linewidths=0, alpha=0.9, rasterized=many
            )
    if not drawn:
        show_empty_reason(axes, "nothing to show")
    elif log_x:
        set_log_x(axes)
    if len(groups) > 1:
        add_legend(axes)
    return finish(axes)


def set_log_x(axes: Axes) -> None:
    """Make the x axis logarithmic, with plain numbers at 1, 2 and 5 of each decade."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _finite(values: Any) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64).ravel()
    return found[np.isfinite(found)]
