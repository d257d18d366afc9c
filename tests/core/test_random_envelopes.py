"""Envelopes, p values, intervals over cells and the size of clusters, on numbers alone."""

import numpy as np
import pytest

from spherovem_core.spatial.cluster_scale import fit_cluster_radius
from spherovem_core.spatial.random_envelopes import envelope_of, extreme_fractions
from spherovem_core.spatial.random_summary import Curves, Summary, rank_sums, ratio_interval
from spherovem_core.spatial.random_tables import clustering_tables


def test_p_values_of_random_curves_are_uniform() -> None:
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(400, 20, 1)).cumsum(axis=1)[..., 0] + rng.normal(size=(400, 20))
    fractions = extreme_fractions(curves)
    assert np.sort(fractions).tolist() == pytest.approx(np.arange(1, 401) / 400)
    # Of 100 curves each, the first is a random one: its p value is below 0.05 in 5 % of the draws.
    drawn = [envelope_of(rng.normal(size=(100, 15)).cumsum(axis=1)) for _ in range(400)]
    assert np.mean([each.p_value <= 0.05 for each in drawn]) == pytest.approx(0.05, abs=0.03)


def test_a_curve_leaves_the_global_envelope_if_it_is_among_the_most_extreme() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        curves = rng.normal(size=(100, 8))
        curves[0] += rng.uniform(-3, 3)
        found = envelope_of(curves)
        outside = ((curves[0] > found.global_high) | (curves[0] < found.global_low)).any()
        assert outside == (found.p_value <= 0.05)


def test_pointwise_envelope_is_left_at_5_percent() -> None:
    rng = np.random.default_rng(2)
    outside = []
    for _ in range(400):
        curves = rng.exponential(size=(100, 10))
        found = envelope_of(curves)
        outside.append((curves[0] < found.low) | (curves[0] > found.high))
    assert np.mean(outside) == pytest.approx(0.05, abs=0.012)


def test_the_most_extreme_rank_decides_and_ties_are_compared_by_the_next() -> None:
    middle = np.tile(np.arange(10.0)[:, None], (1, 3))
    middle[[0, 5]] = middle[[5, 0]]
    assert envelope_of(middle).p_value == 1
    middle[0, 1] = 99
    assert envelope_of(middle).p_value == pytest.approx(0.3)
    middle[0] = 99
    # As extreme as the lowest curve.
    assert envelope_of(middle).p_value == pytest.approx(0.2)


def test_equal_curves_have_no_p_value() -> None:
    found = envelope_of(np.zeros((20, 4)))
    assert np.isnan(found.p_value)
    assert np.isnan(found.low).all()
    assert np.isnan(envelope_of(np.zeros((20, 0))).p_value)


@pytest.mark.parametrize("cells", [8, 40])
def test_intervals_of_ratios_hold_the_truth_in_95_percent(cells: int) -> None:
    rng = np.random.default_rng(3)
    held = []
    for _ in range(1000):
        random = rng.uniform(5, 20, (cells, 1))
        measured = rng.poisson(1.3 * random)
        low, high = ratio_interval(measured, random)
        held.append(low[0] <= 1.3 <= high[0])
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_few_cells_have_no_interval() -> None:
    assert np.isnan(ratio_interval(np.ones((4, 2)), np.ones((4, 2)))).all()
    low, high = ratio_interval(np.ones((6, 1)), np.array([[1.0], [1], [1], [1], [0], [0]]))
    assert np.isnan([low, high]).all()
    assert np.isnan(ratio_interval(np.zeros((0, 2)), np.zeros((0, 2)))).all()


def test_ranks_are_one_half_on_average() -> None:
    volumes = np.random.default_rng(4).exponential(size=(50, 7))
    sums = rank_sums(volumes)
    assert sums[:, 0].sum() / sums[:, 1].sum() == pytest.approx(0.5)
    near = np.zeros((3, 4))
    near[:, 1:] = [[2, 0, 0], [0, 1, 1], [0, 1, 1]]
    # Of the offered volume, 2, 2 and 2 of 6 lie in the bins: the first bin's middle is at 1 of 6.
    assert rank_sums(near)[0].tolist() == pytest.approx([2 / 6, 2])
    assert (rank_sums(np.zeros((3, 4))) == 0).all()


@pytest.mark.parametrize("scale", [0.1, 0.2])
def test_radius_of_clusters_is_found(scale: float) -> None:
    radii = np.linspace(0, 1.2, 41)[1:]
    middle = radii - radii[0] / 2
    random = 1000 * middle**2
    # Fixed numbers of particles leave fewer than random pairs at large distances.
    measured = random * 0.8 * (1 + 6 * np.exp(-(middle**2) / (4 * scale**2)))
    shells = Curves(np.stack([measured, random]), measured[None], random[None])
    samples = np.tile(measured / random, (50, 1))
    found = fit_cluster_radius(shells, radii, samples)
    assert found["cluster_radius_um"] == pytest.approx(np.sqrt(3) * scale, rel=0.04)
    assert found["cluster_radius_low_um"] <= found["cluster_radius_um"] <= found["cluster_radius_high_um"]


def test_clusters_beyond_the_radii_have_no_radius() -> None:
    radii = np.linspace(0, 1.2, 41)[1:]
    random = radii**2
    measured = random * (1 + np.exp(-(radii**2) / 36))
    found = fit_cluster_radius(Curves(np.stack([measured, random]), measured, random), radii, None)
    assert all(np.isnan(value) for value in found.values())


def test_radii_of_a_finding_are_those_above_the_envelope() -> None:
    """Clusters leave fewer pairs than random ones at large distances."""
    rng = np.random.default_rng(5)
    shells = rng.poisson(100, (100, 10)).astype(float)
    shells[0, 2:4], shells[0, 7:] = 200, 40
    sums = shells.cumsum(axis=1)
    pairs = Curves(sums, sums[:1], sums[1:].mean(axis=0)[None])
    nothing = Curves(np.zeros((100, 10)), np.zeros((0, 10)), np.zeros((0, 10)))
    summary = Summary(30, 1, 0.0, pairs, nothing, nothing, np.zeros((100, 2)), np.zeros((0, 2)), {}, 30, 1)
    _, rows = clustering_tables(summary, np.arange(1, 11) / 10, "cytoplasm", 0)
    found = {row["statistic"]: row for row in rows}["pair_correlation"]
    assert found["finding"] == "above and below"
    assert (found["from_um"], found["to_um"]) == (0.3, 0.4)
    assert found["reason"].startswith("no interval")
