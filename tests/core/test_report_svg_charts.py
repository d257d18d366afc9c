"""Histograms and bars in SVG: heights, and ticks where matplotlib has them."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import MaxNLocator

from spherovem_core.report.charts import HEIGHT, WIDTH, bin_edges, distribution, set_log_x
from spherovem_core.report.figures import Margins, new_panel
from spherovem_core.report.page import Panel
from spherovem_core.report.svg_charts import bars


def elements(panel: Panel, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(panel.markup).iter(tag))


def texts(panel: Panel) -> list[str]:
    return [part.text or "" for part in elements(panel, "text")]


def areas(panel: Panel) -> list[list[tuple[float, float]]]:
    """Return the corners of the filled areas."""
    paths = [part.get("d", "") for part in elements(panel, "path") if part.get("fill") != "none"]
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)] for path in paths]


def ticks_of_matplotlib(values: Sequence[float], *, log: bool) -> tuple[list[str], list[str]]:
    """Return the texts beside the ticks of x and y as matplotlib draws the same histogram."""
    found = np.asarray(values, float)
    edges = np.exp(bin_edges(np.log(found))) if log else bin_edges(found)
    axes = new_panel(WIDTH, HEIGHT)
    axes.stairs(np.histogram(found, edges)[0], edges, fill=True)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    if log:
        set_log_x(axes)
    FigureCanvasAgg(axes.figure).draw()
    shown = []
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        shown.append([t.label1.get_text() for t in axis.get_major_ticks() if low <= t.get_loc() <= high])
    return shown[0], shown[1]


@pytest.mark.parametrize(
    ("values", "log"),
    [
        (np.random.default_rng(0).normal(0, 1, 300), False),
        (np.random.default_rng(1).integers(0, 4, 30), False),
        (np.random.default_rng(2).lognormal(3, 1, 200), True),
        (np.random.default_rng(3).uniform(2, 9, 50), True),
        (np.random.default_rng(4).lognormal(0, 4, 100), True),
    ],
)
def test_ticks_are_those_of_matplotlib(values: Sequence[float], log: bool) -> None:
    x, y = ticks_of_matplotlib(values, log=log)
    assert texts(distribution({"a": values}, "size", "Sizes", log_x=log))[: len(x + y) + 2] == [
        *x,
        "size",
        *y,
        "count",
    ]


def test_areas_are_as_high_as_the_counts_and_lie_on_each_other() -> None:
    panel = distribution({"a": [0, 0, 0, 1, 2, 2], "b": [0, 2, 2, 2]}, "n", "both")
    lower, upper = areas(panel)
    # Ticks of the counts are 0, 2 and 4: their places give the scale.
    margins, height = Margins(), 72 * HEIGHT
    bottom, top = height - 72 * margins.bottom, 72 * (margins.top + 0.2)
    scale = (bottom - top) / (1.05 * 5)
    for corners, counts in ((lower, [3, 1, 2]), (upper, [4, 1, 5])):
        above = [(bottom - y) / scale for _, y in corners[: len(corners) // 2]]
        assert above == pytest.approx(np.repeat(counts, 2), abs=0.01)
    assert lower[:6] == upper[6:][::-1]
    assert {"a", "b", "both", "n", "count"} <= set(texts(panel))


@pytest.mark.parametrize("values", [[1e7, 1.5e7, 3e7], [1e-6, 2e-6, 5e-6], [12345.678, 12345.7], [-3e5, 2e6]])
def test_texts_of_ticks_leave_room_for_each_other(values: list[float]) -> None:
    panel = distribution({"a": values}, "size")
    ticks = texts(panel)[: texts(panel).index("size")]
    assert len(ticks) >= 2
    assert 8 * 0.64 * sum(map(len, ticks)) < 72 * WIDTH


def test_bars_are_as_long_as_their_values_and_lie_at_their_names() -> None:
    panel = bars(["ingest", "masks <cells>", "output"], [1.0, 4.0, 2.0], ["1", "4 s", "2"], "seconds", "Time")
    found = elements(panel, "rect")
    lengths = [float(bar.get("width", "")) for bar in found]
    assert np.array(lengths) / lengths[0] == pytest.approx([1, 4, 2], rel=1e-3)
    middles = [float(bar.get("y", "")) + float(bar.get("height", "")) / 2 for bar in found]
    names = {part.text: float(part.get("y", "")) for part in elements(panel, "text")}
    for name, middle in zip(("ingest", "masks <cells>", "output"), middles, strict=True):
        assert names[name] == pytest.approx(middle, abs=4)
    assert {"seconds", "Time", "4 s"} <= set(names)


def test_bars_of_nothing_are_drawn() -> None:
    assert "seconds" in texts(bars(["none"], [0.0], ["0"], "seconds", "Time"))
