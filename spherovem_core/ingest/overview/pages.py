"""The contact sheet as a self-contained HTML page and as one PNG picture."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spherovem_core.ingest.overview.contact_sheet import ContactSheet, Thumbnail
from spherovem_core.ingest.overview.survey_of_pixels import Overview
from spherovem_core.report.charts import WIDE, lines
from spherovem_core.report.images import thumbnail
from spherovem_core.report.page import Page, Panel, Picture, Section, Table, render
from spherovem_core.report.views import View, contrast_limits

MOST_ROWS = 200
COLUMNS = 8
INCHES, DPI = 1.6, 110
LONGEST_LABEL = 34
CURVES = (
    ("intensity_mean", "mean intensity", "grey value"),
    ("intensity_std", "contrast", "grey value"),
    ("sharpness", "sharpness", "Vollath"),
    ("similarity", "similarity", "correlation"),
)


def sheet_page(name: str, facts: Sequence[tuple[str, str]], overview: Overview, sheet: ContactSheet) -> str:
    """Return the contact sheet as one HTML page that needs no network."""
    limits = _limits(sheet)
    panels = [_panel(each, limits) for each in sheet.thumbnails]
    pictures = [
        Picture(
            [_curve(overview, column, title, unit) for column, title, unit in CURVES],
            "Intensity, contrast and sharpness of each slice, and the correlation with the slice before it, from six bands of "
            "its rows. Vertical lines: slices that stand out.",
        ),
        Picture(
            panels,
            "Slices spread over the stack, and those that stand out, with the reason under the number.",
        ),
    ]
    flagged = overview.suspicious[["number", "file", "suspicion"]].head(MOST_ROWS)
    flagged = flagged.rename(columns={"number": "slice", "suspicion": "reason"})
    tables = [Table("Slices that stand out", flagged)] if len(flagged) else []
    sections = [Section("slices", "Slices", _looked_at(overview, sheet), pictures, tables)]
    return render(
        Page(name, facts, sections, "The acquisition before anything is processed, by spherovem inspect")
    )


def sheet_picture(name: str, overview: Overview, sheet: ContactSheet) -> bytes:
    """Return the contact sheet as one PNG picture."""
    rows = -(-len(sheet.thumbnails) // COLUMNS)
    curves = len(CURVES)
    figure = Figure(
        figsize=(COLUMNS * INCHES, curves * 1.1 + rows * (INCHES + 0.3) + 0.6), dpi=DPI, layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(name)
    grid = figure.add_gridspec(curves + rows, COLUMNS, height_ratios=[1.1] * curves + [INCHES + 0.3] * rows)
    for n, (column, title, unit) in enumerate(CURVES):
        _draw_curve(figure.add_subplot(grid[n, :]), overview, column, f"{title}\n({unit})")
    limits = _limits(sheet)
    for n, each in enumerate(sheet.thumbnails):
        axes = figure.add_subplot(grid[curves + n // COLUMNS, n % COLUMNS])
        axes.set_axis_off()
        values = np.zeros((2, 2)) if each.values is None else each.values
        axes.imshow(values, cmap="gray", vmin=limits[0], vmax=limits[1])
        axes.set_title(_label(each), fontsize=7, color="crimson" if each.suspicion else "black")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_curve(axes: Axes, overview: Overview, column: str, label: str) -> None:
    table = overview.table
    axes.plot(table["number"], table[column], linewidth=0.8)
    for number in overview.suspicious["number"]:
        axes.axvline(number, color="crimson", linewidth=0.5, alpha=0.6)
    axes.set_ylabel(label, fontsize=7)
    axes.tick_params(labelsize=6)
    axes.ticklabel_format(useOffset=False)
    axes.margins(x=0.01)


def _looked_at(overview: Overview, sheet: ContactSheet) -> list[tuple[str, str]]:
    every = "every slice" if overview.step == 1 else f"every {overview.step}th slice"
    if overview.step == 2:
        every = "every second slice"
    more = f", {sheet.left_out} of them not on the sheet" if sheet.left_out else ""
    return [
        ("Looked at", f"{every}, {len(overview.table)} in all"),
        ("Stand out", f"{len(overview.suspicious)}{more}"),
    ]


def _curve(overview: Overview, column: str, title: str, unit: str) -> Panel:
    table = overview.table
    marked: pd.Series[float] = overview.suspicious["number"]
    return lines(
        table["number"].to_numpy(),
        {title: table[column]},
        "slice number",
        unit,
        title.capitalize(),
        marked.head(MOST_ROWS).tolist(),
        "stands out",
        WIDE,
    )


def _panel(each: Thumbnail, limits: tuple[float, float]) -> Panel:
    values = np.zeros((2, 2), np.float32) if each.values is None else each.values
    rows, columns = values.shape
    view = View(values, (0.0, float(columns), float(rows), 0.0), "xy", 0.0)
    return thumbnail(view, limits, _label(each))


def _label(each: Thumbnail) -> str:
    reason = each.suspicion
    short = reason if len(reason) <= LONGEST_LABEL else reason[: LONGEST_LABEL - 1] + "…"
    return f"{each.number}\n{short}" if short else str(each.number)


def _limits(sheet: ContactSheet) -> tuple[float, float]:
    shown = [each.values for each in sheet.thumbnails if each.values is not None]
    return contrast_limits(shown) if shown else (0.0, 1.0)
