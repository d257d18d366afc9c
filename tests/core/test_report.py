"""The report's page and pictures: self-contained, escaped, warnings first, planes where they belong, little read at a time."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from report_scenes import Scene, finished, provenance, shared

from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution
from spherovem_core.output import build_report
from spherovem_core.output.history_section import duration, history_section
from spherovem_core.parameters import PipelineParameters
from spherovem_core.report import ReportInputs, build
from spherovem_core.report.charts import bin_edges, distribution, lines, scatter
from spherovem_core.report.figures import INK, PALETTE, SOFT
from spherovem_core.report.images import plane, sample_labels
from spherovem_core.report.page import Page, Picture, Section, Table, format_value, render
from spherovem_core.report.pixels import outlines
from spherovem_core.report.views import View, cut, cuts_along_z, fitting_level, window_around
from spherovem_core.spatial.chapter import spatial_section
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Layout,
    StoredArray,
    finish_multiscale,
    open_array,
    slice_shards,
)

SPACING = (50.0, 10.0, 10.0)
LIGHT_PAGE, DARK_PAGE = "#ffffff", "#14181f"
CONTRAST_OF_GRAPHICS = 3.0
"""What WCAG 2.1 asks of lines and bars that must be told from their ground."""


def page_with(**changes: object) -> str:
    section = Section("ingest", "Acquisition", [("Slices", "6")], **changes)  # type: ignore[arg-type]
    return render(Page("spheroid <1>", [("Cells", "3")], [section]))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return shared(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    return shared(tmp_path_factory)[1]


def test_the_report_needs_nothing_from_elsewhere(report: str) -> None:
    assert not re.search(r"(src|href)=\"(?!data:|#)", report)
    assert not re.search(r"url\((?!#)", report)
    assert "default-src 'none'" in report
    assert len(report.encode()) < 15_000_000


def test_every_figure_is_sound_and_every_name_is_given_once(report: str) -> None:
    names = re.findall(r'\bid="([^"]+)"', report)
    assert len(names) == len(set(names))
    figures = re.findall(r"<svg.*?</svg>", report, re.DOTALL)
    assert len(figures) > 40
    for figure in figures:
        ElementTree.fromstring(figure)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", report))
    assert used <= set(names)


def test_no_figure_keeps_a_colour_that_one_of_the_pages_hides(report: str) -> None:
    assert INK not in report
    assert "currentColor" in report
    for colour in (*PALETTE, SOFT):
        assert contrast(colour, LIGHT_PAGE) > CONTRAST_OF_GRAPHICS
        assert contrast(colour, DARK_PAGE) > CONTRAST_OF_GRAPHICS


def contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ np.array([0.2126, 0.7152, 0.0722]))

    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_each_stage_shows_what_tells_whether_it_worked(report: str) -> None:
    sections = re.split(r'<h2 id="([a-z]+)">', report)[1:]
    found = dict(zip(sections[::2], sections[1::2], strict=True))
    expected = {
        "ingest": (
            "xy at z",
            "xz at y",
            "yz at x",
            "Intensity over z",
            "Flagged slices",
            "slice_0003.tif",
            "3: missing",
            "11: outlier",
        ),
        "denoise": (
            "before",
            "after",
            "residual",
            "Residual&#x27;s histogram",
            "Residual&#x27;s autocorrelation",
            "Training",
        ),
        "register": (
            "xz, before",
            "xz, after",
            "yz, before",
            "yz, after",
            "Shift",
            "Rotation",
            "rows 4 to 124",
            "have in common",
        ),
        "segment": ("xy at z", "xz at y", "yz at x", "Cells, cells", "fraction cut by the border"),
        "nanoparticles": ("Intensities and the fitted mixture", "posterior", "outlines", "Sizes"),
        "shape": ("sphericity", "shape index", "fractal dimension", "Surface of cell"),
        "spatial": ("by chance", "Enrichment", "Particles per cell", "in 3D", "Clustering"),
        "history": ("predict_flows cells", "cuda:0", "61.5", "1900", "numpy"),
    }
    assert set(expected) | {"slices"} == set(found)
    for anchor, texts in expected.items():
        for text in texts:
            assert text in found[anchor], f"{text!r} is not in the section {anchor}"


def test_text_is_escaped_and_a_warning_stands_before_every_section() -> None:
    page = page_with(warnings=["2 slices <bad>"])
    assert "spheroid &lt;1&gt;" in page
    assert page.index("2 slices &lt;bad&gt;") < page.index("<section>")
    assert 'href="#ingest"' in page
    assert "No warnings." in page_with()


def test_tables_show_numbers_that_can_be_read() -> None:
    frame = pd.DataFrame({"a": [1.23456789, np.nan], "b": ["<x>", "y"]})
    page = page_with(tables=[Table("Numbers", frame, marked=frozenset({1}))])
    assert '<tr><td>1.235</td><td class="text">&lt;x&gt;</td></tr>' in page
    assert '<tr class="marked"><td>–</td>' in page
    values = (1e-7, 3, True, 123456.7, None)
    assert [format_value(value) for value in values] == ["1e-07", "3", "True", "123457", "–"]
    assert [duration(seconds) for seconds in (7.2, 300, 9000)] == ["7 s", "5 min", "2 h 30 min"]


def test_parameters_that_differ_from_the_defaults_are_told_apart() -> None:
    parameters = PipelineParameters.model_validate(
        {"cells": {"flow_spacing_nm": 70.0, "min_diameter_um": 2.0}}
    )
    tables = {table.title: table for table in history_section(provenance(), parameters).tables}
    changed = tables["Parameters that differ from the defaults"].frame
    # Of cells, 2 µm is the default, though it is not that of the model.
    assert changed["parameter"].tolist() == ["cells.flow_spacing_nm"]
    row = changed.set_index("parameter").loc["cells.flow_spacing_nm"]
    assert (row["value"], row["default"]) == ("70.0", "100.0")
    everything = tables["All parameters"]
    assert set(everything.frame["parameter"].iloc[sorted(everything.marked)]) == set(changed["parameter"])


def test_charts_of_nothing_and_of_constants_are_drawn() -> None:
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


def test_counts_stand_in_the_middle_of_their_bar() -> None:
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


def test_outlines_run_along_both_sides_of_a_border() -> None:
    labels = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1]])
    assert outlines(labels).tolist() == [[False, True, True, False, False]] * 3
    assert not outlines(np.ones((3, 3))).any()


def test_labels_of_a_coarser_grid_lie_where_they_belong_on_the_image() -> None:
    image = View(np.zeros((4, 8)), (0.0, 8.0, 4.0, 0.0), "xy", 0.0)
    labels = View(np.array([[1, 2], [3, 4]]), (0.0, 8.0, 4.0, 0.0), "xy", 0.0)
    found = sample_labels(labels, image, (4, 8))
    assert found.tolist() == [[1] * 4 + [2] * 4] * 2 + [[3] * 4 + [4] * 4] * 2


@pytest.mark.parametrize(
    ("rows", "columns", "said"), [(1, 300, "stretched"), (300, 1, "pressed"), (100, 120, "")]
)
def test_a_plane_that_is_too_thin_says_that_it_is_not_to_scale(rows: int, columns: int, said: str) -> None:
    view = View(np.zeros((rows, columns), np.uint8), (0.0, columns, rows, 0.0), "xz", 0.0)
    markup = plane(view, (0, 1)).markup
    assert [word for word in ("stretched", "pressed") if word in markup] == [said] * bool(said)


@pytest.fixture
def stored(tmp_path: Path) -> Layout:
    """An image whose value is its slice number, rising to the right within a slice."""
    shape = (8, 64, 300)
    chunks, shards = slice_shards(shape)
    layout = Layout(tmp_path / "a")
    spec = ArraySpec("raw", "image", shape, np.dtype(np.uint8), chunks, shards, SPACING)
    writer = ArrayWriter(layout, spec, "d")
    for block in slab_grid(shape, 1):
        writer.write(block, np.full((1, 64, 300), 10 * block.index[0], np.uint8))
    finish_multiscale(writer, Execution())
    return layout


def test_planes_are_cut_where_asked_with_their_extent(stored: Layout) -> None:
    view = cut(fitting_level(partial(open_array, stored), "raw", 1000), 0, position_um=0.15)
    assert (view.values == 30).all()
    assert view.extent_um == pytest.approx((-0.005, 2.995, 0.635, -0.005))
    along = cut(fitting_level(partial(open_array, stored), "raw", 1000), 1)
    assert along.plane == "xz"
    assert along.values[:, 0].tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert along.extent_um[2:] == pytest.approx((0.375, -0.025))


def test_part_of_a_plane_is_read_where_asked(stored: Layout) -> None:
    level = fitting_level(partial(open_array, stored), "raw", 1000)
    part = cut(level, 1, None, {0: (0.1, 0.25), 2: (1.0, 1.99)})
    assert part.values[:, 0].tolist() == [20, 30, 40, 50]
    assert part.extent_um == pytest.approx((0.995, 1.995, 0.275, 0.075))
    # A window near the border is moved inwards, one larger than the volume is cut to it.
    assert window_around(level, {1: 0.6, 2: 0.0}, 40) == {
        1: pytest.approx((0.24, 0.63)),
        2: pytest.approx((0.0, 0.39)),
    }
    assert window_around(level, {0: 0.2}, 40) == {0: pytest.approx((0.0, 0.35))}


def test_planes_of_one_layer_of_chunks_are_those_read_one_by_one(inputs: ReportInputs) -> None:
    labels = fitting_level(inputs.open_level, "registered/labels/cells", 60)
    positions = [0.1, 0.4, 1.0, 2.5]
    for view, position in zip(cuts_along_z(labels, positions), positions, strict=True):
        single = cut(labels, 0, position)
        np.testing.assert_array_equal(view.values, single.values)
        assert view.extent_um == pytest.approx(single.extent_um)
        assert view.position_um == pytest.approx(single.position_um)


def test_a_level_is_chosen_that_fits_the_page(stored: Layout) -> None:
    assert fitting_level(partial(open_array, stored), "raw", 300).shape == (8, 64, 300)
    assert fitting_level(partial(open_array, stored), "raw", 200).shape == (8, 32, 150)
    assert fitting_level(partial(open_array, stored), "raw", 200, across=2).shape == (8, 64, 300)
    assert fitting_level(partial(open_array, stored), "raw", 5).shape[2] <= 75


def test_a_report_that_grows_too_large_is_made_with_smaller_images(
    inputs: ReportInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def fake(inputs: ReportInputs, provenance: object) -> str:
        sizes.append(inputs.image_px)
        return "x" * 30_000 * inputs.image_px

    monkeypatch.setattr(build, "_build", fake)
    assert len(build_report(replace(inputs, image_px=900), {})) < 15_000_000
    assert sizes == [900, 630, 441]


def test_results_of_a_run_that_measured_no_distributions_are_reported(inputs: ReportInputs) -> None:
    tables = {name: table for name, table in inputs.tables.items() if name not in ("radial", "ripley")}
    section = spatial_section(replace(inputs, tables=tables))
    panels = [panel for picture in section.pictures for column in picture.columns for panel in column]
    assert sum("not measured in this run" in panel.markup for panel in panels) == 2
    assert not any("Clustering" in panel.markup for panel in panels)


class Reads:
    """Largest number of elements that was read at once."""

    largest = 0


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Reads]]:
    Reads.largest = 0
    original = StoredArray.__getitem__

    def counted(self: StoredArray, region: Any, /) -> Any:
        values = original(self, region)
        Reads.largest = max(Reads.largest, values.size)
        return values

    monkeypatch.setattr(StoredArray, "__getitem__", counted)
    yield Reads
    Reads.largest = 0


@pytest.mark.slow
def test_no_volume_is_read_whole(
    inputs: ReportInputs, reads: type[Reads], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if pages were small, which makes the volume a large one.
    for module, name, value in (
        ("sections.denoising", "WINDOW_PX", 32),
        ("sections.nanoparticles", "WINDOW_PX", 32),
        ("sections.nanoparticles", "MOST_PIXELS", 10_000),
        ("sections.nanoparticles", "BAND_ROWS", 16),
        ("sections.registration", "DETAIL_PX", 24),
        ("sections.space", "OVERVIEW_VOXELS", 32),
        ("surfaces", "BOX_VOXELS", 16),
        ("scroller", "SIDE_PX", 40),
    ):
        monkeypatch.setattr(f"spherovem_core.report.{module}.{name}", value)
    page = build_report(replace(inputs, image_px=40), provenance())
    assert "The middle in full resolution" in page
    assert 0 < reads.largest < 24 * 120 * 114 / 8


EMPTY = {
    "particles": Scene(particles=False),
    "nuclei": Scene(nuclei=False),
    "everything": Scene(particles=False, cells=False, nuclei=False, flags={}),
    "good slices": Scene(
        flags={name: range(24) for name in ("missing", "blank", "truncated", "saturated", "outlier")}
    ),
}


@pytest.mark.parametrize(
    "missing",
    [name if name == "everything" else pytest.param(name, marks=pytest.mark.slow) for name in EMPTY],
)
def test_there_is_a_report_where_something_is_missing(tmp_path: Path, missing: str) -> None:
    page = build_report(finished(tmp_path, EMPTY[missing], image_px=200), provenance())
    warned = page.partition("</ul>")[0]
    expected = {
        "particles": ["no nanoparticles were labelled"],
        "nuclei": ["no nuclei were found"],
        "everything": ["no cells were found", "no nuclei were found", "no nanoparticles were labelled"],
        "good slices": ["24 of 24 slices were missing or unusable"],
    }
    for text in expected[missing]:
        assert text in warned
    assert "nan " not in re.sub(r"<[^>]*>", " ", page)
