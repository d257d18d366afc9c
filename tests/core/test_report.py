"""The report of a finished acquisition: self-contained, one chapter per stage, and little read at a time."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from report_scenes import CHAPTERS, Scene, finished, provenance, shared

from spherovem_core.output import build_report
from spherovem_core.report import Chapter, ReportInputs
from spherovem_core.report.figures import INK, PALETTE, SOFT
from spherovem_core.report.page import Section
from spherovem_core.spatial.chapter import spatial_section
from spherovem_core.store import StoredArray

LIGHT_PAGE, DARK_PAGE = "#ffffff", "#14181f"
CONTRAST_OF_GRAPHICS = 3.0
"""Least contrast that WCAG 2.1 asks of lines and bars."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return shared(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    return shared(tmp_path_factory)[1]


def test_report_loads_nothing_from_elsewhere(report: str) -> None:
    assert not re.search(r"(src|href)=\"(?!data:|#)", report)
    assert not re.search(r"url\((?!#)", report)
    assert "default-src 'none'" in report
    assert len(report.encode()) < 15_000_000


def test_every_figure_is_valid_and_every_id_is_unique(report: str) -> None:
    names = re.findall(r'\bid="([^"]+)"', report)
    assert len(names) == len(set(names))
    figures = re.findall(r"<svg.*?</svg>", report, re.DOTALL)
    assert len(figures) > 40
    for figure in figures:
        ElementTree.fromstring(figure)
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", report))
    assert used <= set(names)


def test_colours_contrast_with_the_light_and_the_dark_page(report: str) -> None:
    assert INK not in report
    assert "currentColor" in report
    for colour in (*PALETTE, SOFT):
        assert contrast(colour, LIGHT_PAGE) > CONTRAST_OF_GRAPHICS
        assert contrast(colour, DARK_PAGE) > CONTRAST_OF_GRAPHICS


def contrast(first: str, second: str) -> float:
    """Compute the contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ np.array([0.2126, 0.7152, 0.0722]))

    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_each_chapter_shows_the_quality_of_its_stage(report: str) -> None:
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
        "denoising": (
            "before",
            "after",
            "residual",
            "Histogram of the residual",
            "Autocorrelation of the residual",
            "Training",
        ),
        "registration": (
            "xz, before",
            "xz, after",
            "yz, before",
            "yz, after",
            "Shift",
            "Rotation",
            "rows 4 to 124",
            "Common field of view",
        ),
        "segmentation": ("xy at z", "xz at y", "yz at x", "Cells, cells", "cut by the border"),
        "specimen": ("Outside", "Charging", "specimen mask"),
        "nanoparticles": ("Populations", "Other objects by reason", "posterior", "outlines", "Sizes"),
        "shape": ("sphericity", "shape index", "fractal dimension", "Surface of cell"),
        "spatial": (
            "random places",
            "Enrichment",
            "Particles per cell",
            "in 3D",
            "Clustering",
            "Compared with",
        ),
        "uptake": (
            "Neighbours of a whole cell",
            "Fraction of the cell&#39;s volume",
            "At the membrane (within 100 nm)",
            "rank correlation",
            "Agglomerates by size and place",
        ),
        "review": (
            "Suspects among cells",
            "2 more probably wrong than right, 3 in all",
            "Merge 2 (yellow) and 3 (blue)",
        ),
        "means": ("not computed by the version that wrote these results",),
        "history": ("flows cells", "cuda:0", "61.5", "1900", "numpy"),
    }
    assert set(expected) | {"slices"} == set(found)
    for anchor, texts in expected.items():
        for text in texts:
            assert text in found[anchor], f"{text!r} is not in the section {anchor}"


def test_images_are_made_smaller_until_the_report_is_below_15_mb(inputs: ReportInputs) -> None:
    sizes = []

    def draw(inputs: ReportInputs) -> Section:
        sizes.append(inputs.image_px)
        return Section("slices", "Slices", [("filling", "x" * 30_000 * inputs.image_px)])

    page = build_report(replace(inputs, image_px=900), provenance(), [Chapter("Slices", draw)])
    assert len(page.encode()) < 15_000_000
    assert sizes == [900, 630, 441]


def test_results_without_distributions_are_reported(inputs: ReportInputs) -> None:
    added = ("radial", "ripley", "enrichment", "tests")
    tables = {name: table for name, table in inputs.tables.items() if name not in added}
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
    # Small pages make the phantom a large volume.
    for module, name, value in (
        ("denoising.chapter", "WINDOW_PX", 32),
        ("nanoparticles.chapter_views", "WINDOW_PX", 32),
        ("registration.chapter", "DETAIL_PX", 24),
        ("spatial.chapter", "OVERVIEW_VOXELS", 32),
        ("report.surfaces", "BOX_VOXELS", 16),
        ("output.chapter", "SIDE_PX", 40),
    ):
        monkeypatch.setattr(f"spherovem_core.{module}.{name}", value)
    page = build_report(replace(inputs, image_px=40), provenance(), CHAPTERS)
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
def test_a_report_is_built_without_labels_or_without_good_slices(tmp_path: Path, missing: str) -> None:
    page = build_report(finished(tmp_path, EMPTY[missing], image_px=200), provenance(), CHAPTERS)
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
