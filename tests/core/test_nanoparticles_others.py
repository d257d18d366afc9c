"""Bright things that are no particles are other objects, with the reason; what looks wrong is said in a warning."""

import numpy as np
import pytest
from nanoparticle_scenes import COARSE_NM, Kind, Scene, make_scene, score

from spherovem_core.nanoparticles import find_particles
from spherovem_core.nanoparticles.plausibility import COVERED

SHAPE = (20, 176, 176)


def coarse(kinds: tuple[Kind, ...], **options: object) -> Scene:
    return make_scene(SHAPE, kinds, COARSE_NM, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("fraction", [0.15, 0.35])
@pytest.mark.parametrize("grey", [150.0, 185.0, 205.0])
def test_resin_is_no_particle_and_hides_none_beside_it(grey: float, fraction: float) -> None:
    scene = coarse((Kind(16, 280.0),), resin=(fraction, grey), seed=1)
    found = find_particles(scene.image, COARSE_NM)
    result = score(scene, found.table)
    assert result.recall >= 0.93
    assert result.precision >= 0.8
    # 0.5 % of the volume are balls, the resin is 15 to 35 % of it.
    assert found.mixture.fraction < 0.02


@pytest.mark.parametrize(
    "options",
    [{}, {"noise": 15.0}, {"resin": (0.3, 185.0)}, {"streaks": 30}, {"gain_drift": 0.1}],
    ids=["tissue", "noise", "resin", "streaks", "drift"],
)
def test_stack_without_particles_has_at_most_two(options: dict[str, object]) -> None:
    for seed in (0, 1):
        found = find_particles(coarse((), seed=seed, **options).image, COARSE_NM)
        assert len(found.table) <= 2
        assert found.labels.max() == len(found.table) == len(np.unique(found.labels)) - 1
        assert found.mixture.detected == bool(len(found.table))


def test_droplets_are_too_large_and_particles_beside_them_are_found() -> None:
    scene = coarse((Kind(20, 280.0),), droplets=3, seed=2)
    found = find_particles(scene.image, COARSE_NM)
    result = score(scene, found.table)
    assert result.recall >= 0.93
    assert result.precision >= 0.8
    # One drop may lie at the border or touch another one.
    assert (found.others.reason == "too large").sum() >= 2
    alone = find_particles(coarse((), droplets=8, seed=0).image, COARSE_NM)
    assert len(alone.table) <= 2
    assert sum("other objects stand out" in w and "too large" in w for w in alone.mixture.warnings) == 1


def test_streaks_are_elongated_and_particles_beside_them_are_found() -> None:
    scene = coarse((Kind(25, 280.0),), streaks=30, seed=2)
    found = find_particles(scene.image, COARSE_NM)
    result = score(scene, found.table)
    assert result.recall >= 0.9
    assert result.precision >= 0.85
    assert (found.others.reason == "elongated").sum() > 15


def test_nothing_found_gives_the_reason() -> None:
    flat = np.random.default_rng(0).normal(120, 6, (12, 128, 128))
    found = find_particles(np.clip(flat, 0, 255).astype(np.uint8), COARSE_NM)
    assert not found.mixture.detected
    assert "nothing stands out from the tissue by" in found.mixture.reason
    assert found.mixture.populations == []
    assert found.mixture.detection_limit_nm is None
    assert len(found.table) == len(found.agglomerates) == 0
    assert {"kind", "population", "confidence", "agglomerate", "volume_um3"} <= set(found.table.columns)
    assert not found.labels.any()
    assert not found.posterior.any()


def test_others_have_a_reason_each_and_are_counted_by_it() -> None:
    found = find_particles(coarse((Kind(20, 160.0),), streaks=10, noise=15.0, seed=0).image, COARSE_NM)
    assert len(found.others) > 5
    assert (found.others.reason != "").all()
    assert (found.others.kind == "other").all()
    assert (found.table.kind == "nanoparticle").all()
    assert found.others.reason.value_counts().to_dict() == found.mixture.others
    assert COVERED not in found.table.columns
