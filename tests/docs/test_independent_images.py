"""The independent generator draws what its truth says, and the scores of particles are right on known results."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import benchmarks_on_path

SPACING = (50.0, 10.0, 10.0)


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """Import the benchmark's helper modules."""
    with benchmarks_on_path():
        names = ("images", "balls", "particles", "textures", "cases")
        modules = {name: import_module(f"_independent_{name}") for name in names}
        yield SimpleNamespace(**modules, scores=import_module("_particle_scores"))


def small(bench: Any, **fields: Any) -> Any:
    """Make a recipe of a small volume with ten particles."""
    populations = (bench.particles.Population(10, 100.0, spread=0.0),)
    plain = bench.images.Recipe(populations, (16, 96, 96), SPACING)
    return replace(plain, **fields)


def score(bench: Any, drawing: Any, labels: np.ndarray, confidence: float = 1.0) -> Any:
    numbers = np.unique(labels[labels > 0])
    table = pd.DataFrame({"label": numbers, "confidence": confidence})
    return bench.scores.score_particles(labels, table, drawing.particles, drawing.labels, drawing.spacing_nm)


@pytest.mark.parametrize("diameter", [35.0, 100.0, 333.0])
def test_a_ball_has_its_exact_volume(bench: Any, diameter: float) -> None:
    centre = np.array([403.0, 191.7, 208.2])
    cover = bench.balls.ball_cover((17, 40, 40), SPACING, centre, diameter)
    # Chords along x are exact; the midpoint sums over 64 lines per radius leave 0.1 %.
    assert cover.sum() * np.prod(SPACING) == pytest.approx(np.pi / 6 * diameter**3, rel=1e-3)
    where = [np.average(axis, weights=cover) for axis in np.indices(cover.shape)]
    # The centre of mass of a ball in one slice is that slice's: only in plane do many voxels sample a ball.
    assert (np.array(where) * SPACING)[1:] == pytest.approx(centre[1:], abs=0.2)
    assert where[0] * SPACING[0] == pytest.approx(centre[0], abs=SPACING[0] / 2)
    assert cover.max() <= 1


def test_a_slice_averages_over_its_thickness(bench: Any) -> None:
    # Along its axis a ball of 40 nm fills 0.8 of a slice of 50 nm that holds all of it.
    cover = bench.balls.ball_cover((3, 21, 21), (50.0, 1.0, 1.0), np.array([50.0, 10.0, 10.0]), 40.0)
    assert cover[1, 10, 10] == pytest.approx(40 / 50, abs=0.01)
    assert cover[[0, 2]].max() == 0


@pytest.mark.parametrize("sizes", [(2, 5, 8), (6, 6)])
def test_balls_of_a_clump_touch_and_do_not_overlap(bench: Any, sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(3)
    for size in sizes:
        diameters = random.uniform(90, 110, size)
        centres = bench.balls.touching_balls(diameters, random)
        away = np.linalg.norm(centres[:, None] - centres, axis=2) - (diameters[:, None] + diameters) / 2
        np.fill_diagonal(away, np.inf)
        assert away.min() > -1e-3
        assert away.min(axis=1).max() < 1e-3


def test_an_image_has_the_greys_particles_and_resin_of_its_recipe(bench: Any) -> None:
    resin = bench.textures.Resin(185.0, 0.4, textured=False)
    drawing = bench.images.draw(small(bench, resin=resin, noise=4.0, blur_px=0.0), seed=1)
    assert len(drawing.particles) == 10
    assert drawing.cover.sum() * np.prod(SPACING) == pytest.approx(10 * np.pi / 6 * 100**3, rel=1e-3)
    assert drawing.resin.mean() == pytest.approx(0.4, abs=0.02)
    assert np.median(drawing.image[drawing.resin]) == pytest.approx(185, abs=1)
    # The grey of a particle is drawn from N(215, 3).
    assert drawing.image[drawing.cover > 0.999].mean() == pytest.approx(215, abs=6)
    assert not (drawing.resin & (drawing.labels > 0)).any()
    assert (drawing.image.astype(float) - drawing.clean).std() == pytest.approx(4, abs=0.2)


def test_the_same_seed_gives_the_same_image(bench: Any) -> None:
    first, second, other = (bench.images.draw(small(bench, streaks=5), seed) for seed in (1, 1, 2))
    assert (first.image == second.image).all()
    assert first.particles.equals(second.particles)
    assert (first.image != other.image).any()


def test_dark_particles_lie_in_the_same_tissue_as_bright_ones(bench: Any) -> None:
    bright, dark = (bench.images.draw(small(bench, dark=dark, blur_px=0.0), seed=1) for dark in (False, True))
    assert dark.parameters == {"polarity": "dark"}
    assert (dark.labels == bright.labels).all()
    assert dark.clean[dark.cover == 0] == pytest.approx(bright.clean[dark.cover == 0], abs=1e-3)
    full = dark.cover > 0.999
    assert dark.clean[full] == pytest.approx(256 - bright.clean[full], abs=0.5)


def test_every_case_can_be_drawn(bench: Any) -> None:
    cases = bench.cases.cases()
    assert len({case.name for case in cases}) == len(cases) >= 90
    for case in cases[::12]:
        drawing = bench.images.draw(case.recipe, seed=4)
        assert len(drawing.particles) == len(np.unique(drawing.labels)) - 1


def test_perfect_labels_score_one(bench: Any) -> None:
    drawing = bench.images.draw(small(bench), seed=1)
    perfect = score(bench, drawing, drawing.labels)
    assert (perfect.precision, perfect.recall, perfect.dice, perfect.count_ratio) == (1, 1, 1, 1)
    assert (perfect.hits, perfect.false) == (10, 0)
    assert perfect.size_ratio == pytest.approx(1, abs=0.03)
    assert perfect.recalls == {1: 1.0}


def test_labels_moved_by_a_fifth_of_a_diameter_are_found_and_by_a_whole_one_are_not(bench: Any) -> None:
    drawing = bench.images.draw(small(bench), seed=1)
    near = score(bench, drawing, np.roll(drawing.labels, 2, axis=2))
    far = score(bench, drawing, np.roll(drawing.labels, 11, axis=2))
    assert (near.recall, near.false) == (1, 0)
    assert near.dice < 0.9
    assert (far.recall, far.false, far.precision) == (0, 10, 0)


def test_missing_and_extra_objects_lower_recall_and_precision(bench: Any) -> None:
    drawing = bench.images.draw(small(bench), seed=1)
    missing = np.where(drawing.labels <= 2, 0, drawing.labels)
    assert score(bench, drawing, missing).recall == pytest.approx(0.8)
    assert score(bench, drawing, missing).precision == 1
    extra = drawing.labels.copy()
    free = np.argwhere(np.roll(drawing.labels, 30, axis=1) == 0)[0]
    extra[free[0], free[1] : free[1] + 3, free[2] : free[2] + 3] = 99
    result = score(bench, drawing, extra)
    assert (result.recall, result.false, result.precision) == (1, 1, pytest.approx(10 / 11))


def test_a_merged_clump_is_one_object_for_many_particles(bench: Any) -> None:
    populations = (bench.particles.Population(diameter_nm=100.0, clumps=(6,)),)
    drawing = bench.images.draw(small(bench, populations=populations, shape=(16, 128, 128)), seed=1)
    merged = score(bench, drawing, (drawing.labels > 0).astype(np.uint32))
    assert merged.count_ratio == pytest.approx(1 / 6)
    assert merged.hits <= 1
    assert merged.dice == 1


def test_doubled_objects_have_a_size_ratio_of_the_cube_root_of_two(bench: Any) -> None:
    # Each label gets as many voxels again, beside the particle.
    drawing = bench.images.draw(small(bench), seed=1)
    ratio = score(bench, drawing, drawing.labels).size_ratio
    moved = np.roll(drawing.labels, 10, axis=2)
    doubled = np.where(drawing.labels > 0, drawing.labels, moved)
    counts = np.bincount(doubled.ravel())[1:] / np.bincount(drawing.labels.ravel())[1:]
    expected = ratio * np.median(np.cbrt(counts))
    assert score(bench, drawing, doubled).size_ratio == pytest.approx(expected, rel=0.02)


def test_nothing_found_where_nothing_is_scores_one_and_has_no_precision(bench: Any) -> None:
    drawing = bench.images.draw(small(bench, populations=()), seed=1)
    none = score(bench, drawing, np.zeros_like(drawing.labels))
    assert (none.true, none.found, none.dice) == (0, 0, 1)
    assert np.isnan([none.precision, none.recall, none.size_ratio, none.count_ratio]).all()


def test_a_failed_run_found_nothing_and_keeps_its_message(bench: Any) -> None:
    drawing = bench.images.draw(small(bench), seed=1)
    failed = bench.scores.score_failure(drawing.particles, drawing.labels, SPACING, "the fit collapsed")
    assert (failed.recall, failed.found, failed.failure) == (0, 0, "the fit collapsed")


def test_reliability_compares_confidence_with_the_fraction_that_is_right(bench: Any) -> None:
    confidence = np.repeat([0.55, 0.95], [100, 40])
    right = np.concatenate([np.arange(100) < 50, np.arange(40) < 38])
    assert bench.scores.reliability(confidence, right) == [
        (pytest.approx(0.55), 0.5, 100),
        (pytest.approx(0.95), 0.95, 40),
    ]
