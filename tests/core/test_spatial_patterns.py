"""Nearest neighbours and Ripley's K and L: against lattices, random points, clusters and brute force."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from spherovem_core.errors import ParameterError
from spherovem_core.spatial import default_radii, nearest_neighbours, ripley

LOW, HIGH = np.array([1.0, -2.0, 0.0]), np.array([5.0, 8.0, 12.0])


def lattice(step: tuple[float, float, float], count: int) -> NDArray[np.float64]:
    return np.array(list(product(range(count), repeat=3)), float) * step


def test_k_of_a_lattice_counts_its_neighbours() -> None:
    step = (3.0, 1.0, 2.0)
    points = lattice(step, 9)
    high = points.max(axis=0)
    found = ripley(points, np.zeros(3), high, [0.9, 1.1, 2.1, 3.1])
    # Neighbours of an inner point, as multiples of the steps along (z, y, x) in all directions: none below 1 µm; (0 1 0); then
    # (0 2 0) and (0 0 1); and up to 3.1 µm (0 1 1), (0 2 1), (0 3 0) and (1 0 0).
    neighbours = np.array([0, 2, 6, 18])
    expected = neighbours * np.prod(high) / (len(points) - 1)
    np.testing.assert_allclose(found["ripley_k_um3"], expected)
    np.testing.assert_allclose(nearest_neighbours(points), 1.0)


def test_random_points_have_the_k_of_a_ball() -> None:
    rng = np.random.default_rng(3)
    radii = [0.5, 1.0, 1.5]
    tables = [ripley(rng.uniform(LOW, HIGH, (400, 3)), LOW, HIGH, radii) for _ in range(200)]
    k = np.array([table["ripley_k_um3"] for table in tables])
    error = k.std(axis=0) / np.sqrt(len(tables))
    expected = 4 / 3 * np.pi * np.array(radii) ** 3
    # Three standard errors, and 1 % for the bias of a ratio of two counts. Without border correction K at 1.5 µm would be 23 %
    # too low.
    assert (error < 0.02 * expected).all()
    assert (np.abs(k.mean(axis=0) - expected) < 3 * error + 0.01 * expected).all()


def test_ripley_equals_brute_force() -> None:
    points = np.random.default_rng(4).uniform(LOW, HIGH, (80, 3))
    radii = np.array([0.3, 1.0, 1.9, 2.5])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(gaps, np.inf)
    border = np.minimum(points - LOW, HIGH - points).min(axis=1)
    found = ripley(points, LOW, HIGH, radii)
    for n, radius in enumerate(radii):
        inner = border >= radius
        assert found["centre_count"][n] == inner.sum()
        expected = (gaps[inner] <= radius).sum() / inner.sum() * 480 / 79 if inner.any() else np.nan
        assert found["ripley_k_um3"][n] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found["ripley_k_um3"][3])
    np.testing.assert_allclose(nearest_neighbours(points), gaps.min(axis=1))


def test_l_excess_is_positive_for_clusters_and_l_is_0_below_the_lattice_step() -> None:
    rng = np.random.default_rng(5)
    centres = rng.uniform(LOW + 0.5, HIGH - 0.5, (30, 3))
    clustered = (centres[:, None] + rng.uniform(-0.2, 0.2, (30, 12, 3))).reshape(-1, 3)
    assert ripley(clustered, LOW, HIGH, [0.4])["ripley_l_excess_um"][0] > 0.5
    apart = lattice((1.0, 1.0, 1.0), 5) + [0.0, -1.0, 2.0] + LOW * [1, 0, 0]
    assert ripley(apart, LOW, HIGH, [0.8])["ripley_l_um"][0] == 0


def test_scaling_lengths_scales_l() -> None:
    points = np.random.default_rng(6).uniform(LOW, HIGH, (50, 3))
    once, thrice = ripley(points, LOW, HIGH, [1.0]), ripley(3 * points, 3 * LOW, 3 * HIGH, [3.0])
    assert thrice["ripley_l_um"][0] == pytest.approx(3 * once["ripley_l_um"][0])


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_points_give_nan(count: int) -> None:
    points = np.tile((LOW + HIGH) / 2, (count, 1))
    assert np.isnan(ripley(points, LOW, HIGH, [0.5])["ripley_k_um3"]).all()
    assert np.isnan(nearest_neighbours(points)).all()


def test_default_radii_reach_a_quarter_of_the_shortest_side() -> None:
    np.testing.assert_allclose(default_radii(LOW, HIGH, None, 4), [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(default_radii(LOW, HIGH, 0.5, 2), [0.25, 0.5])


def test_points_outside_the_box_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"1 of 2 points.*give the box that was searched"):
        ripley(np.array([[2.0, 0, 0], [9.0, 0, 0]]), LOW, HIGH, [1.0])
    with pytest.raises(ParameterError, match="lower and upper corner"):
        ripley(np.empty((0, 3)), HIGH, LOW, [1.0])
    with pytest.raises(ParameterError, match="negative"):
        ripley(np.empty((0, 3)), LOW, HIGH, [-1.0])
