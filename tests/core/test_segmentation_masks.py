"""Masks from flows: ideal flows give their objects, as with Cellpose's own dynamics."""

import warnings
from pathlib import Path

import cc3d
import numpy as np
import pytest
from cellpose import dynamics
from segmentation_scenes import EVERYTHING, SPACING, ideal, packed_cells, segment

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import MaskInputs, flow_error, masks_from_flows, match_labels
from spherovem_core.segmentation import dynamics as dynamics_module
from spherovem_core.segmentation.block_numbering import matching_pairs
from spherovem_core.segmentation.dynamics import follow_flows
from spherovem_core.segmentation.flow_error import flow_errors, volume_flows
from spherovem_core.segmentation.flow_targets import section_flows
from spherovem_core.segmentation.grid import Grid, flow_grid


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    return packed_cells((48, 56, 64), 30)


def test_ideal_flows_give_their_objects(cells: np.ndarray) -> None:
    found = masks_from_flows(ideal(cells), EVERYTHING, SPACING)
    # Not above 0.9: rounding to voxels may give a few surface voxels to a neighbour.
    assert match_labels(cells, found, iou=0.9).f1 == 1.0


def test_masks_agree_with_those_of_cellpose() -> None:
    cells = packed_cells((28, 36, 44), 12)
    flows = ideal(cells)
    with warnings.catch_warnings():
        # Torch warns of a check of sparse tensors that cellpose leaves off.
        warnings.filterwarnings("ignore", message="Sparse invariant")
        theirs = dynamics.compute_masks(flows[:3], flows[3], do_3D=True, max_size_fraction=1.0)
    ours = masks_from_flows(flows, EVERYTHING, SPACING)
    # Cellpose samples flows up to half a voxel off (its grid_sample aligns corners differently from its
    # points), so single voxels differ, but not the objects.
    assert match_labels(theirs, ours, iou=0.8).f1 >= 0.95
    assert match_labels(cells, ours, iou=0.8).f1 >= match_labels(cells, theirs, iou=0.8).f1


def test_labels_are_contiguous_in_order_of_appearance(cells: np.ndarray) -> None:
    found = masks_from_flows(ideal(cells), EVERYTHING, SPACING)
    numbers, first = np.unique(found[found > 0], return_index=True)
    assert found.dtype == np.uint32
    assert numbers.tolist() == list(range(1, len(numbers) + 1))
    assert (np.diff(first) > 0).all()


def test_a_threshold_moves_the_border_of_an_object() -> None:
    z, y, x = np.indices((31, 31, 31)) - 15
    radius = np.sqrt(z**2 + y**2 + x**2)
    flows = np.stack([*(-5 * np.stack([z, y, x]) / np.maximum(radius, 1)), 10.0 - radius])
    for threshold, expected in ((0.0, 10.0), (3.0, 7.0), (-3.0, 13.0)):
        found = masks_from_flows(
            flows, EVERYTHING.model_copy(update={"probability_threshold": threshold}), SPACING
        )
        assert np.array_equal(found > 0, radius < expected)
        assert found.max() == 1


def test_min_diameter_is_physical() -> None:
    labels = np.zeros((40, 40, 80), np.uint32)
    z, y, x = np.indices((40, 40, 40)) - 19.5
    labels[:, :, :40][z**2 + y**2 + x**2 < 12**2] = 1
    labels[:, :, 40:][z**2 + y**2 + x**2 < 6**2] = 2
    flows = ideal(labels)
    # In voxels of (50, 10, 10) nm the balls' equivalent diameters are 24 and 12 times 17.1 nm.
    side_um = (50 * 10 * 10) ** (1 / 3) / 1000
    for least, count in ((0.0, 2), (11.5 * side_um, 2), (12.5 * side_um, 1), (24.5 * side_um, 0)):
        chosen = EVERYTHING.model_copy(update={"min_diameter_um": least})
        assert masks_from_flows(flows, chosen, SPACING).max() == count


def test_smoothing_removes_noise_in_flows(cells: np.ndarray) -> None:
    noisy = ideal(cells)
    noisy[:3] += np.random.default_rng(0).normal(0, 8, noisy[:3].shape).astype(np.float32)
    rough = masks_from_flows(noisy, EVERYTHING, SPACING)
    smooth = masks_from_flows(noisy, EVERYTHING.model_copy(update={"flow_smoothing": 1.5}), SPACING)
    assert match_labels(cells, smooth).f1 > match_labels(cells, rough).f1 + 0.1


def test_flow_error_drops_the_inconsistent_object(cells: np.ndarray) -> None:
    flows = ideal(cells)
    numbers, errors = flow_errors(cells, flows[:3])
    assert errors.max() < 1e-6
    bad = int(numbers[np.argmax(np.bincount(cells.ravel())[numbers])])
    turned = flows[:3].copy()
    turned[:, cells == bad] = np.roll(turned[:, cells == bad], 1, axis=0)
    _, errors = flow_errors(cells, turned)
    assert numbers[errors > 0.5].tolist() == [bad]


def test_flow_error_of_a_large_object_takes_every_third_voxel() -> None:
    z, y, x = np.indices((60, 110, 130)) - np.array([30, 55, 65])[:, None, None, None]
    ellipsoid = (z / 26) ** 2 + (y / 50) ** 2 + (x / 62) ** 2 < 1
    away = np.stack([z, y, x]).astype(np.float32)
    for flows, expected in ((-away, None), (away, None), (away[[1, 2, 0]], 2.0)):
        whole = flow_error.object_error(ellipsoid, flows)
        # The same as that of a smaller ellipsoid of this shape.
        small = flow_error.object_error(ellipsoid[::3, ::3, ::3], flows[:, ::3, ::3, ::3])
        assert whole == small
        assert expected is None or abs(whole - expected) < 0.1
    # In an ellipsoid rays to the centre differ a little from the gradient of heat.
    assert flow_error.object_error(ellipsoid, -away) < 0.2
    assert flow_error.object_error(ellipsoid, away) > 3.8


def test_objects_above_the_flow_error_threshold_are_dropped() -> None:
    labels = np.zeros((24, 24, 48), np.uint32)
    labels[4:20, 4:20, 4:20], labels[4:20, 4:20, 28:44] = 1, 2
    flows = ideal(labels)
    # Flows that converge at a corner make one object whose flows are not those of a box.
    z, y, x = np.indices((24, 24, 24)) - np.array([5, 5, 5])[:, None, None, None]
    corner = -5 * np.stack([z, y, x]) / np.maximum(np.sqrt(z**2 + y**2 + x**2), 1)
    flows[:3, :, :, :24] = corner
    assert masks_from_flows(flows, EVERYTHING, SPACING).max() == 2
    strict = EVERYTHING.model_copy(update={"flow_error_threshold": 0.4})
    kept = masks_from_flows(flows, strict, SPACING)
    assert kept.max() == 1
    assert (kept[labels == 2] == 1).mean() > 0.99


def test_no_foreground_gives_no_object() -> None:
    flows = np.full((4, 8, 9, 10), -1.0)
    assert not masks_from_flows(flows, EVERYTHING, SPACING).any()
    assert not follow_flows(np.zeros((3, 8, 9, 10), np.float32), np.zeros((8, 9, 10), bool)).any()


def test_indices_of_64_bits_give_the_same_labels(cells: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    flows = ideal(cells)
    expected = follow_flows(flows[:3], cells > 0)
    monkeypatch.setattr(dynamics_module, "INDEX_LIMIT", 1000)
    assert np.array_equal(follow_flows(flows[:3], cells > 0), expected)


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ShapeMismatchError, match=r"expected \(4, Z, Y, X\)"):
        masks_from_flows(np.zeros((3, 8, 8, 8)), EVERYTHING, SPACING)


def test_section_flows_equal_those_of_cellpose() -> None:
    labels = packed_cells((1, 70, 90), 14)[0].astype(np.int32)
    theirs, _ = dynamics.masks_to_flows_gpu(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))
    assert np.allclose(section_flows(labels), theirs, atol=1e-6)
    assert not section_flows(np.zeros((5, 6), np.int32)).any()


def test_volume_flows_agree_with_those_of_cellpose(cells: np.ndarray) -> None:
    part = np.unique(cells[:18, :20, :22], return_inverse=True)[1].reshape(18, 20, 22)
    theirs = dynamics.masks_to_flows_gpu_3d(part)
    agreement = (volume_flows(part) / 5 * theirs).sum(axis=0)[part > 0]
    # At borders Cellpose takes the heat of a touching object into the gradient; inside they agree.
    assert np.median(agreement) > 0.999
    assert (agreement > 0.95).mean() > 0.85


def blocked(
    flows: np.ndarray, grid: Grid, target: Grid, block_voxels: int, workers: int = 1
) -> tuple[np.ndarray, int]:
    parameters = ObjectParameters(min_diameter_um=0.0, merge_boundary_strength=0.0)
    execution = Execution(workers=workers, block_voxels=block_voxels, block_halo_voxels=24)
    return segment(flows, grid, target, parameters, execution=execution)


def test_blocks_give_the_labelling_of_a_whole_run() -> None:
    target = Grid((60, 200, 160), (50.0, 20.0, 20.0))
    grid = flow_grid(target.shape, target.spacing_nm, ObjectParameters(flow_spacing_nm=50.0))
    coarse = packed_cells(grid.shape, 60, seed=3, gap=1.0)
    flows = ideal(coarse).astype(np.float16)
    whole, count = blocked(flows, grid, target, 256)
    stitched, blocked_count = blocked(flows, grid, target, 128, workers=2)
    assert blocked_count == count == whole.max() == stitched.max()
    # The same numbers, not only the same objects; only voxels of a few surfaces differ.
    assert (whole == stitched).mean() > 0.9995
    assert match_labels(whole, stitched, iou=0.98).f1 == 1.0
    index = [
        np.clip(((np.arange(n) * s - o) / g).round().astype(int), 0, m - 1)
        for n, s, o, g, m in zip(
            target.shape, target.spacing_nm, grid.origin_nm, grid.spacing_nm, grid.shape, strict=True
        )
    ]
    result = match_labels(coarse[np.ix_(*index)], whole, min_voxels=2000)
    assert result.f1 > 0.97
    # The zero of the upsampled logit lies at the border of the labels: sizes have no bias.
    assert abs(np.median(result.volume_errors)) < 0.03


def test_empty_blocks_are_not_computed(cells: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    resin = np.zeros((cells.shape[0], cells.shape[1], 200), np.uint32)
    resin[:, :, :64] = cells
    grid = Grid(resin.shape, (20.0, 20.0, 20.0))
    parameters = EVERYTHING.model_copy(update={"merge_boundary_strength": 0.01})
    in_blocks = Execution(block_voxels=64, block_halo_voxels=16)
    whole, count = segment(ideal(resin), grid, grid, EVERYTHING)
    upsampled = MaskInputs.upsampled_flows
    places = []

    def watched(self: MaskInputs, region: tuple[slice, ...], chosen: ObjectParameters) -> np.ndarray:
        places.append(region[2].start)
        return upsampled(self, region, chosen)

    monkeypatch.setattr(MaskInputs, "upsampled_flows", watched)
    labels, blocked_count = segment(ideal(resin), grid, grid, parameters, execution=in_blocks)
    # The first of four blocks holds cells, the second has some in its halo.
    assert sorted(places) == [0, 48]
    assert blocked_count == count
    assert np.array_equal(labels, whole)


def test_labels_do_not_depend_on_the_number_of_threads(cells: np.ndarray) -> None:
    grid = Grid(cells.shape, (20.0, 20.0, 20.0))
    noisy = ideal(cells)
    noisy[:3] += np.random.default_rng(0).normal(0, 3, noisy[:3].shape).astype(np.float32)
    parameters = EVERYTHING.model_copy(update={"merge_boundary_strength": 0.1, "expansion_um": 0.04})
    image = np.random.default_rng(1).integers(0, 255, cells.shape).astype(np.uint8)
    labels, counts = [], []
    # One worker twice, since its labels must not depend on chance either.
    for workers in (1, 1, 2):
        execution = Execution(workers=workers, block_voxels=32, block_halo_voxels=16)
        found, count = segment(noisy, grid, grid, parameters, image, execution)
        labels.append(found)
        counts.append(count)
    assert counts[0] > 20
    assert np.array_equal(labels[1], labels[0])
    assert np.array_equal(labels[2], labels[0])


def test_min_diameter_applies_to_objects_across_blocks() -> None:
    labels = np.zeros((40, 40, 256), np.uint32)
    labels[8:32, 8:32, 116:134] = 1
    grid = Grid(labels.shape, (10.0, 10.0, 10.0))
    parameters = ObjectParameters(min_diameter_um=0.24, flow_smoothing=0.0)
    execution = Execution(block_voxels=128, block_halo_voxels=24)
    # 24 x 24 x 18 voxels are a ball of 27 voxels in diameter; the part in either block is below 24.
    out, count = segment(ideal(labels), grid, grid, parameters, execution=execution)
    assert count == 1
    assert (out == labels).mean() > 0.999


def test_matching_pairs_have_an_iou_of_at_least_half() -> None:
    first = np.array([[1, 1, 1, 1, 0, 2, 2, 2]], np.uint32)
    second = np.array([[7, 7, 7, 0, 0, 8, 9, 9]], np.uint32)
    assert matching_pairs(first, second) == [(1, 7), (2, 9)]
    assert matching_pairs(first, np.zeros_like(first)) == []


def test_flow_error_threshold_applies_to_stitched_objects() -> None:
    grid = Grid((30, 30, 90), (20.0, 20.0, 20.0))
    coarse = np.zeros(grid.shape, np.uint32)
    coarse[5:25, 5:25, 10:30], coarse[5:25, 5:25, 35:85] = 1, 2
    flows = ideal(coarse)
    z, y, x = np.indices((30, 30, 34)) - np.array([6, 6, 12])[:, None, None, None]
    flows[:3, :, :, :34] = -5 * np.stack([z, y, x]) / np.maximum(np.sqrt(z**2 + y**2 + x**2), 1)
    target = Grid((30, 60, 180), (20.0, 10.0, 10.0), (0.0, -5.0, -5.0))
    execution = Execution(block_voxels=128, block_halo_voxels=32)
    counts = []
    for threshold in (0.0, 0.4):
        parameters = ObjectParameters(min_diameter_um=0.0, flow_error_threshold=threshold)
        labels, count = segment(flows, grid, target, parameters, execution=execution)
        counts.append(count)
    assert counts == [2, 1]
    assert labels[15, 30, 40] == 0
    assert (labels[12:48:6, 15:45, 75:165] == 1).all()


@pytest.mark.slow
def test_ideal_flows_of_real_neurites_give_whole_bodies_from_blocks(shared_data: Path) -> None:
    with np.load(shared_data / "fibsem_drosophila" / "bodies.npz") as arrays:
        bodies = cc3d.connected_components(
            np.ascontiguousarray(arrays["labels"][:160, :160, :160]), connectivity=6
        )
    flows = ideal(bodies).astype(np.float16)
    grid = Grid(bodies.shape, (10.0, 10.0, 10.0))
    parameters = EVERYTHING.model_copy(update={"min_diameter_um": 0.1})
    results = []
    # Blocks below the smallest allowed size, so that 8 of them fit; neurites are far longer than any block.
    for block, halo in ((1024, 16), (80, 64)):
        execution = Execution(block_voxels=block, block_halo_voxels=halo)
        labels, _ = segment(flows, grid, grid, parameters, execution=execution)
        results.append(match_labels(bodies, labels, min_voxels=500).f1)
    whole, blocks = results
    assert whole > 0.95
    assert abs(whole - blocks) <= 0.01
