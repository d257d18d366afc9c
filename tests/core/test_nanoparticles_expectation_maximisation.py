"""Distributions over intensity bins, and expectation maximisation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spherovem_core.nanoparticles.distributions import (
    background_pmf,
    edge_pmfs,
    normal_moments,
    normal_pmf,
)
from spherovem_core.nanoparticles.expectation_maximisation import (
    MixtureComponents,
    estimate_fractions,
    log_likelihood,
    maximise_likelihood,
    spread_clipped,
)


def test_bins_of_a_normal_have_the_moments_of_a_truncated_normal() -> None:
    mean, sd, bins = 8.3, 2.1, 16
    mass, (first, second) = normal_pmf(mean, sd, bins), normal_moments(mean, sd, bins)
    assert mass.sum() == pytest.approx(1, abs=1e-9)
    for k in (3, 9, 15):
        low = -np.inf if k == 0 else k - 0.5
        high = np.inf if k == bins - 1 else k + 0.5
        exact = stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
        assert first[k] == pytest.approx(exact.mean(), rel=1e-9)
        assert second[k] == pytest.approx(exact.moment(2), rel=1e-9)


def test_background_tail_continues_as_an_exponential() -> None:
    # Counts of an exponential with a rate of 0.2 per bin: the tail must continue it where the counts vanish.
    counts = np.floor(1e6 * np.exp(-0.2 * np.arange(200)))
    pmf = background_pmf(counts)
    assert pmf.sum() == pytest.approx(1)
    slope = np.log(pmf[120] / pmf[80]) / 40
    assert slope == pytest.approx(-0.2, abs=0.005)


def test_edges_lie_between_background_and_particles() -> None:
    outer, inner = edge_pmfs(100, 200, 5, 256)
    bins = np.arange(256)
    # Mean of (1 - a) 100 + a 200 for a uniform in (0, 1/2) and in (1/2, 1).
    assert outer @ bins == pytest.approx(125, abs=0.1)
    assert inner @ bins == pytest.approx(175, abs=0.1)


@pytest.mark.parametrize("weight", [1e-4, 2e-3, 0.03, 0.4])
def test_weight_is_recovered_for_known_components(weight: float) -> None:
    background, particles = normal_pmf(120, 15, 256), normal_pmf(190, 12, 256)
    counts = 1e7 * ((1 - weight) * background + weight * particles)
    fractions = estimate_fractions(counts[None], background, particles, 0.5, 0.0, tolerance=1e-10)
    assert fractions[0] == pytest.approx(weight, abs=1e-6)
    drawn = np.random.default_rng(0).multinomial(10_000_000, counts / counts.sum())
    fractions = estimate_fractions(drawn[None].astype(float), background, particles, 0.5, 0.0)
    assert fractions[0] == pytest.approx(weight, abs=1e-3)


def test_map_weight_of_disjoint_components_equals_the_closed_form() -> None:
    # k of n voxels are certainly particles, and the mode of Beta(k + s p + 1, n - k + s (1 - p) + 1) is (k + s p) / (n + s).
    background, particles = np.array([1.0, 1e-300]), np.array([1e-300, 1.0])
    counts = np.array([[90.0, 10.0], [0.0, 0.0]])
    fractions = estimate_fractions(counts, background, particles, 0.02, 50.0)
    np.testing.assert_allclose(fractions, [(10 + 1) / 150, 0.02])


@settings(max_examples=25, deadline=None)
@given(
    mean=st.floats(150, 250),
    sd=st.floats(2, 25),
    weight=st.floats(1e-3, 0.5),
    start=st.floats(140, 254),
    seed=st.integers(0, 1000),
)
def test_likelihood_never_falls(mean: float, sd: float, weight: float, start: float, seed: int) -> None:
    background = normal_pmf(120, 15, 256)
    truth = (1 - weight) * background + weight * normal_pmf(mean, sd, 256)
    counts = np.random.default_rng(seed).multinomial(100_000, truth / truth.sum()).astype(float)
    edges = edge_pmfs(120.0, start, 10.0, 256)
    components = MixtureComponents(background, edges, start, 10.0, np.array([0.2, 0.3, 0.5]))
    prior = np.array([30.0, 30.0, 40.0])
    # A part of the brightest voxels is known only to be at or above one of two limits.
    clipped = np.zeros(256)
    clipped[[160, 200]] = counts[160:200].sum() / 2, counts[200:].sum()
    path = maximise_likelihood(counts, components, 0.5, prior, 60, 1e-12, clipped).objective
    assert np.diff(path).min() > -1e-12


def test_clipped_voxels_are_spread_in_proportion_to_the_density_above_their_limit() -> None:
    density = np.array([0.4, 0.3, 0.2, 0.1])
    clipped = np.array([0.0, 6.0, 0.0, 5.0])
    # Six voxels over the last three bins as 3 : 2 : 1, and five in the last bin.
    np.testing.assert_allclose(spread_clipped(clipped, density), [0, 3, 2, 6])
    assert log_likelihood(np.array([1.0, 0, 0, 0]), clipped, density) == pytest.approx(
        np.log(0.4) + 6 * np.log(0.6) + 5 * np.log(0.1)
    )
