"""Parent cells, particles and counts per cell: against hand-made cases and brute force."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from spatial_scenes import SPACING, random_tissue

import spherovem_core.spatial.grids as grids
from spherovem_core.errors import ParameterError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spatial import assign_parent_cells, distance_to_nucleus, measure_cells, measure_particles


def line(*values: int) -> np.ndarray:
    return np.array(values, np.uint32).reshape(1, 1, -1)


def test_parent_holds_most_and_ties_go_to_the_smaller_label() -> None:
    labels = line(1, 1, 1, 2, 2, 0, 3, 3, 4, 4, 4)
    cells = line(5, 5, 9, 9, 5, 1, 0, 0, 0, 0, 7)
    found = assign_parent_cells(labels, cells)
    assert found["label"].tolist() == [1, 2, 3, 4]
    assert found["parent_cell"].tolist() == [5, 5, 0, 7]
    np.testing.assert_allclose(found["parent_fraction"], [2 / 3, 1 / 2, 0, 1 / 3])


def test_parent_must_hold_the_minimum_fraction() -> None:
    found = assign_parent_cells(line(4, 4, 4), line(0, 0, 7), min_fraction=0.5)
    assert found["parent_cell"].tolist() == [0]
    assert found["parent_fraction"].tolist() == [pytest.approx(1 / 3)]


def test_parents_are_found_on_a_coarser_grid() -> None:
    labels = np.zeros((5, 6, 7), np.uint32)
    labels[4, 5, 6] = 3
    labels[0:2, 0:3, 0:4] = 2
    cells = np.zeros((2, 2, 4), np.uint32)
    cells[1, 1, 3], cells[0, 0, 0] = 8, 6
    found = assign_parent_cells(labels, cells, factors=(2, 3, 2))
    assert found["parent_cell"].tolist() == [6, 8]
    assert found["parent_fraction"].tolist() == [0.5, 1.0]


def test_grids_that_do_not_fit_are_refused() -> None:
    volume = np.zeros((4, 4, 4), np.uint32)
    with pytest.raises(ShapeMismatchError, match="factors"):
        assign_parent_cells(volume, volume, factors=(2, 2, 2))
    with pytest.raises(ParameterError, match="whole numbers"):
        assign_parent_cells(volume, volume, factors=(0, 1, 1))


def particle_scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    cells, nuclei = random_tissue((10, 24, 30), 2)
    rng = np.random.default_rng(9)
    fine = tuple(2 * n - 1 for n in cells.shape)
    particles = np.zeros(fine, np.uint32)
    for label, corner in enumerate(rng.integers(0, np.array(fine) - 4, (60, 3)), 1):
        z, y, x = corner
        particles[z : z + 3, y : y + 4, x : x + 4] = label
    return particles, cells, nuclei, distance_to_nucleus(nuclei, cells, SPACING)


def expected_particles(
    particles: np.ndarray, cells: np.ndarray, nuclei: np.ndarray, distance: np.ndarray, min_fraction: float
) -> pd.DataFrame:
    rows = []
    for label in np.unique(particles[particles > 0]):
        place = tuple(np.minimum(np.argwhere(particles == label) // 2, np.array(cells.shape) - 1).T)
        inside = cells[place]
        counts = np.bincount(inside[inside > 0])
        share = counts.max() / len(inside) if len(counts) else 0.0
        parent = int(counts.argmax()) if len(counts) and share >= min_fraction else 0
        own = distance[place][inside == parent] if parent else np.array([np.nan])
        mean = own.mean() if np.isfinite(own).all() else np.nan
        rows.append((label, parent, share, mean, own.min(), (nuclei[place] > 0).mean() > 0.5))
    names = [
        "label",
        "parent_cell",
        "parent_fraction",
        "distance_to_nucleus_um",
        "distance_to_nucleus_min_um",
        "in_nucleus",
    ]
    return pd.DataFrame(rows, columns=names)


@pytest.mark.parametrize("min_fraction", [0.0, 0.5])
def test_particles_equal_brute_force(monkeypatch: pytest.MonkeyPatch, min_fraction: float) -> None:
    monkeypatch.setattr(grids, "BLOCK_EDGE", 8)
    scene = particle_scene()
    expected = expected_particles(*scene, min_fraction)
    table = pd.DataFrame({"label": expected["label"].to_numpy(np.uint32)[::-1], "volume_um3": 1.0})
    with ThreadPoolExecutor(2) as pool:
        found = measure_particles(
            scene[0],
            table,
            *scene[1:],
            SpatialParameters(min_parent_fraction=min_fraction),
            Execution(executor=pool, workers=2),
            factors=(2, 2, 2),
        )
    assert found["label"].tolist() == table["label"].tolist()
    found = found.sort_values("label", ignore_index=True)
    assert {True, False} == set(expected["in_nucleus"])
    assert expected["distance_to_nucleus_um"].isna().any()
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False, rtol=1e-6)


def test_volume_without_particles_gives_empty_tables_and_zero_counts() -> None:
    _, cells, nuclei, distance = particle_scene()
    table = pd.DataFrame({"label": np.empty(0, np.uint32), "volume_um3": np.empty(0)})
    found = measure_particles(np.zeros_like(cells), table, cells, nuclei, distance, SpatialParameters())
    assert len(found) == 0
    assert found["in_nucleus"].dtype == bool
    assert found["parent_cell"].dtype == np.uint32
    counts = measure_cells(cells, assign_parent_cells(np.zeros_like(cells), cells), found, SPACING)
    assert (counts["nanoparticle_count"] == 0).all()
    assert (counts["nucleus_count"] == 0).all()


def test_table_and_volume_with_other_particles_are_refused() -> None:
    particles, cells, nuclei, distance = particle_scene()
    table = pd.DataFrame({"label": np.array([1, 2], np.uint32)})
    with pytest.raises(ShapeMismatchError, match="one run of the nanoparticles stage"):
        measure_particles(particles, table, cells, nuclei, distance, SpatialParameters(), factors=(2, 2, 2))


def test_nuclei_and_particles_are_counted_per_cell() -> None:
    cells = line(3, 3, 3, 3, 9, 9, 0)
    nuclei = pd.DataFrame({"parent_cell": np.array([3, 3, 0], np.uint32)})
    particles = pd.DataFrame(
        {"parent_cell": np.array([9, 3, 9, 0], np.uint32), "volume_um3": [1.0, 2.0, 4.0, 8.0]}
    )
    found = measure_cells(cells, nuclei, particles, (1000.0, 1000.0, 500.0))
    assert found["label"].tolist() == [3, 9]
    assert found["nucleus_count"].tolist() == [2, 0]
    assert found["nanoparticle_count"].tolist() == [1, 2]
    assert found["nanoparticle_volume_um3"].tolist() == [2.0, 5.0]
    np.testing.assert_allclose(found["nanoparticle_density_per_um3"], [0.5, 2.0])
