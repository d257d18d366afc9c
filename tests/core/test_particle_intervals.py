"""Intervals of particles: coverage where the errors are known, doses and totals, and imported particles."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from spherovem_core.output import particle_draws
from spherovem_core.output.counting_evidence import (
    CountingEvidence,
    cap_height_um,
    counting_evidence,
    labels_at,
    slivers_per_particle,
)
from spherovem_core.output.dose_intervals import particle_totals, with_dose_intervals
from spherovem_core.output.particle_draws import FoundParticles, Grouping, particle_intervals
from spherovem_core.output.particle_intervals import volume_errors, with_particle_intervals

SPACING = (50.0, 30.0, 30.0)


def found(confidence: np.ndarray, volume: np.ndarray, error: float = 0.1) -> FoundParticles:
    owner = np.zeros(len(confidence), np.int64)
    return FoundParticles(Grouping(owner, 1), confidence, volume, np.full(len(confidence), error))


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


def other_objects(**columns: object) -> pd.DataFrame:
    """Three bodies in cell 1: a clump of five, a droplet of the same volume, and tissue of a third of the contrast."""
    volume = 5 * 0.015
    side = np.array([2.2, 1.24, 2.2]) * np.cbrt(volume) * 1000 / np.array([50.0, 30.0, 30.0])[:, None]
    rows = pd.DataFrame(
        {
            "label": np.array([1, 2, 3], np.uint32),
            "centroid_z_um": 5.0,
            "centroid_y_um": 5.0,
            "centroid_x_um": [1.0, 3.0, 5.0],
            "volume_um3": volume,
            "contrast": [79.0, 79.0, 27.0],
            "reason": ["too large", "too large", "irregular"],
            "confidence": 0.0,
            "parent_cell": 1,
        }
    )
    for axis, name, step in ((0, "z", 0.05), (1, "y", 0.03), (2, "x", 0.03)):
        low = np.rint(rows[f"centroid_{name}_um"] / step - side[axis] / 2).astype(int)
        rows[f"bbox_{name}0"], rows[f"bbox_{name}1"] = low, low + np.rint(side[axis]).astype(int)
    return rows.assign(**columns)


def placed(count: int, seed: int = 8) -> pd.DataFrame:
    """Return particles far from the bodies and from the border, in agglomerates of six."""
    rng = np.random.default_rng(seed)
    own = particles(count, rng).assign(kind="nanoparticle", population=1, contrast=rng.normal(80, 6, count))
    own["agglomerate"] = np.arange(count) // 6
    for axis, name in enumerate("zyx"):
        own[f"centroid_{name}_um"] = 9.0
        own[f"bbox_{name}0"], own[f"bbox_{name}1"] = 150 + axis, 160 + axis
    return own


def evidence_of(others: pd.DataFrame, own: pd.DataFrame, limit: float | None = 150.0) -> CountingEvidence:
    return counting_evidence(
        others, own, SPACING, (400, 400, 400), limit, lambda rows: rows["parent_cell"].to_numpy()
    )


def test_a_body_of_the_contrast_and_form_of_a_clump_may_be_one() -> None:
    bodies = evidence_of(other_objects(), placed(60)).bodies
    chance = dict(zip(bodies.label.tolist(), bodies.chance.tolist(), strict=True))
    # The droplet fills its box as a ball does; the tissue has another contrast.
    assert chance[1] > 0.2
    assert chance.get(2, 0.0) < 0.1 * chance[1]
    assert chance.get(3, 0.0) < 0.1 * chance[1]
    number = dict(zip(bodies.label.tolist(), bodies.number.tolist(), strict=True))
    assert 4 <= number[1] <= 8


def test_particles_that_were_found_in_a_body_are_taken_from_it() -> None:
    own = placed(60)
    inside = own.index < 5
    own.loc[inside, ["centroid_z_um", "centroid_y_um", "centroid_x_um"]] = [5.0, 5.0, 1.0]
    assert 1 not in evidence_of(other_objects(), own).bodies.label


def test_a_missed_clump_widens_its_cell_and_no_other() -> None:
    own, others = placed(60), other_objects()
    evidence, none = evidence_of(others, own), evidence_of(others[:0], own)
    wide = with_dose_intervals(cells(), own, SPACING, 5.0, evidence=evidence)
    narrow = with_dose_intervals(cells(), own, SPACING, 5.0, evidence=none)
    more = (wide["nanoparticle_count_high"] - narrow["nanoparticle_count_high"]).to_numpy()
    assert more[0] >= 4
    assert (abs(more[1:]) <= 2).all()


def test_particles_cut_by_the_border_tell_how_many_slivers_there_are() -> None:
    """A ball whose centre is uniform about a plane leaves a cap below a height in a known fraction of the cases."""
    rng = np.random.default_rng(9)
    diameter, limit = 0.3, 0.15
    height = cap_height_um(diameter, limit)
    radius = diameter / 2
    assert height**2 * (3 * radius - height) == pytest.approx(limit**3 / 2, rel=1e-3)
    left = rng.uniform(0, diameter, 20_000)
    found_cut, lost = int((left >= height).sum()), int((left < height).sum())
    own = placed(2 * found_cut).assign(equivalent_diameter_um=diameter)
    own.loc[own.index < found_cut, "bbox_z0"] = 0
    per_particle = slivers_per_particle(own, (400, 400, 400), height / diameter)
    assert per_particle * len(own) == pytest.approx(lost, rel=0.05)
    assert evidence_of(other_objects()[:0], placed(60)).slivers < 0.01


def test_a_cell_that_is_probably_wrong_has_a_wide_count() -> None:
    own = placed(60).assign(parent_cell=np.uint32(1))
    sure = with_dose_intervals(cells().assign(confidence=1.0), own, SPACING, 5.0).iloc[0]
    unsure = with_dose_intervals(cells().assign(confidence=0.4), own, SPACING, 5.0).iloc[0]
    assert sure["nanoparticle_count_low"] > 50
    assert unsure["nanoparticle_count_low"] < 40
    assert unsure["nanoparticle_count_high"] > 1.3 * sure["nanoparticle_count_high"]


def test_particles_at_an_uncertain_surface_may_lie_outside() -> None:
    table = cells().assign(boundary_shift_low_um=-0.2, boundary_shift_high_um=0.2, surface_area_um2=60.0)
    own = placed(60).assign(parent_cell=np.uint32(1))
    deep = with_dose_intervals(table, own.assign(membrane_gap_um=2.0), SPACING, 5.0).iloc[0]
    shallow = with_dose_intervals(table, own.assign(membrane_gap_um=-0.1), SPACING, 5.0).iloc[0]
    assert shallow["nanoparticle_count_low"] < 0.8 * deep["nanoparticle_count_low"]


def test_a_clump_row_counts_for_the_particles_that_its_volume_amounts_to() -> None:
    own = placed(20)
    own.loc[0, ["kind", "volume_um3"]] = ["clump", 10 * own["volume_um3"].median()]
    totals = particle_totals(own, SPACING, 5.0).set_index("quantity").loc["nanoparticle_count"]
    assert totals["high"] > 27
    assert totals["found"] == 20


def test_particles_outside_of_cells_may_lie_in_cells_that_were_missed() -> None:
    own = placed(60).assign(parent_cell=np.uint32(0))
    own.loc[own.index < 30, "parent_cell"] = np.uint32(1)
    inside = particle_totals(own, SPACING, 5.0).set_index("quantity").loc["nanoparticle_count_in_cells"]
    assert inside["low"] <= 30 <= inside["high"]
    assert 35 < inside["high"] < 70


def test_labels_at_places_are_those_of_the_nearest_voxels() -> None:
    rng = np.random.default_rng(10)
    labels = rng.integers(0, 9, (70, 80, 90))
    places = rng.uniform(-1, 5, (200, 3))
    at = np.rint((places * 1000 - np.array([25.0, 0.0, 10.0])) / np.array(SPACING)).astype(int)
    expected = labels[tuple(np.clip(at, 0, np.array(labels.shape) - 1).T)]
    assert (labels_at(labels, SPACING, (25.0, 0.0, 10.0), places) == expected).all()
