"""The report's page and pictures: self-contained, escaped, warnings first, planes where they belong."""

import base64
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution
from spherovem_core.report.figures import histograms, lines_over_z
from spherovem_core.report.page import Page, Section, format_value, render
from spherovem_core.report.views import cut, fitting_level, outlines
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, finish_multiscale, slice_shards

SPACING = (50.0, 10.0, 10.0)


def page_with(**changes: object) -> str:
    section = Section("ingest", "Acquisition", [("Slices", "6")], **changes)  # type: ignore[arg-type]
    return render(Page("spheroid <1>", [("Cells", "3")], [section]))


def test_the_page_needs_nothing_from_elsewhere() -> None:
    picture = histograms({"volume (µm³)": np.array([1.0, 2.0, np.nan])}, "Volumes & more.")
    page = page_with(pictures=[picture])
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "<script" not in page
    assert "Volumes &amp; more." in page
    image = base64.b64decode(picture.uri.partition(",")[2])
    assert image.startswith(b"\x89PNG")


def test_text_is_escaped_and_a_warning_stands_before_every_section() -> None:
    page = page_with(warnings=["2 slices <bad>"])
    assert "spheroid &lt;1&gt;" in page
    assert page.index("2 slices &lt;bad&gt;") < page.index("<section>")
    assert 'href="#ingest"' in page


def test_tables_show_numbers_that_can_be_read() -> None:
    frame = pd.DataFrame({"a": [1.23456789, np.nan], "b": ["<x>", "y"]})
    page = page_with(tables=[("Numbers", frame)])
    assert "<td>1.235</td><td>&lt;x&gt;</td>" in page
    assert "<td>–</td>" in page
    assert [format_value(value) for value in (1e-7, 3, True)] == ["1e-07", "3", "True"]


def test_empty_and_constant_columns_are_drawn() -> None:
    assert histograms({"none": np.array([]), "one": np.array([2.0])}, "c").uri
    assert lines_over_z([("shift", {"y": np.full(3, np.nan)})], np.arange(3), "c").uri


def test_outlines_run_between_labels() -> None:
    labels = np.array([[0, 1, 1, 2], [0, 1, 1, 2], [0, 0, 0, 0]])
    edge = outlines(labels)
    assert edge.tolist() == [[True, False, True, False], [True, True, True, True], [False] * 4]


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
    view = cut(fitting_level(stored, "raw", 1000), 0, position_um=0.15)
    assert (view.values == 30).all()
    assert view.extent_um == pytest.approx((-0.005, 2.995, 0.635, -0.005))
    along = cut(fitting_level(stored, "raw", 1000), 1)
    assert along.plane == "xz"
    assert along.values[:, 0].tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert along.extent_um[2:] == pytest.approx((0.375, -0.025))


def test_a_level_is_chosen_that_fits_the_page(stored: Layout) -> None:
    assert fitting_level(stored, "raw", 300).shape == (8, 64, 300)
    assert fitting_level(stored, "raw", 200).shape == (8, 32, 150)
    assert fitting_level(stored, "raw", 5).shape[2] <= 75
