"""Nanoparticles chapter of the report: populations, other objects, warnings and the zoomed view."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from report_scenes import shared

from spherovem_core.nanoparticles.chapter import (
    nanoparticles_section,
    nanoparticles_warnings,
    population_table,
    reason_table,
)
from spherovem_core.nanoparticles.chapter_views import box_labels, densest_place
from spherovem_core.report import ReportInputs
from spherovem_core.report.views import cut, window_around
from spherovem_core.store.layout import REGISTERED


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return shared(tmp_path_factory)[0]


def population(number: int, **values: float) -> dict[str, float | None]:
    usual = {"count": 40, "fraction": 0.5, "contrast": 90.0, "contrast_sd": 5.0, "intensity": 210.0}
    return {
        "number": number,
        **usual,
        "diameter_nm": 320.0,
        "diameter_sd_nm": 20.0,
        "separation": None,
    } | values


def texts(inputs: ReportInputs) -> str:
    """Return facts, captions, tables and figures of the section as one text."""
    section = nanoparticles_section(inputs)
    panels = [panel.markup for picture in section.pictures for column in picture.columns for panel in column]
    tables = [table.frame.to_string() for table in section.tables]
    return "\n".join(map(str, [*section.facts, *panels, *tables]))


def test_each_population_has_its_row_its_colour_and_its_sizes(inputs: ReportInputs) -> None:
    particles = inputs.tables["nanoparticles"].copy()
    particles["population"] = np.where(np.arange(len(particles)) % 2, 1, 2)
    entries = [population(1, separation=6.0), population(2, contrast=40.0, diameter_nm=180.0, separation=6.0)]
    mixture = {**inputs.mixture, "populations": entries}
    two = replace(inputs, tables={**inputs.tables, "nanoparticles": particles}, mixture=mixture)
    table = population_table(two)
    assert table["diameter (nm)"].tolist() == ["320 ± 20", "180 ± 20"]
    assert table["separation (SD)"].tolist() == [6.0, 6.0]
    # Once in the legend of the scatter, once in that of the sizes.
    assert texts(two).count(">population 2<") == 2
    assert texts(inputs).count(">population 2<") == 0


def test_reasons_are_counted_with_their_usual_size_and_contrast() -> None:
    others = pd.DataFrame(
        {
            "reason": ["flat", "too large", "too large", "too large"],
            "equivalent_diameter_um": [0.2, 0.7, 0.8, 1.1],
            "contrast": [30.0, 60.0, 50.0, 40.0],
        }
    )
    table = reason_table(others)
    assert table["reason"].tolist() == ["too large", "flat"]
    assert table["objects"].tolist() == [3, 1]
    assert table["median diameter (nm)"].tolist() == pytest.approx([800, 200])
    assert table["median contrast (grey values)"].tolist() == [50.0, 30.0]


def test_more_reasons_than_colours_share_one(inputs: ReportInputs) -> None:
    others = pd.concat([inputs.tables["other_objects"].iloc[:1]] * 6).assign(
        reason=["flat", "soft edge", "too large", "elongated", "column", "irregular"]
    )
    text = texts(replace(inputs, tables={**inputs.tables, "other_objects": others}))
    assert text.count(">further reasons<") == 1


def test_warnings_of_the_result_are_those_of_the_chapter(inputs: ReportInputs) -> None:
    mixture = {**inputs.mixture, "warnings": ["one thing", "another"]}
    assert nanoparticles_warnings(replace(inputs, mixture=mixture)) == ["one thing", "another"]
    empty = {**mixture, "detected": False, "reason": "nothing stands out"}
    assert nanoparticles_warnings(replace(inputs, mixture=empty)) == [
        "no nanoparticles were labelled: nothing stands out",
        "one thing",
        "another",
    ]


def test_a_result_of_an_older_version_says_what_it_lacks(inputs: ReportInputs) -> None:
    old = replace(inputs, mixture={"detected": True, "weight": 0.01, "levels": [1.0, 2.0]})
    section = nanoparticles_section(old)
    assert section.facts == [("Particles", str(len(inputs.tables["nanoparticles"])))]
    assert "run the acquisition again" in section.warnings[0]


def test_boxes_of_other_objects_lie_where_the_objects_are(inputs: ReportInputs) -> None:
    image = inputs.open_level(REGISTERED)
    window = window_around(image, {1: 2.0, 2: 3.0}, 40)
    view = cut(image, 0, 0.6, window)
    row, column = (round(1000 * window[axis][0] / image.spacing_nm[axis]) for axis in (1, 2))
    boxes = pd.DataFrame(
        [(4, row + 3, column + 5, 6, row + 7, column + 11), (8, row, column, 9, row + 9, column + 9)],
        columns=["bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1"],
    )
    # 0.6 µm is slice 5, which the second box does not reach.
    painted = box_labels(boxes, view, image).values
    assert set(np.unique(painted)) == {0, 1}
    rows, columns = np.nonzero(painted)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 6, 5, 10)


def test_the_zoomed_view_goes_where_objects_are_densest(inputs: ReportInputs) -> None:
    image = inputs.open_level(REGISTERED)
    objects = pd.DataFrame(
        [(0.5, 1.0, 1.0), (1.5, 3.0, 3.0), (1.51, 3.1, 3.1)],
        columns=["centroid_z_um", "centroid_y_um", "centroid_x_um"],
    ).assign(equivalent_diameter_um=0.3)
    np.testing.assert_allclose(densest_place(objects, image), (1.505, 3.05, 3.05))
    np.testing.assert_allclose(densest_place(objects.iloc[:0], image), (1.44, 2.4, 2.28))
