"""Radial distribution and position of centroids: closed forms, blocks, and cells without nucleus or particles."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from spatial_scenes import SPACING, Labels, random_tissue

import spherovem_core.spatial.grids as grids
import spherovem_core.spatial.radial as radial
from spherovem_core.execution import Execution
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spacing import voxel_volume_um3
from spherovem_core.spatial import (
    distance_to_nucleus,
    measure_centroids,
    radial_distribution,
)
from spherovem_core.spatial.surface_distance import distance_to_surface

# Bin edges between voxels: distances are multiples of 10 nm.
WIDTH = SpatialParameters(radial_bin_um=0.045)


def slab_cell() -> tuple[Labels, NDArray[np.float32]]:
    """Make a cell along x whose nucleus is its first two voxels, so that the distance is that along x."""
    cells = np.full((4, 6, 20), 5, np.uint32)
    cells[..., 18:] = 0
    nuclei = np.zeros_like(cells)
    nuclei[..., :2] = 1
    return cells, distance_to_nucleus(nuclei, cells, SPACING)


def test_volumes_of_a_slab_are_those_of_its_planes() -> None:
    cells, distance = slab_cell()
    particles = np.zeros_like(cells)
    particles[1, :, 2:] = 7
    found = radial_distribution(particles, cells, distance, SPACING, WIDTH)
    assert (found["cell"] == 5).all()
    np.testing.assert_allclose(found["distance_high_um"], [0, 0.045, 0.09, 0.135, 0.18])
    np.testing.assert_allclose(found["distance_low_um"], [0, 0, 0.045, 0.09, 0.135])
    # The cytoplasm has 16 planes, 10 to 160 nm from the nucleus: 4, 5, 4 (90 nm is in the second bin) and 3 per bin.
    planes = found["cell_volume_um3"] / (24 * voxel_volume_um3(SPACING))
    np.testing.assert_allclose(planes, [2, 4, 5, 4, 3])
    per_plane = found["nanoparticle_volume_um3"] / (6 * voxel_volume_um3(SPACING))
    np.testing.assert_allclose(per_plane, [0, 4, 5, 4, 3])


def test_finer_particles_keep_their_volume() -> None:
    cells, distance = slab_cell()
    particles = np.zeros((8, 12, 20), np.uint32)
    particles[0, 0, 4:6] = 3
    found = radial_distribution(particles, cells, distance, SPACING, WIDTH, factors=(2, 2, 1))
    expected = 2 / 4 * voxel_volume_um3(SPACING)
    np.testing.assert_allclose(found["nanoparticle_volume_um3"], [0, expected, 0, 0, 0])


def test_cells_without_a_nucleus_have_no_rows() -> None:
    cells, distance = slab_cell()
    cells[..., 18:] = 9
    found = radial_distribution(np.zeros_like(cells), cells, distance, SPACING, WIDTH)
    assert set(found["cell"]) == {5}
    assert (found["nanoparticle_volume_um3"] == 0).all()
    nothing = radial_distribution(cells * 0, cells * 0, distance * np.nan, SPACING, WIDTH)
    assert len(nothing) == 0


def test_radial_distribution_does_not_depend_on_blocks_or_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, nuclei = random_tissue((10, 24, 30), 8)
    distance = distance_to_nucleus(nuclei, cells, SPACING)
    particles = (np.random.default_rng(1).uniform(size=(19, 47, 60)) < 0.05).astype(np.uint32)
    whole = radial_distribution(particles, cells, distance, SPACING, WIDTH, factors=(2, 2, 2))
    known = np.isfinite(distance) & (cells > 0)
    total = known.sum() * voxel_volume_um3(SPACING)
    assert whole["cell_volume_um3"].sum() == pytest.approx(total)
    monkeypatch.setattr(grids, "BLOCK_EDGE", 8)
    monkeypatch.setattr(radial, "BLOCK_EDGE", 8)
    with ThreadPoolExecutor(2) as pool:
        execution = Execution(executor=pool, workers=2)
        blocked = radial_distribution(
            particles, cells, distance, SPACING, WIDTH, execution, factors=(2, 2, 2)
        )
    pd.testing.assert_frame_equal(whole, blocked)


def centroid_table(*rows: tuple[int, float, float, float]) -> pd.DataFrame:
    names = ["parent_cell", "centroid_z_um", "centroid_y_um", "centroid_x_um"]
    return pd.DataFrame(rows, columns=names)


def test_centroid_distances_equal_closed_forms() -> None:
    cells = np.zeros((9, 30, 40), np.uint32)
    cells[1:8, 5:25, 10:40] = 4
    cells[1:8, 5:25, 5:10] = 6
    nuclei = np.zeros_like(cells)
    nuclei[4, 10, 30] = 1
    distance = distance_to_nucleus(nuclei, cells, SPACING)
    table = centroid_table(
        (4, 0.2, 0.15, 0.20),
        (4, 0.2, 0.1, 0.374),
        (4, 0.2, 0.15, 0.07),
        (6, 0.1, 0.15, 0.07),
        (0, 0.2, 0.15, 0.20),
    )
    found = measure_centroids(table, cells, distance, SPACING)
    # The neighbour at column 9 is 110 nm away along x, row 25 is 100 nm away; the volume's border at column 39 is no surface.
    np.testing.assert_allclose(
        found["distance_to_cell_surface_um"], [0.1, 0.06, np.nan, 0.03, np.nan], atol=1e-6
    )
    expected = [np.hypot(0.05, 0.1), 0.07, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(found["distance_to_nucleus_centroid_um"], expected, atol=1e-6)


def test_centroids_on_a_shifted_grid_keep_the_order_of_the_table() -> None:
    cells, distance = slab_cell()
    table = centroid_table((5, 0.075, 0.025, 0.125), (5, 0.075, 0.025, 0.055)).set_index(pd.Index([9, 2]))
    found = measure_centroids(table, cells, distance, SPACING, origin_nm=(25.0, 5.0, 5.0))
    np.testing.assert_allclose(found["distance_to_nucleus_centroid_um"], [0.11, 0.04], atol=1e-6)
    np.testing.assert_allclose(found["distance_to_cell_surface_um"], [0.06, 0.13], atol=1e-6)


def test_distances_to_the_surface_are_those_of_a_distance_transform() -> None:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random((13, 40, 45)), 3)
    cells = np.where(smooth > np.median(smooth), 7, 0).astype(np.uint32)
    points = rng.integers(0, cells.shape, (400, 3))
    spacing = np.array(SPACING) / 1000
    found = distance_to_surface(cells, np.uint32(7), points, spacing)
    expected = ndimage.distance_transform_edt(cells == 7, sampling=spacing)[tuple(points.T)]
    np.testing.assert_allclose(found, np.where(expected > 0, expected, np.nan), rtol=1e-12)


def test_cell_that_fills_the_volume_has_no_surface() -> None:
    cells = np.full((3, 4, 5), 2, np.uint32)
    distance = np.full(cells.shape, np.nan, np.float32)
    found = measure_centroids(
        centroid_table((2, 0.05, 0.01, 0.01), (77, 0.05, 0.01, 0.01)), cells, distance, SPACING
    )
    assert found["distance_to_cell_surface_um"].isna().all()
