"""Parts of a report page, and its rendering as one HTML file that needs no network and no JavaScript."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

TEMPLATES = ("report.html.j2", "report.css", "report.js")


@dataclass(frozen=True)
class Panel:
    """One drawing: an SVG in the page's text colour, with its images inside.

    Attributes
    ----------
    width_px
        Preferred width.
    least_px
        Width below which the panel scrolls sideways instead of shrinking.
    """

    markup: Markup
    width_px: int
    least_px: int


@dataclass(frozen=True)
class Picture:
    """Panels, or columns of panels, next to each other where there is room, with one caption."""

    panels: Sequence[Panel | Sequence[Panel]]
    caption: str

    @property
    def columns(self) -> list[Sequence[Panel]]:
        """Columns of panels, each with one panel or several above each other."""
        return [(panel,) if isinstance(panel, Panel) else panel for panel in self.panels]


@dataclass(frozen=True)
class Table:
    """A table that the reader can copy.

    Attributes
    ----------
    marked
        Numbers of the highlighted rows.
    folded
        True if the table opens only on demand.
    """

    title: str
    frame: pd.DataFrame
    marked: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True)
class Slices:
    """Slices to scroll through.

    Attributes
    ----------
    images
        Data URI per slice.
    outlines
        Data URI of the overlay per slice.
    titles
        Title per slice.
    width_px
        Preferred width.
    """

    images: Sequence[str]
    outlines: Sequence[str]
    titles: Sequence[str]
    width_px: int
    height_px: int
    caption: str

    @property
    def middle(self) -> int:
        """Index of the slice shown first, and the only one without JavaScript."""
        return len(self.images) // 2

    @property
    def frames(self) -> list[dict[str, str]]:
        """Image, outlines and title of each slice, for the script."""
        return [
            {"image": image, "outlines": outlines, "title": title}
            for image, outlines, title in zip(self.images, self.outlines, self.titles, strict=True)
        ]


@dataclass(frozen=True)
class Section:
    """Part of the page for one stage.

    Attributes
    ----------
    anchor
        Fragment of the section's address: the name of the stage.
    facts
        Pairs of name and value, shown first.
    warnings
        Warnings that the user must read before trusting the stage. The top of the page repeats them.
    """

    anchor: str
    title: str
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    warnings: Sequence[str] = ()
    slices: Slices | None = None


@dataclass(frozen=True)
class Page:
    """The whole report."""

    name: str
    summary: Sequence[tuple[str, str]]
    sections: Sequence[Section] = field(default_factory=list)
    subtitle: str = "Quantitative analysis of a volume electron microscopy acquisition by spherovem"

    @property
    def warnings(self) -> list[tuple[Section, str]]:
        """Warnings of all sections, in the order of the stages."""
        return [(section, warning) for section in self.sections for warning in section.warnings]


def render(page: Page) -> str:
    """Render a page as HTML, with every text escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["rows"] = rows_html
    folder = files("spherovem_core.report").joinpath("templates")
    template, style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in TEMPLATES)
    return environment.from_string(template).render(page=page, style=Markup(style), script=Markup(script))


def rows_html(table: Table) -> Markup:
    """Render head and rows of a table, with numbers to four significant digits."""
    head = "".join(_heading(name, table.frame[name]) for name in table.frame.columns)
    rows = []
    for number, row in enumerate(table.frame.itertuples(index=False)):
        mark = ' class="marked"' if number in table.marked else ""
        cells = "".join(_cell(value) for value in row)
        rows.append(f"<tr{mark}>{cells}</tr>")
    return Markup(f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>")


def _heading(name: str, values: "pd.Series[Any]") -> str:
    css_class = ' class="text"' if len(values) and all(isinstance(value, str) for value in values) else ""
    return f'<th scope="col"{css_class}>{html.escape(name)}</th>'


def _cell(value: Any) -> str:
    css_class = ' class="text"' if isinstance(value, str) else ""
    return f"<td{css_class}>{html.escape(format_value(value))}</td>"


def format_value(value: Any) -> str:
    """Format a value for a reader: floats to four significant digits, NaN and None as a dash."""
    if value is None or value is pd.NA:
        return "–"
    if isinstance(value, float):
        if value != value:
            return "–"
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
    return str(value)
