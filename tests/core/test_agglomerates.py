"""Agglomerates: their numbers and their table."""

import numpy as np
import pandas as pd
import pytest

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.nanoparticles import agglomerates
from spherovem_core.nanoparticles.agglomerates import agglomerate_table, number_agglomerates


def _balls(centres_um: list[tuple[float, float, float]], diameters_um: list[float]) -> pd.DataFrame:
    places, sizes = np.array(centres_um, np.float64).reshape(-1, 3), np.array(diameters_um, np.float64)
    table = pd.DataFrame({"label": np.arange(1, len(sizes) + 1, dtype=np.uint32)})
    for n, axis in enumerate("zyx"):
        table[f"centroid_{axis}_um"] = places[:, n]
        table[f"bbox_{axis}0"] = np.rint(100 * (places[:, n] - sizes / 2)).astype(np.int64)
        table[f"bbox_{axis}1"] = np.rint(100 * (places[:, n] + sizes / 2)).astype(np.int64)
    table["volume_um3"] = np.pi / 6 * sizes**3
    return table


def test_agglomerates_are_numbered_in_the_order_of_their_first_particles() -> None:
    np.testing.assert_array_equal(number_agglomerates(np.array([7, 2, 7, 9, 2])), [1, 2, 1, 3, 2])
    assert number_agglomerates(np.empty(0, np.int64)).shape == (0,)


def test_single_ball_is_an_agglomerate_of_its_own_size() -> None:
    row = agglomerate_table(_balls([(1, 2, 3)], [0.4]), np.array([1])).iloc[0]
    assert row["particle_count"] == 1
    # The radius of gyration of a ball is its radius times the square root of 3/5.
    values = row[["extent_um", "equivalent_diameter_um", "radius_of_gyration_um"]].to_numpy(float)
    np.testing.assert_allclose(values, [0.4, 0.4, 0.2 * np.sqrt(0.6)])


def test_pair_has_the_measures_of_two_touching_balls() -> None:
    table = agglomerate_table(
        _balls([(1, 2, 3), (5, 5, 5), (1, 2, 3.4)], [0.4, 0.2, 0.4]), np.array([1, 2, 1])
    )
    assert table["label"].tolist() == [1, 2]
    assert table["particle_count"].tolist() == [2, 1]
    pair = table.iloc[0]
    np.testing.assert_allclose(
        pair[["centroid_z_um", "centroid_y_um", "centroid_x_um"]].to_numpy(float), [1, 2, 3.2]
    )
    assert pair[["bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1"]].tolist() == [
        80, 180, 280, 120, 220, 360,
    ]  # fmt: skip
    np.testing.assert_allclose(pair["volume_um3"], np.pi / 3 * 0.4**3)
    np.testing.assert_allclose(pair["extent_um"], 0.8)
    np.testing.assert_allclose(pair["radius_of_gyration_um"], np.sqrt(0.2**2 + 0.6 * 0.2**2))


def test_extent_of_many_particles_is_within_1_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    particles = _balls(list(map(tuple, random.uniform(0, 3, (200, 3)))), [0.1] * 200)
    exact = agglomerate_table(particles, np.ones(200, np.int64))["extent_um"].iloc[0]
    monkeypatch.setattr(agglomerates, "_ALL_PAIRS", 10)
    near = agglomerate_table(particles, np.ones(200, np.int64))["extent_um"].iloc[0]
    assert 0.99 * exact <= near <= exact


def test_table_without_particles_has_all_columns() -> None:
    empty = agglomerate_table(_balls([], []), np.empty(0, np.int64))
    assert len(empty) == 0
    assert list(empty.columns) == list(agglomerate_table(_balls([(0, 0, 0)], [1.0]), np.array([1])).columns)


def test_numbers_with_a_gap_are_refused() -> None:
    with pytest.raises(ShapeMismatchError, match="use number_agglomerates"):
        agglomerate_table(_balls([(0, 0, 0)], [1.0]), np.array([2]))
