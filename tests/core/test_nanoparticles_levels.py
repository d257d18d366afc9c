"""Level of candidates and detection limit."""

import numpy as np
import pytest
from nanoparticle_scenes import COARSE_NM, Kind, make_scene, score

from spherovem_core.nanoparticles import find_particles
from spherovem_core.nanoparticles.candidate_level import candidate_level
from spherovem_core.nanoparticles.slice_statistics import collect_statistics
from spherovem_core.parameters import NanoparticleParameters

BINS = 1000


def exponential(rate: float, total: float = 1e5) -> np.ndarray:
    return total * (1 - np.exp(-rate)) * np.exp(-rate * np.arange(BINS))


@pytest.mark.parametrize("rate", [0.05, 0.15])
@pytest.mark.parametrize("allowed", [0.1, 1.0, 10.0])
def test_level_of_an_exponential_tail_follows_from_its_slope(rate: float, allowed: float) -> None:
    level = candidate_level(exponential(rate), allowed)
    exact = np.log(1e5 / allowed) / rate
    # Never below the level that leaves as many; at most 40 % above it, because the slope is taken three errors too flat.
    assert exact - 1 <= level <= 1.4 * exact


def test_level_with_a_second_population_lies_between_both() -> None:
    counts = np.floor(exponential(0.15))
    alone = candidate_level(counts, 1.0)
    counts[200:240] += 3
    with_particles = candidate_level(counts, 1.0)
    assert with_particles < 200
    assert with_particles == pytest.approx(alone, abs=15)


def test_level_of_drawn_maxima_lets_few_pass() -> None:
    beyond = []
    for seed in range(20):
        heights = np.random.default_rng(seed).exponential(10.0, 20_000)
        counts = np.bincount(heights.astype(int), minlength=BINS)[:BINS].astype(float)
        beyond.append(counts[candidate_level(counts, 1.0) :].sum())
    # One is allowed; the bound is conservative.
    assert np.mean(beyond) <= 1.0


@pytest.mark.parametrize("count", [0, 5, 60])
def test_level_without_a_measurable_slope_lets_nothing_pass(count: int) -> None:
    counts = np.zeros(BINS)
    counts[:20] = count / 20
    assert candidate_level(counts, 1.0) == BINS


def test_resin_does_not_raise_the_level() -> None:
    levels = []
    for resin in (None, (0.35, 190.0)):
        scene = make_scene((20, 176, 176), (), COARSE_NM, resin=resin)
        counts = collect_statistics(scene.image, COARSE_NM, NanoparticleParameters())
        levels.append(counts.candidate_contrasts()[-1])
    assert levels[1] == pytest.approx(levels[0], rel=0.25)


def test_more_allowed_candidates_lower_the_level() -> None:
    scene = make_scene((16, 128, 128), (), COARSE_NM)
    few, many = (
        collect_statistics(
            scene.image, COARSE_NM, NanoparticleParameters(false_candidates_per_million=n)
        ).candidate_contrasts()
        for n in (1.0, 1000.0)
    )  # fmt: skip
    assert all(b < a for a, b in zip(few, many, strict=True))


def test_noise_is_measured_in_grey_values() -> None:
    for noise in (6.0, 15.0):
        scene = make_scene((12, 128, 128), (), COARSE_NM, noise=noise)
        found = find_particles(scene.image, COARSE_NM).mixture
        # Rounding to whole grey values adds a variance of 1/12, the texture of the tissue a part of its own.
        assert found.noise == pytest.approx(noise, rel=0.1)


def test_particles_at_the_detection_limit_are_mostly_found() -> None:
    first = make_scene((20, 176, 176), (Kind(30, 240.0),), COARSE_NM, noise=12.0)
    limit = find_particles(first.image, COARSE_NM).mixture.detection_limit_nm
    assert limit is not None
    recall = {}
    for factor in (0.75, 1.0, 1.3):
        scenes = [
            make_scene((20, 176, 176), (Kind(40, factor * limit),), COARSE_NM, noise=12.0, seed=seed)
            for seed in (1, 2)
        ]
        scored = [score(s, find_particles(s.image, COARSE_NM).table) for s in scenes]
        recall[factor] = float(np.mean([s.recall for s in scored]))
    assert recall[1.0] >= 0.75
    assert recall[1.3] >= 0.95
    assert recall[0.75] < recall[1.0] - 0.1
