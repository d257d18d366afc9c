"""Planes of a volume on the page: level, position, extent and outlines."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from report_scenes import shared

from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution
from spherovem_core.report import ReportInputs
from spherovem_core.report.images import plane, sampled_outlines
from spherovem_core.report.views import View, cut, cuts_along_z, cuts_through, fitting_level, window_around
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Layout,
    finish_multiscale,
    open_array,
    slice_shards,
)

SPACING = (50.0, 10.0, 10.0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return shared(tmp_path_factory)[0]


def over(values: NDArray[Any], extent_um: tuple[float, float, float, float] = (0.0, 8.0, 4.0, 0.0)) -> View:
    return View(values, extent_um, "xy", 0.0)


def test_outlines_run_along_both_sides_of_a_border() -> None:
    labels = over(np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1]]))
    assert sampled_outlines(labels, labels, (3, 5)).tolist() == [[False, True, True, False, False]] * 3
    assert not sampled_outlines(over(np.ones((3, 3))), labels, (3, 3)).any()


def test_labels_of_a_coarser_grid_are_outlined_at_their_place() -> None:
    found = sampled_outlines(over(np.array([[1, 2], [3, 3]])), over(np.zeros((4, 8))), (4, 8))
    beside = [False] * 3 + [True] * 2 + [False] * 3
    assert found.tolist() == [beside, [True] * 8, [True] * 8, [False] * 8]


@pytest.mark.parametrize("shape", [(5, 4), (23, 17), (40, 61)], ids=["coarser", "like the labels", "finer"])
def test_outlines_are_those_of_labels_sampled_at_each_pixel(shape: tuple[int, int]) -> None:
    labels = np.random.default_rng(4).integers(0, 3, (23, 17)).repeat(2, axis=1).astype(np.uint32)
    image = over(np.zeros((2, 2)), (1.0, 7.0, 3.9, 0.2))
    y, x = (np.array([0.2, 1.0])[n] + (np.arange(k) + 0.5) / k * [3.7, 6.0][n] for n, k in enumerate(shape))
    sampled = labels[(y / 4 * 23).astype(int)][:, (x / 8 * 34).astype(int)]
    padded = np.pad(sampled, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    expected = np.any([sampled != other for other in neighbours], axis=0)
    np.testing.assert_array_equal(sampled_outlines(over(labels), image, shape), expected)


@pytest.mark.parametrize(
    ("rows", "columns", "word"), [(1, 300, "stretched"), (300, 1, "pressed"), (100, 120, "")]
)
def test_a_plane_that_is_not_to_scale_says_so(rows: int, columns: int, word: str) -> None:
    view = View(np.zeros((rows, columns), np.uint8), (0.0, columns, rows, 0.0), "xz", 0.0)
    markup = plane(view, (0, 1)).markup
    assert [name for name in ("stretched", "pressed") if name in markup] == [word] * bool(word)


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


def test_planes_are_cut_at_a_position_with_their_extent(stored: Layout) -> None:
    view = cut(fitting_level(partial(open_array, stored), "raw", 1000), 0, position_um=0.15)
    assert (view.values == 30).all()
    assert view.extent_um == pytest.approx((-0.005, 2.995, 0.635, -0.005))
    along = cut(fitting_level(partial(open_array, stored), "raw", 1000), 1)
    assert along.plane == "xz"
    assert along.values[:, 0].tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert along.extent_um[2:] == pytest.approx((0.375, -0.025))


def test_part_of_a_plane_is_read_within_its_bounds(stored: Layout) -> None:
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


def test_planes_read_by_layers_of_chunks_equal_those_read_one_by_one(inputs: ReportInputs) -> None:
    labels = fitting_level(inputs.open_level, "registered/labels/cells", 60)
    positions = [0.1, 0.4, 1.0, 2.5]
    for view, position in zip(cuts_along_z(labels, positions), positions, strict=True):
        single = cut(labels, 0, position)
        np.testing.assert_array_equal(view.values, single.values)
        assert view.extent_um == pytest.approx(single.extent_um)
        assert view.position_um == pytest.approx(single.position_um)


@pytest.mark.parametrize(
    ("place", "bounds"),
    [
        ((0.8, 0.4, 0.5), {0: (0.3, 1.9), 1: (0.1, 0.9), 2: (0.2, 1.1)}),
        ((0.8, 0.4, 0.5), {0: (-5.0, 50.0), 1: (-5.0, 50.0), 2: (-5.0, 50.0)}),
        ((0.8, 3.4, 0.5), {0: (0.3, 1.9), 1: (0.1, 0.9), 2: (0.2, 1.1)}),
    ],
    ids=["inside", "whole volume", "place outside the part"],
)
@pytest.mark.parametrize("group", ["registered", "registered/labels/cells"])
@pytest.mark.parametrize("level", [0, 1])
def test_planes_through_a_place_equal_those_read_one_by_one(
    inputs: ReportInputs,
    group: str,
    level: int,
    place: tuple[float, float, float],
    bounds: dict[int, tuple[float, float]],
) -> None:
    stored = inputs.open_level(group, level)
    for axis, view in enumerate(cuts_through(stored, place, bounds)):
        single = cut(stored, axis, place[axis], {a: side for a, side in bounds.items() if a != axis})
        np.testing.assert_array_equal(view.values, single.values)
        assert replace(view, values=0) == replace(single, values=0)


def test_the_finest_level_that_fits_is_opened(stored: Layout) -> None:
    assert fitting_level(partial(open_array, stored), "raw", 300).shape == (8, 64, 300)
    assert fitting_level(partial(open_array, stored), "raw", 200).shape == (8, 32, 150)
    assert fitting_level(partial(open_array, stored), "raw", 200, across=2).shape == (8, 64, 300)
    assert fitting_level(partial(open_array, stored), "raw", 5).shape[2] <= 75
