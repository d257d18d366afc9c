"""Parts of a report page: escaped text, tables, charts, and the section on the history."""

import numpy as np
import pandas as pd
from pydantic import BaseModel
from report_scenes import provenance

from spherovem_core.output.history_section import format_duration, history_section, parameter_table
from spherovem_core.parameters import PipelineParameters
from spherovem_core.report.charts import bin_edges, distribution, lines, scatter
from spherovem_core.report.page import Page, Picture, Section, Table, format_value, render


def page_with(**changes: object) -> str:
    section = Section("ingest", "Acquisition", [("Slices", "6")], **changes)  # type: ignore[arg-type]
    return render(Page("spheroid <1>", [("Cells", "3")], [section]))


def test_text_is_escaped_and_warnings_come_before_sections() -> None:
    page = page_with(warnings=["2 slices <bad>"])
    assert "spheroid &lt;1&gt;" in page
    assert page.index("2 slices &lt;bad&gt;") < page.index("<section>")
    assert 'href="#ingest"' in page
    assert "No warnings." in page_with()


def test_numbers_are_formatted_for_a_reader() -> None:
    frame = pd.DataFrame({"a": [1.23456789, np.nan], "b": ["<x>", "y"]})
    page = page_with(tables=[Table("Numbers", frame, marked=frozenset({1}))])
    assert '<tr><td>1.235</td><td class="text">&lt;x&gt;</td></tr>' in page
    assert '<tr class="marked"><td>–</td>' in page
    values = (1e-7, 3, True, 123456.7, None)
    assert [format_value(value) for value in values] == ["1e-07", "3", "True", "123457", "–"]
    assert [format_duration(seconds) for seconds in (7.2, 300, 9000)] == ["7 s", "5 min", "2 h 30 min"]


def test_parameters_that_differ_from_the_defaults_are_marked() -> None:
    parameters = PipelineParameters.model_validate({"denoising": {"epochs": 7}})
    tables = {table.title: table for table in history_section(provenance(), parameters).tables}
    changed = tables["Parameters that differ from the defaults"].frame
    assert changed.to_dict("list") == {"parameter": ["denoising.epochs"], "value": ["7"], "default": ["30"]}
    everything = tables["All parameters"]
    assert set(everything.frame["parameter"].iloc[sorted(everything.marked)]) == set(changed["parameter"])


class Cells(BaseModel):
    min_diameter_um: float = 1.0
    percentiles: tuple[float, float] = (1.0, 99.0)


class Groups(BaseModel):
    cells: Cells = Cells(min_diameter_um=2.0)
    model: str | None = None


def test_parameters_of_nested_groups_are_compared_with_the_defaults_of_their_group() -> None:
    # The default of the group is 2 µm, that of its model 1 µm.
    table = parameter_table(Groups(cells=Cells(min_diameter_um=1.0)), Groups())
    assert table.to_numpy().tolist() == [
        ["cells.min_diameter_um", "1.0", "2.0", "changed"],
        ["cells.percentiles", "1.0, 99.0", "1.0, 99.0", ""],
        ["model", "–", "–", ""],
    ]


def test_charts_of_no_values_and_of_constants_are_drawn() -> None:
    panels = [
        distribution({"none": np.array([]), "unknown": np.array([np.nan])}, "x"),
        distribution({"one": np.array([2.5, 2.5])}, "x", log_x=True),
        lines(np.arange(3), {"y": np.full(3, np.nan)}, "x", "y"),
        lines(np.arange(1), {"y": np.ones(1)}, "x", "y"),
        scatter({"a": ([], []), "b": ([1.0], [2.0])}, "x", "y", log_x=True),
        scatter({"a": ([], [])}, "x", "y"),
    ]
    page = page_with(pictures=[Picture(panels, "Nothing & more.")])
    assert "nothing to show" in panels[0].markup
    assert "not known" in panels[2].markup
    assert "Nothing &amp; more." in page


def test_whole_numbers_lie_in_the_middle_of_their_bin() -> None:
    assert bin_edges(np.array([0.0, 1.0, 3.0])).tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    wide = bin_edges(np.array([0.0, 90.0]))
    assert wide[0] == -0.5
    assert wide[-1] > 90
    assert len(wide) <= 32
    assert bin_edges(np.array([0.5, 0.5])).tolist()[:1] < [0.5]


def test_many_points_are_drawn_as_pixels() -> None:
    few, many = (scatter({"a": (np.arange(n), np.arange(n))}, "x", "y").markup for n in (10, 20_000))
    assert "<image" not in few
    assert "<image" in many
    assert len(many) < 100_000
