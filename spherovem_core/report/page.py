"""Pieces of a report page, and the page itself: one HTML file that needs no network and no JavaScript."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup


@dataclass(frozen=True)
class Picture:
    """A picture with its caption; `uri` is a data URI."""

    uri: str
    caption: str


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
    tables: Sequence[tuple[str, pd.DataFrame]] = ()
    warnings: Sequence[str] = ()


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
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["frame"] = frame_html
    template = files("spherovem_core.report").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page)


def frame_html(frame: pd.DataFrame) -> Markup:
    """Show a data frame as an HTML table with numbers to four significant digits."""
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(format_value(value))}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return Markup(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def format_value(value: Any) -> str:
    """Write a value for a reader: floats to four significant digits, NaN as a dash."""
    if isinstance(value, float):
        return "–" if value != value else f"{value:.4g}"
    return str(value)
