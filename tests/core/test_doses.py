"""Doses of cells, places of particles and agglomerates, uptake: by hand, and against the truth of digitised balls."""

import numpy as np
import pandas as pd
import pytest

from spherovem_core.output import (
    uptake_table,
    with_agglomerate_places,
    with_doses,
    with_particle_places,
)
from spherovem_core.output.uptake import FEWEST_CELLS, PAIRS, rank_correlation
from spherovem_core.parameters import OutputParameters, SpatialParameters
from spherovem_core.spatial import measure_membrane_gaps, measure_space
from spherovem_core.store.columns import UPTAKE_COLUMNS

FEW = SpatialParameters(null_simulations=19, ripley_steps=2)
GOLD = OutputParameters(
    particle_density_g_cm3=19.3, membrane_distance_nm=100.0, perinuclear_distance_nm=300.0
)


def particles() -> pd.DataFrame:
    """Make five particles: two of agglomerate 1 in cell 3, one of agglomerate 2 in cell 3, one in cell 8, one in no cell."""
    return pd.DataFrame(
        {
            "label": [1, 2, 3, 4, 5],
            "agglomerate": [1, 1, 2, 1, 7],
            "volume_um3": [0.01, 0.02, 0.03, 0.005, 0.1],
            "parent_cell": np.array([3, 3, 3, 8, 0], np.uint32),
            "distance_to_nucleus_um": [0.2, 0.5, 0.0, np.nan, np.nan],
            "distance_to_nucleus_min_um": [0.1, 0.4, 0.0, np.nan, np.nan],
            "in_nucleus": [False, False, True, False, False],
            "membrane_gap_um": [0.5, 0.1, 0.7, -0.02, np.nan],
            "place": ["specimen", "lumen", "specimen", "specimen", "outside"],
            "corrected": False,
            "excluded": False,
        }
    )


def cells() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": np.array([3, 8, 9], np.uint32),
            "volume_um3": [6.0, 0.5, 2.0],
            "surface_area_um2": [10.0, 4.0, 5.0],
            "nanoparticle_volume_um3": [0.06, 0.005, 0.0],
            "contact_area_um2": [5.0, 4.04, 0.0],
            "corrected": False,
            "excluded": False,
        }
    )


def test_places_of_particles() -> None:
    found = with_particle_places(particles(), GOLD)
    assert found["at_membrane"].tolist() == [False, True, False, True, False]
    assert found["perinuclear"].tolist() == [True, False, False, False, False]
    # 1 µm³ of water weighs 1 pg.
    np.testing.assert_allclose(found["mass_pg"], 19.3 * found["volume_um3"])
    assert list(found.columns)[-5:] == ["mass_pg", "at_membrane", "perinuclear", "corrected", "excluded"]
    assert with_particle_places(particles(), OutputParameters())["mass_pg"].isna().all()


def test_doses_of_cells() -> None:
    found = with_doses(cells(), with_particle_places(particles(), GOLD), 19.3).set_index("label")
    np.testing.assert_allclose(found["contact_fraction"], [0.5, 1.01, 0.0])
    np.testing.assert_allclose(found["nanoparticle_volume_fraction"], [0.01, 0.01, 0.0])
    np.testing.assert_allclose(found["nanoparticle_mass_pg"], [0.06 * 19.3, 0.005 * 19.3, 0.0])
    np.testing.assert_allclose(found["nanoparticle_concentration_pg_per_um3"], [0.193, 0.193, 0.0])
    np.testing.assert_allclose(found["nanoparticle_membrane_fraction"], [1 / 3, 1.0, np.nan])
    np.testing.assert_allclose(found["nanoparticle_perinuclear_fraction"], [0.5, np.nan, np.nan])
    # Agglomerate 1 has two particles in cell 3, and one in cell 8.
    assert found["agglomerate_count"].tolist() == [1, 0, 0]
    np.testing.assert_allclose(found["agglomerated_fraction"], [2 / 3, 0.0, np.nan])
    assert list(found.columns)[-2:] == ["corrected", "excluded"]
    without = with_doses(cells(), with_particle_places(particles(), OutputParameters()))
    assert without["nanoparticle_mass_pg"].isna().all()


def test_excluded_particles_count_in_no_cell() -> None:
    table = particles().assign(excluded=[False, True, False, False, False])
    found = with_doses(cells(), with_particle_places(table, GOLD), 19.3).set_index("label")
    assert found.loc[3, "nanoparticle_membrane_fraction"] == 0.0
    assert found.loc[3, "agglomerated_fraction"] == 0.0


def test_places_of_agglomerates() -> None:
    agglomerates = pd.DataFrame({"label": np.array([1, 2, 7], np.uint32), "particle_count": [3, 1, 1]})
    found = with_agglomerate_places(agglomerates, with_particle_places(particles(), GOLD)).set_index("label")
    assert found["parent_cell"].tolist() == [3, 3, 0]
    assert found["parent_cell"].dtype == np.uint32
    np.testing.assert_allclose(found["parent_fraction"], [0.03 / 0.035, 1.0, 0.0])
    assert found["cell_count"].tolist() == [2, 1, 0]
    # By volume: 0.01 µm³ at 0.2 µm and 0.02 µm³ at 0.5 µm.
    np.testing.assert_allclose(found["distance_to_nucleus_um"], [0.4, 0.0, np.nan])
    np.testing.assert_allclose(found["distance_to_nucleus_min_um"], [0.1, 0.0, np.nan])
    assert found["in_nucleus"].tolist() == [False, True, False]
    # The one of cell 8 is at its membrane too, but that is not the parent.
    assert found["at_membrane"].tolist() == [True, False, False]
    assert found["perinuclear"].tolist() == [True, False, False]
    assert found["place"].tolist() == ["lumen", "specimen", "outside"]
    np.testing.assert_allclose(found["mass_pg"], 19.3 * np.array([0.035, 0.03, 0.1]))


def test_no_particles_give_tables_with_their_types() -> None:
    none = with_particle_places(particles().iloc[:0], GOLD)
    agglomerates = pd.DataFrame({"label": np.empty(0, np.uint32)})
    found = with_agglomerate_places(agglomerates, none)
    assert len(found) == 0
    types = found.dtypes.astype(str)
    assert (types["parent_cell"], types["in_nucleus"], types["at_membrane"]) == ("uint32", "bool", "bool")
    doses = with_doses(cells().assign(nanoparticle_volume_um3=0.0), none, 19.3)
    assert doses["agglomerate_count"].tolist() == [0, 0, 0]
    assert doses["nanoparticle_mass_pg"].tolist() == [0, 0, 0]


def test_dose_of_cells_with_balls_is_within_3_percent_of_the_truth() -> None:
    """Balls of 300 to 500 nm in two cells, also across their border; volume, number and concentration against closed forms."""
    spacing = np.array([40.0, 20.0, 20.0])
    shape = (60, 120, 160)
    grid = np.stack(np.indices(shape), axis=-1) * spacing / 1000
    cells_ = np.zeros(shape, np.uint32)
    cells_[4:56, 8:112, 8:80], cells_[4:56, 8:112, 80:152] = 2, 5
    rng = np.random.default_rng(4)
    volumes, labels, truth = [], np.zeros(shape, np.uint32), {2: [], 5: []}
    for n, (z, y, x) in enumerate(
        np.stack(np.meshgrid(range(3), range(3), range(4), indexing="ij"), -1).reshape(-1, 3)
    ):
        radius = rng.uniform(0.15, 0.25)
        centre = np.array([0.5 + 0.65 * z, 0.5 + 0.65 * y, 0.45 + 0.75 * x]) + rng.uniform(-0.05, 0.05, 3)
        labels[np.linalg.norm(grid - centre, axis=-1) < radius] = n + 1
        volumes.append(4 / 3 * np.pi * radius**3)
        truth[2 if centre[2] < 79.5 * 0.02 else 5].append(volumes[-1])
    space = measure_space(cells_, np.zeros_like(cells_), labels, (40, 20, 20), FEW)
    table = space.cells.set_index("label")
    for cell, own in truth.items():
        assert table.loc[cell, "nanoparticle_count"] == len(own)
        assert table.loc[cell, "nanoparticle_volume_um3"] == pytest.approx(sum(own), rel=0.03)
        size = 52 * 0.04 * 104 * 0.02 * 72 * 0.02
        assert table.loc[cell, "nanoparticle_density_per_um3"] == pytest.approx(len(own) / size)


def test_the_gap_to_the_membrane_is_that_of_the_balls_surface() -> None:
    spacing = (40.0, 20.0, 20.0)
    shape = (50, 100, 100)
    grid = np.stack(np.indices(shape), axis=-1) * np.array(spacing) / 1000
    centre = np.array([1.0, 1.0, 1.0])
    cells_ = (np.linalg.norm(grid - centre, axis=-1) < 0.9).astype(np.uint32)
    labels, truth = np.zeros(shape, np.uint32), []
    for n, (direction, far) in enumerate(
        [((1, 0, 0), 0.3), ((0, 1, 1), 0.5), ((0.3, -1, 0.2), 0.72), ((0, 0, -1), 0.77)]
    ):
        unit = np.array(direction) / np.linalg.norm(direction)
        labels[np.linalg.norm(grid - centre - far * unit, axis=-1) < 0.1] = n + 1
        truth.append(0.9 - far - 0.1)
    space = measure_space(cells_, np.zeros_like(cells_), labels, spacing, FEW)
    gaps = measure_membrane_gaps(space.nanoparticles, spacing)["membrane_gap_um"]
    np.testing.assert_allclose(gaps, truth, atol=0.04)


def sample(count: int, seed: int) -> pd.DataFrame:
    """Make cells whose uptake rises with their size and falls with their depth."""
    rng = np.random.default_rng(seed)
    size, depth = rng.lognormal(3, 0.4, count), rng.uniform(0, 20, count)
    particles_ = rng.poisson(size * np.exp(-depth / 8))
    return pd.DataFrame(
        {
            "volume_um3": size,
            "truncated_fraction": np.where(np.arange(count) % 5 == 0, 0.3, 0.0),
            "nanoparticle_count": particles_,
            "nanoparticle_volume_um3": 0.01 * particles_,
            "nanoparticle_volume_fraction": 0.01 * particles_ / size,
            "nanoparticle_density_per_um3": particles_ / size,
            "depth_um": depth,
            "depth_note": np.where(depth > 15, "the nearest surface may lie outside of the field", ""),
        }
    )


def test_uptake_against_size_and_depth() -> None:
    cells_ = sample(60, 1)
    found = uptake_table(cells_)
    assert list(found.columns) == [column.name for column in UPTAKE_COLUMNS]
    assert list(zip(found["measure"], found["against"], strict=True)) == list(PAIRS)
    assert found["cell_count"].tolist() == [48, 48, 48, 60, 60]
    assert found["uncertain_count"].tolist() == [0, 0, 0, *[int((cells_["depth_um"] > 15).sum())] * 2]
    whole = cells_[cells_["truncated_fraction"] == 0]
    expected = whole["nanoparticle_count"].corr(whole["volume_um3"], method="spearman")
    assert found["spearman_rho"][0] == pytest.approx(expected)
    falls = found[found["against"] == "depth_um"]
    assert (falls["spearman_rho_high"] < 0).all()
    assert (
        (found["spearman_rho_low"] < found["spearman_rho"])
        & (found["spearman_rho"] < found["spearman_rho_high"])
    ).all()
    pd.testing.assert_frame_equal(found, uptake_table(cells_))


def test_what_cannot_be_correlated_says_why() -> None:
    cells_ = sample(FEWEST_CELLS - 1, 2)
    assert set(uptake_table(cells_)["reason"]) == {f"fewer than {FEWEST_CELLS} cells"}
    found = uptake_table(sample(40, 3).assign(depth_um=np.nan))
    assert found["reason"].tolist() == ["", "", "", *["no surface in the field"] * 2]
    none = uptake_table(sample(40, 3).assign(nanoparticle_count=0))
    assert none["reason"][0] == "all cells alike"
    assert none["spearman_rho"].isna()[0]
    # One cell with a particle among 40: the interval would hold the truth in two samples of three.
    one = uptake_table(sample(40, 3).assign(nanoparticle_count=np.arange(40) == 7))
    assert one["reason"][0] == "all cells but 1 alike"
    assert one[["spearman_rho", "spearman_rho_low", "spearman_rho_high"]].isna().all(axis=1)[0]
    few = uptake_table(sample(40, 3).assign(nanoparticle_count=np.maximum(np.arange(40.0) - 20, 0)))
    assert few["reason"][0] == ""
    older = uptake_table(sample(40, 3).drop(columns=["depth_um", "depth_note"]))
    assert older["reason"].tolist() == ["", "", "", *["no surface in the field"] * 2]


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_the_interval_covers_the_truth(slope: float) -> None:
    """Normal values, 25 cells: the rank correlation of the population is 6/π asin(ρ/2)."""
    rng = np.random.default_rng(7)
    rho = slope / np.sqrt(1 + slope**2)
    truth, covered = 6 / np.pi * np.arcsin(rho / 2), 0
    for _ in range(150):
        x = rng.normal(size=25)
        _, low, high = rank_correlation(x, slope * x + rng.normal(size=25))
        covered += low <= truth <= high
    assert 0.90 <= covered / 150 <= 0.995


def test_a_perfect_correlation_has_a_finite_interval() -> None:
    found, low, high = rank_correlation(np.arange(12.0), np.arange(12.0) ** 3)
    assert found == 1.0
    assert 0.9 < low < found
    assert high < 1
