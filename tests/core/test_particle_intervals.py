"""Intervals of particles: coverage where the errors are known, doses and totals, and imported particles."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from spherovem_core.output import particle_draws
from spherovem_core.output.dose_intervals import particle_totals, with_dose_intervals
from spherovem_core.output.particle_draws import FoundParticles, particle_intervals
from spherovem_core.output.particle_intervals import volume_errors, with_particle_intervals

SPACING = (50.0, 30.0, 30.0)


def found(confidence: np.ndarray, volume: np.ndarray, error: float = 0.1) -> FoundParticles:
    owner = np.zeros(len(confidence), np.int64)
    return FoundParticles(owner, 1, confidence, volume, np.full(len(confidence), error))


def particles(count: int, rng: np.random.Generator, confidence: float = 0.95) -> pd.DataFrame:
    volume = rng.uniform(0.01, 0.02, count)
    return pd.DataFrame(
        {
            "label": np.arange(1, count + 1, dtype=np.uint32),
            "voxel_count": np.rint(volume * 1e9 / np.prod(SPACING)).astype(np.int64),
            "volume_um3": volume,
            "equivalent_diameter_um": np.cbrt(6 / np.pi * volume),
            "contrast": 80.0,
            "confidence": confidence,
            "parent_cell": rng.integers(0, 3, count).astype(np.uint32),
            "distance_to_nucleus_um": 1.0,
            "distance_to_nucleus_min_um": 0.8,
            "corrected": False,
            "excluded": False,
        }
    )


def cells() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": np.array([1, 2, 3], np.uint32),
            "volume_um3": [50.0, 60.0, 70.0],
            "volume_low_um3": [45.0, 55.0, 65.0],
            "volume_high_um3": [55.0, 65.0, 75.0],
            "nanoparticle_volume_um3": [0.0, 0.0, 0.0],
            "excluded": False,
        }
    )


def test_certain_and_complete_particles_have_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(particle_draws, "RECALL", (1e9, 1.0))
    monkeypatch.setattr(particle_draws, "COMMON_SIZE_SD", 0.0)
    ends = particle_intervals(found(np.ones(400), np.full(400, 0.01)))
    assert ends["count_low"][0] == ends["count_high"][0] == 400
    # The sum of 400 volumes that are each known to 10 %: 0.5 %, times 1.96.
    half = (ends["volume_high"][0] - ends["volume_low"][0]) / 2
    assert half == pytest.approx(4.0 * 0.1 / np.sqrt(400) * 1.96, rel=0.15)


def test_counts_cover_draws_of_known_confidence_and_recall(monkeypatch: pytest.MonkeyPatch) -> None:
    """True numbers are drawn from the confidences and a recall; the interval holds them in 95 %."""
    monkeypatch.setattr(particle_draws, "ODDS_SD", 0.0)
    monkeypatch.setattr(particle_draws, "RECALL", (90.0, 10.0))
    rng = np.random.default_rng(1)
    held = []
    for repeat in range(150):
        confidence = rng.beta(8, 1, 60)
        right = int((rng.random(60) < confidence).sum())
        truth = right + rng.negative_binomial(right, rng.beta(90, 10))
        ends = particle_intervals(found(confidence, np.full(60, 0.01)), draws=400, seed=repeat)
        held.append(ends["count_low"][0] <= truth <= ends["count_high"][0])
    assert 0.90 <= np.mean(held) <= 0.995


def test_a_cell_without_particles_may_have_missed_ones() -> None:
    none = particles(0, np.random.default_rng(0))
    table = with_dose_intervals(cells(), none, SPACING, 5.0, density_g_cm3=2.0)
    assert (table["nanoparticle_count_low"] == 0).all()
    assert table["nanoparticle_count_high"].between(0, 2).all()
    # Nothing shows how large they are.
    assert table[["nanoparticle_volume_high_um3", "nanoparticle_volume_fraction_high"]].isna().all().all()
    totals = particle_totals(none, SPACING, 5.0).set_index("quantity")
    assert totals.loc["nanoparticle_count", ["low", "note"]].tolist() == [0, ""]
    assert np.isnan(totals.loc["nanoparticle_volume", "high"])
    assert "how large" in totals.loc["nanoparticle_volume", "note"]


def test_a_missed_particle_in_a_cell_has_a_size_that_particles_outside_of_cells_show() -> None:
    own = particles(40, np.random.default_rng(6)).assign(parent_cell=np.uint32(0))
    table = with_dose_intervals(cells(), own, SPACING, 5.0)
    assert (table["nanoparticle_count_high"] >= 1).all()
    assert table["nanoparticle_volume_high_um3"].between(0.002, 0.1).all()


def test_doses_hold_what_was_found_and_scale_with_the_density() -> None:
    rng = np.random.default_rng(2)
    own = particles(90, rng)
    volume = own.groupby("parent_cell")["volume_um3"].sum().reindex([1, 2, 3]).fillna(0).to_numpy()
    table = cells().assign(nanoparticle_volume_um3=volume, excluded=False)
    found_at = with_dose_intervals(table, own, SPACING, 5.0, density_g_cm3=2.0)
    inside = found_at[volume > 0]
    assert (inside["nanoparticle_volume_low_um3"] < inside["nanoparticle_volume_um3"]).all()
    assert (inside["nanoparticle_volume_high_um3"] > inside["nanoparticle_volume_um3"]).all()
    middle = inside["nanoparticle_volume_um3"] / inside["volume_um3"]
    assert (inside["nanoparticle_volume_fraction_low"] < middle).all()
    assert (inside["nanoparticle_volume_fraction_high"] > middle).all()
    mass = found_at["nanoparticle_mass_low_pg"].to_numpy()
    assert mass == pytest.approx(2 * found_at["nanoparticle_volume_low_um3"].to_numpy())


def test_excluded_particles_do_not_count() -> None:
    own = particles(50, np.random.default_rng(3)).assign(excluded=True)
    totals = particle_totals(own, SPACING, 5.0).set_index("quantity")
    assert totals.loc["nanoparticle_count", "found"] == 0
    assert totals.loc["nanoparticle_count", "high"] <= 2


def test_imported_particles_have_no_interval_and_a_reason() -> None:
    own = particles(20, np.random.default_rng(4)).assign(confidence=np.nan)
    totals = particle_totals(own, SPACING, None)
    assert totals[["low", "high"]].isna().all().all()
    assert (totals["note"] != "").all()
    assert with_dose_intervals(cells(), own, SPACING, None)["nanoparticle_count_low"].isna().all()


def test_distances_follow_the_surface_of_the_nucleus() -> None:
    own = particles(30, np.random.default_rng(5)).assign(parent_cell=np.uint32(1))
    nuclei = pd.DataFrame(
        {"parent_cell": [1], "boundary_shift_low_um": [-0.3], "boundary_shift_high_um": [0.1]}
    )
    wide = with_particle_intervals(own, nuclei, SPACING, 5.0)
    assert (wide["distance_to_nucleus_low_um"] <= 0.7).all()
    assert wide["distance_to_nucleus_high_um"].between(1.1, 1.3).all()
    assert (wide["distance_to_nucleus_min_low_um"] >= 0).all()
    without = with_particle_intervals(own.assign(parent_cell=np.uint32(2)), nuclei, SPACING, 5.0)
    assert without["distance_to_nucleus_low_um"].isna().all()


def test_small_and_noisy_particles_are_less_sure() -> None:
    own = particles(2, np.random.default_rng(6))
    own.loc[1, ["voxel_count", "equivalent_diameter_um"]] = [30, 0.1]
    errors = volume_errors(own, SPACING, 5.0)
    assert errors[1] > errors[0]
    assert (volume_errors(own, SPACING, 40.0) > errors).all()
    assert np.isnan(volume_errors(own, SPACING, None)).all()


def test_volumes_of_blurred_noisy_balls_are_covered() -> None:
    """A ball of known size, blur and noise, measured by its signal over its contrast: the interval holds its volume."""
    rng = np.random.default_rng(7)
    held = []
    truth = 4 / 3 * np.pi * 0.16**3
    axes = [np.arange(n) * s for n, s in zip((16, 26, 26), SPACING, strict=True)]
    for _ in range(60):
        centre = np.array([n.mean() for n in axes]) + rng.uniform(-15, 15, 3)
        squares = sum((a - c) ** 2 for a, c in zip(np.meshgrid(*axes, indexing="ij"), centre, strict=True))
        image = 80.0 * ndimage.gaussian_filter((squares <= 160.0**2).astype(float), (0.6, 1.0, 1.0))
        image += rng.normal(0, 12, image.shape)
        near = squares <= 260.0**2
        volume = image[near].sum() / 80.0 * np.prod(SPACING) / 1e9
        own = pd.DataFrame(
            {
                "voxel_count": [int((squares <= 160.0**2).sum())],
                "equivalent_diameter_um": [np.cbrt(6 / np.pi * volume)],
                "contrast": [80.0],
            }
        )
        error = 1.959964 * volume_errors(own, SPACING, 12.0)[0]
        held.append(volume * np.exp(-error) <= truth <= volume * np.exp(error))
    assert np.mean(held) >= 0.9
