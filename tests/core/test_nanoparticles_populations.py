"""Populations: particles of one kind are one, two kinds are two, and a warning says when they are too alike."""

import numpy as np
import pytest

from spherovem_core.nanoparticles.populations import (
    describe_populations,
    find_populations,
    overlap_warning,
)


def draw(*kinds: tuple[int, float, float], spread: float = 0.06, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Draw kinds of particles: count, contrast, diameter; returns kind, contrast and diameter."""
    random = np.random.default_rng(seed)
    kind = np.repeat(np.arange(len(kinds)), [k[0] for k in kinds])
    contrast, diameter = (
        np.concatenate([k[n] * (1 + spread * random.standard_normal(k[0])) for k in kinds]) for n in (1, 2)
    )
    return kind, contrast, diameter


def sort(contrast: np.ndarray, diameter: np.ndarray, sure: np.ndarray | None = None) -> np.ndarray:
    everything = np.ones(len(contrast), bool) if sure is None else sure
    return find_populations(120 + contrast, contrast, diameter, everything)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [5, 20, 400])
def test_one_kind_is_one_population(count: int, seed: int) -> None:
    _, contrast, diameter = draw((count, 90, 240), seed=seed)
    assert sort(contrast, diameter).tolist() == [1] * count


def test_skewed_sizes_are_one_population() -> None:
    random = np.random.default_rng(0)
    contrast = 90 * (1 + 0.05 * random.standard_normal(300))
    assert set(sort(contrast, 200 * np.exp(0.3 * random.gamma(2.0, 1.0, 300)))) == {1}


@pytest.mark.parametrize(
    "kinds",
    [((40, 115, 240), (40, 60, 240)), ((40, 90, 320), (40, 90, 160)), ((30, 115, 150), (300, 60, 300))],
    ids=["intensity", "size", "unequal"],
)
def test_two_kinds_are_two_populations(kinds: tuple[tuple[int, float, float], ...]) -> None:
    kind, contrast, diameter = draw(*kinds)
    population = sort(contrast, diameter)
    assert set(population) == {1, 2}
    brighter = population == 1
    if kinds[0][1] != kinds[1][1]:
        np.testing.assert_array_equal(brighter, kind == 0)
    else:
        assert len({*zip(kind.tolist(), population.tolist(), strict=True)}) == 2


def test_three_kinds_are_numbered_from_the_brightest() -> None:
    kind, contrast, diameter = draw((40, 40, 240), (40, 120, 240), (40, 75, 240))
    np.testing.assert_array_equal(sort(contrast, diameter), np.array([3, 1, 2])[kind])


def test_few_particles_of_another_kind_make_no_population() -> None:
    _, contrast, diameter = draw((100, 90, 240), (4, 160, 240))
    assert set(sort(contrast, diameter)) == {1}


def test_particles_that_are_not_sure_join_a_population_and_make_none() -> None:
    kind, contrast, diameter = draw((40, 115, 240), (40, 60, 240), (40, 25, 120))
    population = sort(contrast, diameter, kind < 2)
    np.testing.assert_array_equal(population[kind < 2], kind[kind < 2] + 1)
    assert set(population) == {1, 2}


def test_order_of_the_particles_does_not_matter() -> None:
    _, contrast, diameter = draw((40, 115, 240), (60, 60, 240))
    order = np.random.default_rng(1).permutation(100)
    np.testing.assert_array_equal(sort(contrast[order], diameter[order]), sort(contrast, diameter)[order])


def test_description_is_the_mean_and_spread_of_each_population() -> None:
    population = np.array([1, 1, 2, 2, 2])
    contrast = np.array([110.0, 120, 50, 60, 70])
    diameter = np.array([200.0, 220, 100, 110, 120])
    bright, dim = describe_populations(population, contrast, 100 + contrast, diameter)
    assert (bright.number, bright.count, bright.fraction) == (1, 2, 0.4)
    assert (bright.contrast, bright.intensity, bright.diameter_nm) == (115.0, 215.0, 210.0)
    assert (bright.contrast_sd, bright.diameter_sd_nm) == (5.0, 10.0)
    assert dim.diameter_nm == pytest.approx(110.0)
    assert dim.separation == bright.separation
    assert describe_populations(*(np.empty(0),) * 4) == []  # type: ignore[arg-type]


def test_overlap_is_said_with_the_numbers() -> None:
    kind, contrast, diameter = draw((50, 100, 240), (50, 82, 240))
    near = describe_populations(kind + 1, contrast, 120 + contrast, diameter)
    text = overlap_warning(near)
    assert text is not None
    assert f"population 1 ({near[0].contrast:.0f} grey values, {near[0].diameter_nm:.0f} nm)" in text
    assert f"lie {near[0].separation:.1f} standard deviations apart" in text
    assert "set expected_diameter_nm" in text
    kind, contrast, diameter = draw((50, 120, 240), (50, 60, 240))
    assert overlap_warning(describe_populations(kind + 1, contrast, 120 + contrast, diameter)) is None
    assert overlap_warning(near[:0]) is None
