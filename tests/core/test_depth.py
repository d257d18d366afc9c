"""Depth below the specimen's surface against closed forms, at unequal voxel sizes."""

import numpy as np
import pandas as pd
import pytest
from edited_labels import merge, paint, random_edits
from numpy.typing import NDArray
from spatial_scenes import random_tissue

from spherovem_core.known_blocks import KnownResults
from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.spatial import Placement, cell_depth, find_surface, measure_depth_of_cells
from spherovem_core.spatial.depth import BEYOND, NO_SURFACE, Surface, depth_columns

MASK_NM = (150.0, 120.0, 100.0)
FIELD_NM = (50.0, 10.0, 10.0)


def mask_positions(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Positions in µm of the centres of the mask's voxels, in the frame of the image whose first voxel lies at 0."""
    axes = [
        (np.arange(n) * side + (side - fine) / 2) / 1000
        for n, side, fine in zip(shape, MASK_NM, FIELD_NM, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def surface_of(outside: NDArray[np.bool_]) -> Surface:
    origin = tuple((side - fine) / 2 for side, fine in zip(MASK_NM, FIELD_NM, strict=True))
    shape = tuple(
        round(n * side / fine) for n, side, fine in zip(outside.shape, MASK_NM, FIELD_NM, strict=True)
    )
    return find_surface(
        outside, Placement(MASK_NM, (origin[0], origin[1], origin[2])), Placement(FIELD_NM), shape
    )


def random_points(surface: Surface, count: int = 400) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(surface.low_um, surface.high_um, (count, 3))


def test_depth_in_a_ball_is_the_distance_to_its_surface() -> None:
    shape = (40, 50, 60)
    centre, radius = np.array([3.0, 3.1, 2.9]), 2.3
    surface = surface_of(np.linalg.norm(mask_positions(shape) - centre, axis=-1) > radius)
    points = random_points(surface)
    truth = radius - np.linalg.norm(points - centre, axis=1)
    found = depth_columns(surface, points)
    # Within one voxel of the mask, and a bias of less than a fifth of one.
    assert np.abs(found["depth_um"] - truth).max() < max(MASK_NM) / 1000
    assert abs(np.mean(found["depth_um"] - truth)) < 0.2 * max(MASK_NM) / 1000
    border = np.minimum(points - surface.low_um, surface.high_um - points).min(axis=1)
    np.testing.assert_allclose(found["depth_at_least_um"], np.minimum(found["depth_um"], border))
    # All of the ball lies in the field.
    assert set(found["depth_note"]) == {""}


@pytest.mark.parametrize("seed", range(4))
def test_depth_below_a_plane_is_the_distance_to_it_at_every_angle(seed: int) -> None:
    shape = (30, 40, 44)
    normal = np.random.default_rng(seed).normal(size=3)
    normal /= np.linalg.norm(normal)
    place = mask_positions(shape)
    offset = np.median(place @ normal)
    surface = surface_of(place @ normal > offset)
    points = random_points(surface)
    truth = offset - points @ normal
    # Near the field's border the foot of the perpendicular lies beyond the field.
    foot = points + truth[:, None] * normal
    inside = ((foot > surface.low_um) & (foot < surface.high_um)).all(axis=1)
    error = depth_columns(surface, points)["depth_um"] - truth
    assert inside.sum() > 100
    assert np.abs(error[inside]).max() < max(MASK_NM) / 1000
    # Elsewhere the nearest surface in the field is farther than that of the whole specimen: at least stays a lower bound.
    least = depth_columns(surface, points)["depth_at_least_um"]
    assert (least < np.abs(truth) + max(MASK_NM) / 1000)[truth > 0].all()


def test_without_a_surface_only_the_lower_bound_is_known() -> None:
    surface = surface_of(np.zeros((10, 12, 14), bool))
    found = depth_columns(surface, np.array([[0.5, 0.2, 0.9]]))
    assert np.isnan(found["depth_um"][0])
    assert found["depth_at_least_um"][0] == pytest.approx(0.205)
    assert found["depth_note"].tolist() == [NO_SURFACE]
    assert surface_of(np.ones((4, 4, 4), bool)).depth is None


@pytest.mark.parametrize("edge", [256, 16])
def test_the_shallowest_voxel_of_a_cell(edge: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_depth, "BLOCK_EDGE", edge)
    shape = (20, 26, 40)
    place = mask_positions(shape)
    surface = surface_of(place[..., 2] > 3.0)
    spacing = (100.0, 60.0, 60.0)
    cells = np.zeros((30, 52, 66), np.uint32)
    grid = np.stack(np.indices(cells.shape), axis=-1) * np.array(spacing) / 1000
    first, second = np.array([1.5, 1.5, 2.0]), np.array([1.4, 1.2, 0.7])
    cells[np.linalg.norm(grid - first, axis=-1) < 0.6] = 4
    cells[np.linalg.norm(grid - second, axis=-1) < 0.5] = 70_000
    statistics = collect_label_statistics(cells)
    centroids = statistics.centroid * np.array(spacing) / 1000
    table = measure_depth_of_cells(cells, statistics.labels, centroids, Placement(spacing), surface)
    assert table["label"].tolist() == [4, 70_000]
    np.testing.assert_allclose(table["depth_um"], [1.0, 2.3], atol=0.1)
    # Half a voxel of the cells lies between its surface and the centre of the voxel.
    np.testing.assert_allclose(table["depth_min_um"], [0.4 + 0.03, 1.8 + 0.03], atol=0.1)
    assert table["depth_note"].tolist() == ["", BEYOND]
    # The second cell is nearest to the border at x: its first voxels lie 0.2 µm from the first voxel, which is half one more.
    np.testing.assert_allclose(table["depth_min_at_least_um"], [table["depth_min_um"][0], 0.245], atol=0.03)


def test_cells_without_a_surface_have_no_depth() -> None:
    cells = np.zeros((6, 8, 8), np.uint32)
    cells[2:4, 2:5, 2:5] = 3
    surface = surface_of(np.zeros((6, 8, 8), bool))
    table = measure_depth_of_cells(
        cells,
        np.array([3], np.uint32),
        np.array([[0.15, 0.03, 0.03]]),
        Placement((50.0, 10.0, 10.0)),
        surface,
    )
    assert table[["depth_um", "depth_min_um"]].isna().to_numpy().all()
    assert table["depth_min_at_least_um"][0] == pytest.approx(0.025)
    assert table["depth_note"][0] == NO_SURFACE


@pytest.mark.parametrize("seed", range(4))
def test_depths_after_corrections_are_those_of_a_full_measurement(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_depth, "BLOCK_EDGE", (16, 256)[seed % 2])
    rng, spacing = np.random.default_rng(seed), (100.0, 60.0, 40.0)
    cells, _ = random_tissue((24, 50, 60), seed, 16)
    outside = mask_positions((20, 26, 40))[..., 2] > (2.0, 1e9)[seed // 3]
    outside[3:6, 10:20] ^= seed < 3
    surface, place, known = surface_of(outside), Placement(spacing, (10.0, -5.0, 3.0)), KnownResults()
    for turn in range(5):
        statistics = collect_label_statistics(cells)
        given = (cells, statistics.labels, statistics.centroid * np.array(spacing) / 1000, place, surface)
        again = KnownResults(known.entries)
        found = measure_depth_of_cells(*given, statistics=statistics, known=again)
        full = measure_depth_of_cells(*given)
        pd.testing.assert_frame_equal(found, full, check_exact=True)
        for name in full.select_dtypes("float"):
            assert found[name].to_numpy().tobytes() == full[name].to_numpy().tobytes()
        evaluated, taken_over = again.counts[cell_depth.WORK]
        assert evaluated + taken_over == len(full)
        assert (taken_over > 0) == (turn > 0)
        merge(cells, rng)
        paint(cells, rng)
        cells = random_edits(cells, rng, 1) if turn == 2 else cells
    outside[:2] ^= True
    other = surface_of(outside)
    moved = KnownResults(known.entries)
    measure_depth_of_cells(*given[:4], other, statistics=statistics, known=moved)
    assert moved.counts[cell_depth.WORK][1] == 0
