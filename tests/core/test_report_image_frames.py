"""Frames around images: places and texts of ticks, labels and marks."""

import re
from xml.etree import ElementTree

import pytest

from spherovem_core.report.figures import Layer, Margins
from spherovem_core.report.image_frames import Axis, frame_images

MARGINS = Margins(0.5, 0.25, 0.25, 0.5)
URI = "data:image/webp;base64,AAAA"


def test_ticks_lie_at_their_values_on_an_axis_that_runs_either_way() -> None:
    assert Axis(0.0, 4.0, "x").ticks() == [(0.0, "0"), (0.25, "1"), (0.5, "2"), (0.75, "3"), (1.0, "4")]
    assert Axis(3.0, 1.0, "x").ticks() == [
        (1.0, "1.0"),
        (0.75, "1.5"),
        (0.5, "2.0"),
        (0.25, "2.5"),
        (0.0, "3.0"),
    ]
    below = Axis(-0.03, 0.09, "x").ticks()
    assert [text for _, text in below] == ["\N{MINUS SIGN}0.025", "0.000", "0.025", "0.050", "0.075"]


@pytest.mark.parametrize("low", [0.0, 1234.5])
def test_texts_of_far_positions_have_no_offset(low: float) -> None:
    texts = [text for _, text in Axis(low, low + 0.4, "x").ticks()]
    assert all(low <= float(text) <= low + 0.4 for text in texts)
    assert len(texts) >= 4


def test_images_fill_the_frame_and_a_mark_lies_at_its_place() -> None:
    axes = (Axis(0.0, 10.0, "x (µm)\nbelow"), Axis(0.0, 5.0, "y <µm>"))
    panel = frame_images([Layer(URI)], (2.75, 1.75), MARGINS, "a & b", axes, (5.0, 7.5, 2.0, 1.0), "#ffb000")
    root = ElementTree.fromstring(panel.markup)
    assert root.get("aria-label") == "a & b, y <µm>, x (µm) below"
    assert (panel.width_px, root.get("viewBox")) == (264, "0 0 198 126")
    image = root.find("image")
    assert image is not None
    assert [float(image.get(name, "")) for name in ("x", "y", "width", "height")] == [36, 18, 144, 72]
    mark = next(part for part in root.iter("rect") if part.get("stroke") == "#ffb000")
    assert [float(mark.get(name, "")) for name in ("x", "y", "width", "height")] == [108, 32.4, 36, 14.4]
    texts = [part.text for part in root.iter("text")]
    assert {"x (µm)", "below", "y <µm>", "a & b"} <= set(texts)


def test_marks_of_different_panels_have_names_of_their_own() -> None:
    axes = (Axis(0.0, 10.0, "x"), Axis(0.0, 5.0, "y"))
    markups = [
        frame_images([Layer(URI)], (3.0, 2.0), MARGINS, "", axes, mark).markup
        for mark in ((1.0, 2.0, 2.0, 1.0), (1.0, 3.0, 2.0, 1.0))
    ]
    names = [re.findall('<clipPath id="([^"]+)"', markup) for markup in markups]
    assert names[0] != names[1]
    assert all(f"url(#{name[0]})" in markup for name, markup in zip(names, markups, strict=True))
