"""Scores of the pipeline on scenes: truth in the registered frame, denoised contrast, and the tables of worst figures."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import benchmarks_on_path

SPACING = (50.0, 10.0, 20.0)


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """Import the benchmark's helper modules."""
    with benchmarks_on_path():
        names = ("scene_runs", "scene_images", "scene_cases", "denoised_scores", "page_tables", "unkind")
        modules = {name: import_module(f"_{name}") for name in names}
        yield SimpleNamespace(
            **modules, images=import_module("_independent_images"), cases=import_module("_independent_cases")
        )


class StoredLevels:
    """A stored array with the range of its denoised intensities."""

    def __init__(self, levels: np.ndarray, low: float, high: float) -> None:
        self.dtype, self.levels = levels.dtype, levels
        grey_map = {"low": low, "high": high, "linear_low": low, "linear_high": high}
        self.details = {"denoising": {"sample": {"grey_map": grey_map}}}

    def __getitem__(self, _: Any) -> np.ndarray:
        return self.levels


def particle_at(z: float, y: float, x: float, diameter: float = 100.0) -> pd.DataFrame:
    columns = {
        "label": [1],
        "z_nm": [z],
        "y_nm": [y],
        "x_nm": [x],
        "diameter_nm": [diameter],
        "population": [1],
    }
    return pd.DataFrame(columns | {"clump": [1], "place": ["tissue"]})


def test_the_registered_frame_undoes_jitter_and_crop(bench: Any) -> None:
    # Slice 2 was acquired 3 px down and 5 px left; registration found it to a tenth of a pixel, and the crop starts at (7, 4).
    true = np.tile(np.eye(3)[:2], (5, 1, 1))
    true[2, :, 2] = (3, -5)
    found = true.copy()
    found[2, 0, 2] += 0.1
    maps = bench.scene_runs.registered_to_ideal({"transforms": found.tolist(), "crop": [7, 4, 60, 50]}, true)
    moved = bench.scene_runs.registered_particles(particle_at(100, 200, 400), maps, (5, 60, 50), SPACING)
    assert moved["y_nm"].item() == pytest.approx(200 - 70 - 1)
    assert moved["x_nm"].item() == pytest.approx(400 - 80)
    assert not moved["cut"].item()


def test_particles_outside_the_registered_frame_are_not_asked_for(bench: Any) -> None:
    still = np.tile(np.eye(3)[:2], (5, 1, 1))
    maps = bench.scene_runs.registered_to_ideal({"transforms": still, "crop": [30, 0, 60, 50]}, still)
    moved = bench.scene_runs.registered_particles(particle_at(100, 200, 400), maps, (5, 60, 50), SPACING)
    assert moved.empty


def test_a_halved_contrast_is_half_kept(bench: Any) -> None:
    recipe = replace(
        bench.cases.PLAIN, shape=(12, 96, 96), noise=0.0, populations=bench.cases.PLAIN.populations[:1]
    )
    recipe = replace(recipe, populations=(replace(recipe.populations[0], count=5),))
    scene = bench.scene_images.independent_image(bench.cases.UnkindCase("five", recipe), seed=2)
    kept = bench.denoised_scores.kept_contrast
    assert kept(scene.clean, scene.clean, scene.cover, scene) == pytest.approx(1)
    halved = 128 + 0.5 * (scene.clean - 128)
    assert kept(halved, scene.clean, scene.cover, scene) == pytest.approx(0.5, abs=1e-3)


def test_stored_levels_become_grey_values_again(bench: Any) -> None:
    stored = StoredLevels(np.array([0, 100, 255], np.uint8), low=50.0, high=305.0)
    assert bench.denoised_scores.in_acquired_units(stored) == pytest.approx([50, 150, 305])


def worst_of(bench: Any, **changes: Any) -> Any:
    good = bench.unkind.Worst(60, 60, 0, 1.0, 1.0, (1.0, 1.0), 1.0, 1.0, 0.95, 0.003, 0.0005, 0.0, "")
    return replace(good, **changes)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"precision": 0.94}, ["precision"]),
        ({"precision": float("nan")}, ["precision"]),
        ({"recalls": (1.0, 0.5)}, ["recall"]),
        ({"size_ratio": 0.94}, ["size"]),
        ({"excess": 0.01}, ["labelled"]),
        ({"failure": "no room"}, ["failed"]),
        ({"true": 0, "false": 3, "precision": 0.0}, ["false"]),
    ],
)
def test_what_is_beyond_its_limit_is_named(bench: Any, changes: dict[str, Any], missed: list[str]) -> None:
    case = bench.cases.UnkindCase("plain", bench.cases.PLAIN)
    assert bench.unkind.beyond(case, worst_of(bench, **changes)) == missed


def test_a_table_shows_the_worst_case_of_a_group_and_not_the_mean(bench: Any) -> None:
    case = bench.cases.UnkindCase("one", bench.cases.PLAIN, group="resin")
    results = [(case, worst_of(bench)), (case, worst_of(bench, precision=0.2, false=9, size_ratio=1.3))]
    row = list(bench.page_tables.group_table(results))[-1]
    assert row == "| resin | 1 of 2 | 0.20 | 1.00 | 9 | 1.30 | 1.00 |"


def test_scenes_have_names_of_their_own(bench: Any) -> None:
    names = [
        scene.name for scene in (*bench.scene_cases.phantom_cases(), *bench.scene_cases.independent_cases())
    ]
    assert len(set(names)) == len(names) > 50
