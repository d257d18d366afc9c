"""The stage spatial on particles that are random or clustered by construction."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from particle_patterns import (
    GEOMETRIES,
    SPACING,
    Labels,
    clustered_centres,
    matern,
    paint_particles,
    thomas,
)

from spherovem_core.execution import Execution
from spherovem_core.parameters import SpatialParameters
from spherovem_core.report.findings import findings, left_out
from spherovem_core.spatial import ExcludedObjects, Space, measure_space

FEW = SpatialParameters(null_simulations=39, ripley_steps=20)


@lru_cache
def tissue(geometry: str) -> tuple[Labels, Labels]:
    return GEOMETRIES[geometry]()


def measure(particles: Labels, geometry: str = "balls", parameters: SpatialParameters = FEW) -> Space:
    return measure_space(*tissue(geometry), particles, SPACING, parameters)


def painted(diameter_nm: float, count: int, seed: int = 0, geometry: str = "balls") -> Labels:
    rng = np.random.default_rng(seed)
    return paint_particles(*tissue(geometry), SPACING, diameter_nm, count, rng)


def row(space: Space, statistic: str) -> pd.Series:
    return space.tests.set_index("statistic").loc[statistic]


@pytest.mark.parametrize("diameter_nm", [0.0, 320.0])
def test_random_particles_are_as_random_places(diameter_nm: float) -> None:
    space = measure(painted(diameter_nm, 120))
    for statistic in ("ripley_l", "enrichment", "radial_rank"):
        assert row(space, statistic)["p_value"] > 0.05
        assert row(space, statistic)["finding"] == ""
    texts = findings(space.tests)
    assert "as at random places" in texts["clustering"]
    assert "as at random places" in texts["enrichment"]
    # Ripley's L in a box would be 0.2 µm above the radius, and the enrichment of 320 nm particles in the first bin 0.45.
    assert np.abs(space.clustering["ripley_l_excess_um"].iloc[8:]).max() < 0.08
    shown = space.enrichment[space.enrichment["random_fraction"] > 0.1]
    # Three standard errors of so few particles a bin; patterns together are compared more closely below.
    assert (np.abs(shown["enrichment"] - 1) < 3 / np.sqrt(120 * shown["random_fraction"])).all()
    assert row(space, "radial_rank")["effect"] == pytest.approx(0.5, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("geometry", list(GEOMETRIES))
@pytest.mark.parametrize(("diameter_nm", "count"), [(0.0, 200), (320.0, 120), (640.0, 40)])
def test_random_patterns_are_called_otherwise_at_5_percent(
    geometry: str, diameter_nm: float, count: int
) -> None:
    """The largest counts that 25 patterns exceed with a probability of 0.1 %; benchmarks/intervals.py has more patterns."""
    called = dict.fromkeys(row_names(), 0)
    found, expected = np.zeros(12), np.zeros(12)
    for seed in range(25):
        space = measure(painted(diameter_nm, count, seed, geometry), geometry)
        for each in space.tests.itertuples():
            called[each.statistic] += each.p_value <= 0.05
        bins = len(space.enrichment)
        found[:bins] += space.enrichment["pattern_volume_um3"]
        expected[:bins] += space.enrichment["random_volume_um3"]
    assert max(called.values()) <= 6
    enough = expected > 0.15 * expected.sum()
    np.testing.assert_allclose(found[enough] / expected[enough], 1, atol=0.12)


def row_names() -> list[str]:
    return ["ripley_l", "pair_correlation", "nearest_neighbour", "enrichment", "radial_rank"]


@pytest.mark.parametrize(
    ("scatter", "radius_um"),
    [(thomas(150.0), np.sqrt(3) * 0.15), (matern(400.0), np.sqrt(3 / 5) * 0.4)],
    ids=["Thomas", "Matérn"],
)
def test_clusters_are_found_with_their_size(scatter: object, radius_um: float) -> None:
    rng = np.random.default_rng(2)
    centres = clustered_centres(*tissue("balls"), SPACING, 30, scatter, rng)
    space = measure(paint_particles(*tissue("balls"), SPACING, 0.0, 250, rng, centres=centres))
    found = row(space, "pair_correlation")
    assert row(space, "ripley_l")["p_value"] <= 0.05
    assert found["cluster_radius_um"] == pytest.approx(radius_um, rel=0.25)
    assert found["cluster_radius_low_um"] < radius_um * 1.1
    assert found["cluster_radius_high_um"] > radius_um * 0.9
    assert found["from_um"] < radius_um < row(space, "ripley_l")["to_um"]
    assert "particles cluster" in findings(space.tests)["clustering"]


def test_unequal_uptake_is_not_clustering() -> None:
    """Half of the cells take up a twentieth of what the others do, which raises Ripley's L in a box."""
    loads = np.array([0, 1, 0.05, 1, 0.05, 1, 0.05, 1, 0.05])
    rng = np.random.default_rng(3)
    particles = paint_particles(*tissue("balls"), SPACING, 200.0, 120, rng, loads=loads)
    space = measure(particles)
    assert space.cells["nanoparticle_count"].min() < 6
    assert row(space, "ripley_l")["p_value"] > 0.05


def test_particles_at_the_nucleus_are_found_nearer_to_it() -> None:
    cells, nuclei = tissue("balls")
    places = np.argwhere((cells > 0) & (nuclei == 0)) * np.array(SPACING)
    distance = measure(np.zeros_like(cells)).distance[(cells > 0) & (nuclei == 0)]
    near = places[distance < 0.3]
    rng = np.random.default_rng(4)
    particles = paint_particles(
        cells, nuclei, SPACING, 200.0, 80, rng, centres=lambda: near[rng.integers(len(near))]
    )
    space = measure(particles)
    found = row(space, "enrichment")
    assert found["p_value"] <= 0.05
    assert found["effect_low"] <= found["effect"] <= found["effect_high"]
    assert row(space, "radial_rank")["effect_high"] < 0.5
    assert "nearer to the nucleus" in findings(space.tests)["enrichment"]
    cell = space.cells.iloc[0]
    assert cell["nanoparticle_radial_rank"] < cell["nanoparticle_radial_rank_random_low"]
    first = space.radial[(space.radial["cell"] == 1) & (space.radial["distance_low_um"] == 0.25)].iloc[0]
    assert first["enrichment_random_low"] < 1 < first["enrichment_random_high"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_particles_give_reasons_instead_of_numbers(count: int) -> None:
    space = measure(painted(320.0, count))
    assert len(space.tests) == 5
    assert len(space.clustering) == FEW.ripley_steps
    assert (space.nanoparticles["pattern_note"] != "cut").all()
    tests = space.tests.set_index("statistic")
    if count < 2:
        assert space.tests["p_value"].isna()[:3].all()
        assert "no cell holds two particles" in tests.loc["ripley_l", "reason"]
        assert space.clustering["ripley_l_excess_um"].isna().all()
        assert "not tested" in findings(space.tests)["clustering"]
    assert (tests["effect_low"].isna() | tests["effect"].notna()).all()
    assert (tests["reason"] != "").all()


def test_particles_that_are_not_compared_say_why() -> None:
    cells, nuclei = tissue("rods")
    particles = np.zeros_like(cells)
    particles[0:2, 30, 30] = 1
    particles[30, 2, 2] = 2
    particles[30, 30, 30] = 3
    particles[30, 30, 45] = 4
    particles[40, 90, 75] = 5
    space = measure_space(
        cells,
        nuclei,
        particles,
        SPACING,
        FEW,
        excluded=ExcludedObjects(cells=frozenset({int(cells[40, 90, 75])})),
    )
    notes = space.nanoparticles.set_index("label")["pattern_note"]
    assert notes.tolist() == [
        "cut by the border of the volume",
        "in no cell",
        "centre in a nucleus",
        "",
        "in an excluded cell",
    ]
    assert dict(left_out(space.nanoparticles))["in no cell"] == 1
    assert space.nanoparticles["cut_by_border"].tolist() == [True, False, False, False, False]
    whole = measure_space(cells, nuclei, particles, SPACING, FEW.model_copy(update={"null_space": "cells"}))
    assert whole.nanoparticles["pattern_note"].tolist()[2] == ""


def test_without_cells_particles_are_compared_in_the_volume() -> None:
    cells, _ = tissue("balls")
    rng = np.random.default_rng(5)
    everywhere = np.ones_like(cells)
    nothing = np.zeros_like(cells)
    particles = paint_particles(everywhere, nothing, SPACING, 320.0, 100, rng)
    space = measure_space(nothing, nothing, particles, SPACING, FEW)
    assert (space.tests["null_space"] == "volume").all()
    assert row(space, "ripley_l")["p_value"] > 0.05
    assert row(space, "enrichment")["reason"].startswith("places in the volume")


def test_results_do_not_depend_on_workers_and_change_with_the_seed() -> None:
    particles = painted(320.0, 40)
    with ThreadPoolExecutor(2) as pool:
        execution = Execution(executor=pool, workers=2)
        parallel = measure_space(*tissue("balls"), particles, SPACING, FEW, execution)
    serial = measure(particles)
    for name in ("cells", "radial", "clustering", "enrichment", "tests"):
        pd.testing.assert_frame_equal(getattr(parallel, name), getattr(serial, name), check_exact=True)
    other = measure(particles, parameters=FEW.model_copy(update={"null_seed": 1}))
    assert not other.clustering.equals(serial.clustering)


def test_numbers_of_cells_do_not_matter() -> None:
    """Random numbers come from the content of a cell."""
    cells, nuclei = tissue("balls")
    particles = painted(320.0, 40)
    renumbered = np.where(cells > 0, cells + 10, 0).astype(np.uint32)
    one = measure(particles)
    other = measure_space(renumbered, nuclei, particles, SPACING, FEW)
    pd.testing.assert_frame_equal(one.clustering, other.clustering, check_exact=True)
    assert replace(one.admission) == other.admission


def test_volumes_of_particles_in_thick_slices_are_those_of_balls_at_random_places() -> None:
    """Voxels of such particles lie in the cell, while balls of their volume reach out of it: counted as voxels, they gather."""
    z, y, x = np.ogrid[:12, :60, :60]
    inside = ((z - 5.5) / 5.5) ** 2 + ((y - 29.5) / 28) ** 2 + ((x - 29.5) / 28) ** 2
    cells, nuclei = (inside < 1).astype(np.uint32), (inside < 0.2).astype(np.uint32)
    ratios = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        particles = np.zeros_like(cells)
        while particles.max() < 70:
            k, j, i = rng.random(3) * (10, 56, 56) + (0.5, 1.5, 1.5)
            disc = (round(k), *np.nonzero((y[0] - j) ** 2 + (x[0] - i) ** 2 <= 4))
            if ((cells[disc] == 1) & (nuclei[disc] == 0) & (particles[disc] == 0)).all():
                particles[disc] = particles.max() + 1
        enrichment = measure_space(cells, nuclei, particles, (100.0, 20.0, 20.0), FEW).enrichment
        ratios.append(enrichment["pattern_volume_um3"].sum() / enrichment["random_volume_um3"].sum())
    assert np.mean(ratios) == pytest.approx(1, abs=0.013)


def test_one_bin_of_distance_has_no_enrichment_but_a_reason() -> None:
    wide = FEW.model_copy(update={"radial_bin_um": 50.0})
    tests = measure(painted(320.0, 40), parameters=wide).tests.set_index("statistic")
    for statistic in ("enrichment", "radial_rank"):
        assert np.isnan(tests.loc[statistic, "p_value"])
        assert tests.loc[statistic, "finding"] == ""
        assert "radial_bin_um = 50" in tests.loc[statistic, "reason"]


def test_clusters_larger_than_the_radii_have_no_size_but_a_reason() -> None:
    rng = np.random.default_rng(2)
    centres = clustered_centres(*tissue("balls"), SPACING, 30, thomas(150.0), rng)
    particles = paint_particles(*tissue("balls"), SPACING, 0.0, 250, rng, centres=centres)
    found = row(
        measure(particles, parameters=FEW.model_copy(update={"ripley_max_um": 0.2})), "pair_correlation"
    )
    assert found["finding"] == "above"
    assert np.isnan(found["cluster_radius_um"])
    assert "no cluster radius" in found["reason"]
