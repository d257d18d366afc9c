"""Pieces of a report page, and the page itself: one HTML file that needs no network and no JavaScript."""

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
    """One drawing: an SVG that takes the page's text colour, its images within it.

    Attributes
    ----------
    width_px
        Width on a page that has room for it.
    least_px
        Width below which it is scrolled sideways instead of shrunk.
    """

    markup: Markup
    width_px: int
    least_px: int


@dataclass(frozen=True)
class Picture:
    """Panels, or columns of them, that stand beside each other where there is room, with one caption."""

    panels: Sequence[Panel | Sequence[Panel]]
    caption: str

    @property
    def columns(self) -> list[Sequence[Panel]]:
        """What stands beside each other: panels, or several upon each other."""
        return [(panel,) if isinstance(panel, Panel) else panel for panel in self.panels]


@dataclass(frozen=True)
class Table:
    """Numbers to be read and copied.

    Attributes
    ----------
    marked
        Numbers of the rows that stand out.
    folded
        Whether the table is shown on demand only.
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
        Data URIs, one a slice.
    outlines
        Data URIs of what is drawn over them, one a slice.
    titles
        What is said of each slice.
    width_px
        Width on a page that has room for it.
    """

    images: Sequence[str]
    outlines: Sequence[str]
    titles: Sequence[str]
    width_px: int
    height_px: int
    caption: str

    @property
    def middle(self) -> int:
        """Slice that is shown first, and the only one without JavaScript."""
        return len(self.images) // 2

    @property
    def frames(self) -> list[dict[str, str]]:
        """What the script needs of each slice."""
        return [
            {"image": image, "outlines": outlines, "title": title}
            for image, outlines, title in zip(self.images, self.outlines, self.titles, strict=True)
        ]


@dataclass(frozen=True)
class Section:
    """One stage's part of the report.

    Attributes
    ----------
    anchor
        Fragment of the section's address.
    facts
        Name and value, shown first.
    warnings
        What the user must know before trusting the stage; repeated at the top of the page.
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

    @property
    def warnings(self) -> list[tuple[Section, str]]:
        """Warnings of all sections, in the order of the stages."""
        return [(section, warning) for section in self.sections for warning in section.warnings]


def render(page: Page) -> str:
    """Turn a page into HTML; every text is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["rows"] = rows_html
    folder = files("spherovem_core.report").joinpath("templates")
    template, style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in TEMPLATES)
    return environment.from_string(template).render(page=page, style=Markup(style), script=Markup(script))


def rows_html(table: Table) -> Markup:
    """Head and rows of a table, numbers to four significant digits."""
    head = "".join(_heading(name, table.frame[name]) for name in table.frame.columns)
    rows = []
    for number, row in enumerate(table.frame.itertuples(index=False)):
        mark = ' class="marked"' if number in table.marked else ""
        cells = "".join(_cell(value) for value in row)
        rows.append(f"<tr{mark}>{cells}</tr>")
    return Markup(f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>")


def _heading(name: str, values: "pd.Series[Any]") -> str:
    kind = ' class="text"' if len(values) and all(isinstance(value, str) for value in values) else ""
    return f'<th scope="col"{kind}>{html.escape(name)}</th>'


def _cell(value: Any) -> str:
    kind = ' class="text"' if isinstance(value, str) else ""
    return f"<td{kind}>{html.escape(format_value(value))}</td>"


def format_value(value: Any) -> str:
    """Write a value for a reader: floats to four significant digits, NaN and None as a dash."""
    if value is None or value is pd.NA:
        return "–"
    if isinstance(value, float):
        if value != value:
            return "–"
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
    return str(value)
