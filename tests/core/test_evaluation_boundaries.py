"""Distances between the surfaces of planes, boxes and balls, with unequal spacing."""

import numpy as np
import pytest
import zarr
from evaluation_scenes import SPACING, disturbed, patchwork, solid

from spherovem_core.segmentation.evaluation import boundaries as module
from spherovem_core.segmentation.evaluation import boundary_distances, evaluate_labels
from spherovem_core.segmentation.evaluation.boundaries import Pair, object_surface

SHAPE = (24, 40, 44)
Z, Y, X = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")


def box_of(labels: np.ndarray, label: int = 1) -> np.ndarray:
    places = np.nonzero(labels == label)
    return np.array([[p.min(), p.max() + 1] for p in places])


def distances(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    return boundary_distances(Pair(1, 1, box_of(truth), box_of(found)), truth, found, SPACING)


def ball(radius_nm: float) -> np.ndarray:
    squares = [((g - (n - 1) / 2) * side) ** 2 for g, n, side in zip((Z, Y, X), SHAPE, SPACING, strict=True)]
    return solid(sum(squares) <= radius_nm**2)


@pytest.mark.parametrize(("axis", "grid"), [(0, Z), (1, Y), (2, X)])
def test_distance_of_a_slab_with_one_moved_face_is_exact(axis: int, grid: np.ndarray) -> None:
    # The slab reaches through the volume, so it has two faces; one of them is off by 4 voxels.
    truth, found = solid((grid >= 6) & (grid < 12)), solid((grid >= 6) & (grid < 16))
    mean, p95 = distances(truth, found)
    assert mean == pytest.approx(4 * SPACING[axis] / 2)
    assert p95 == pytest.approx(4 * SPACING[axis])
    assert distances(truth, truth) == (0.0, 0.0)


def test_faces_are_weighted_by_area() -> None:
    # A box of 500 x 200 nm along z and y, grown by three voxels at one end of x. Its other sides coincide, at distance 0.
    inside = (Z >= 5) & (Z < 15) & (Y >= 10) & (Y < 30)
    truth, found = solid(inside & (X >= 10) & (X < 26)), solid(inside & (X >= 10) & (X < 29))
    end = 500.0 * 200.0
    # The end of the longer box is 30 nm from that of the shorter. The additional faces of its y sides, 10 nm wide each, are
    # nearest to the edge of the shorter's end, 5 nm inwards; those of its z sides to the last faces of the shorter's z sides.
    more_y = 2 * 500.0 * 10 * (np.hypot(5, 5) + np.hypot(5, 15) + np.hypot(5, 25))
    more_z = 2 * 200.0 * 10 * (10 + 20 + 30)
    # The end of the shorter box is nearest to the end of the longer one, or to its sides, 5 nm away along x.
    z, y = np.meshgrid((np.arange(10) + 0.5) * 50, (np.arange(20) + 0.5) * 10, indexing="ij")
    to_side = np.hypot(np.minimum(np.minimum(z, 500 - z), np.minimum(y, 200 - y)), 5)
    shorter = end * np.minimum(30, to_side).mean()
    area = 4 * end + 2 * 10 * (16 + 19) * (500.0 + 200.0)
    mean, p95 = distances(truth, found)
    assert mean == pytest.approx((30 * end + more_y + more_z + shorter) / area)
    assert p95 == pytest.approx(30.0)


@pytest.mark.parametrize(("small", "large"), [(100.0, 150.0), (110.0, 180.0)])
def test_distance_of_concentric_balls_is_the_difference_of_their_radii(small: float, large: float) -> None:
    # The grid resolves a single place to half the longest voxel side, 25 nm; the mean is better.
    mean, p95 = distances(ball(small), ball(large))
    assert mean == pytest.approx(large - small, abs=10)
    assert p95 == pytest.approx(large - small, abs=25)


def test_faces_of_a_ball_cover_its_projections() -> None:
    # Its faces along each axis cover its projection twice, 6 π r² in total; 3 % for slices of 50 nm.
    faces = object_surface(ball(190.0), 1, box_of(ball(190.0)), SPACING)
    assert faces.areas.sum() == pytest.approx(6 * np.pi * 190.0**2, rel=0.03)


def test_distances_in_a_section_do_not_depend_on_the_thickness() -> None:
    y, x = np.meshgrid(np.arange(80), np.arange(90), indexing="ij")
    spacing = (50.0, 20.0, 10.0)
    radius = np.hypot((y - 39.5) * 20.0, (x - 44.5) * 10.0)
    small, large = solid(radius < 250), solid(radius < 330)
    boxes = [np.vstack([[0, 1], box_of(labels)]) for labels in (small, large)]
    mean, _ = boundary_distances(Pair(1, 1, *boxes), small, large, spacing)
    assert mean == pytest.approx(80, abs=5)


def test_distances_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, found = patchwork(3), disturbed(patchwork(3), 1)
    whole = evaluate_labels(truth, found, SPACING).true_objects
    monkeypatch.setattr(module, "BLOCK_SIDE", 5)
    blocked = evaluate_labels(truth, found, SPACING).true_objects
    for name in ("boundary_mean_nm", "boundary_p95_nm"):
        assert np.allclose(whole[name], blocked[name], rtol=1e-12, equal_nan=True)
    assert whole["boundary_mean_nm"].notna().sum() > 5


def test_arrays_on_disk_give_the_distances_of_arrays_in_memory(tmp_path: object) -> None:
    truth, found = patchwork(4), disturbed(patchwork(4), 2)
    stored = [
        zarr.create_array(f"{tmp_path}/{name}", data=labels, chunks=(4, 16, 16), shards=(8, 32, 32))
        for name, labels in (("truth", truth), ("found", found))
    ]
    memory, disk = evaluate_labels(truth, found, SPACING), evaluate_labels(*stored, SPACING)
    assert memory.figures == disk.figures
    assert memory.true_objects.equals(disk.true_objects)


def test_distances_scale_with_the_spacing() -> None:
    truth, found = patchwork(5), disturbed(patchwork(5), 3)
    once = evaluate_labels(truth, found, SPACING).figures
    twice = evaluate_labels(truth, found, tuple(2 * side for side in SPACING)).figures
    for name in ("boundary_mean_nm", "boundary_p95_nm"):
        assert twice[name] == pytest.approx(2 * once[name])
    assert twice["f1"] == once["f1"]


def test_an_object_that_fills_the_volume_has_no_surface() -> None:
    whole = np.ones(SHAPE, np.uint32)
    assert np.isnan(distances(whole, whole)).all()
