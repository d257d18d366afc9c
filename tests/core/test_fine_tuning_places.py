"""Places of slices by uncertainty, and the labels from which labelling starts."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from spherovem_core.errors import LabelsError
from spherovem_core.parameters import FineTuningParameters, SliceCuttingParameters
from spherovem_core.segmentation import Grid
from spherovem_core.segmentation.fine_tuning import (
    SliceOrigin,
    labels_on_slice,
    labels_path,
    object_tiles,
    read_slices,
    uncertain_places,
    uncertainty_tiles,
    write_slice,
    write_starting_labels,
)
from spherovem_core.segmentation.fine_tuning.uncertainty import BLOCK_TILES, TILE
from spherovem_core.segmentation.grid import PlacedVolume

SPACING, ORIGIN = (50.0, 10.0, 20.0), (25.0, -5.0, 3.0)


def test_uncertainty_is_the_mean_entropy_in_bits() -> None:
    field = np.full((4, 20, 17, 9), 30.0, np.float32)
    field[-1, :8, :8, :8] = 0.0
    field[-1, 8:16, :8, :8] = -np.log(3.0)
    field[-1, 16:, :8, :8] = [-60.0, 60.0] * 4
    tiles = uncertainty_tiles(field)
    assert tiles.shape == (3, 3, 2)
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    np.testing.assert_allclose(tiles[:, 0, 0], [1.0, quarter, 0.0], atol=1e-5)
    assert tiles[:, 1:].max() < 1e-5


def test_flows_that_lack_length_are_uncertain_inside_of_objects_alone() -> None:
    field = np.zeros((4, 8, 8, 32), np.float32)
    field[-1] = 40.0
    # Planes that agree on z, one of two that is undecided, both undecided; the same in background.
    field[0, ..., :8], field[0, ..., 8:16] = 10.0, 5.0
    field[-1, ..., 24:] = -40.0
    np.testing.assert_allclose(uncertainty_tiles(field)[0, 0], [0.0, 0.5, 1.0, 0.0], atol=1e-6)


def test_entropy_and_missing_length_count_together_and_never_beyond_one() -> None:
    logit, length = -np.log(3.0), 4.0
    field = np.zeros((4, 8, 8, 8), np.float32)
    field[1], field[-1] = length, logit
    entropy = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    expected = entropy + (1 - entropy) * 0.25 * (1 - length / 10)
    assert uncertainty_tiles(field)[0, 0, 0] == pytest.approx(expected, rel=1e-5)
    field[-1] = field[1] = 0.0
    assert uncertainty_tiles(field)[0, 0, 0] == pytest.approx(1.0)


def test_uncertainty_in_blocks_is_that_of_the_whole() -> None:
    shape = (9, TILE * BLOCK_TILES + 21, 40)
    logit = np.random.default_rng(3).normal(0, 2, shape).astype(np.float32)
    p = 1 / (1 + np.exp(-logit.astype(np.float64)))
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    found = uncertainty_tiles(logit[None])
    for index in ((0, 0, 0), (1, 3, 4), (0, BLOCK_TILES - 1, 2), (0, BLOCK_TILES + 2, 1)):
        part = tuple(slice(n * TILE, (n + 1) * TILE) for n in index)
        assert found[index] == pytest.approx(entropy[part].mean(), rel=1e-5)


def test_tiles_of_objects_hold_the_fraction_that_they_fill() -> None:
    labels = np.zeros((16, 320, 80), np.uint32)
    labels[:, :160] = 5
    labels[:8, 160:240] = 9
    labels[8:, 160:240] = 7
    # Tiles of 8 voxels of 100 nm: 16 slices of 50 nm are one of them, 80 rows of 10 nm, 40 columns of 20 nm.
    grid = Grid((8, 32, 16), (100.0,) * 3, (25.0 + ORIGIN[0], 45.0 + ORIGIN[1], 40.0 + ORIGIN[2]))
    tiles = object_tiles(PlacedVolume(labels, SPACING, ORIGIN), (5, 7), grid)
    np.testing.assert_allclose(
        tiles, np.array([1.0, 1.0, 0.5, 0.0])[None, :, None] * np.ones((1, 4, 2)), atol=0.02
    )


def test_places_lie_where_the_uncertainty_is_and_in_all_planes() -> None:
    shape = (80, 240, 160)
    tiles = np.full((10, 30, 20), 0.01, np.float32)
    tiles[6:8, 20:24, 3:6] = 1.0
    parameters = SliceCuttingParameters(slice_count=10, side_px=64)
    places = uncertain_places(tiles, shape, parameters)
    assert len(places) == 10
    assert min(sum(axis == each for axis, _ in places) for each in range(3)) >= 2
    for axis, region in places:
        assert [s.stop - s.start for s in region] == [1 if n == axis else 64 for n in range(3)]
        assert all(0 <= s.start < s.stop <= n for s, n in zip(region, shape, strict=True))
    through = [region for _, region in places if _meets(region, (48, 160, 24), (64, 192, 48))]
    assert len(through) >= 3
    assert (
        len({(axis, region[axis].start, region[0].start, region[1].start) for axis, region in places}) == 10
    )


def _meets(region: tuple[slice, ...], low: tuple[int, ...], high: tuple[int, ...]) -> bool:
    return all(s.start < b and s.stop > a for s, a, b in zip(region, low, high, strict=True))


def test_volume_of_one_tile_gets_slices_in_all_planes() -> None:
    places = uncertain_places(
        np.full((1, 6, 6), 0.5, np.float32), (5, 44, 47), SliceCuttingParameters(side_px=64)
    )
    assert {axis for axis, _ in places} == {0, 1, 2}
    assert sum(axis == 0 for axis, _ in places) == 1
    for _, region in places:
        assert all(0 <= s.start < s.stop <= n for s, n in zip(region, (5, 44, 47), strict=True))


def test_slices_of_a_plane_have_positions_of_their_own() -> None:
    tiles = np.zeros((4, 40, 40), np.float32)
    tiles[1, 5], tiles[1, 30], tiles[3] = 0.9, 0.8, 0.01
    places = uncertain_places(tiles, (27, 320, 320), SliceCuttingParameters(slice_count=30, side_px=64))
    for axis in range(3):
        positions = [region[axis].start for each, region in places if each == axis]
        assert len(positions) == len(set(positions))
        assert len(positions) >= 6


def test_no_place_lies_where_nothing_is_uncertain() -> None:
    tiles = np.zeros((4, 6, 6), np.float32)
    assert uncertain_places(tiles, (32, 48, 48), SliceCuttingParameters()) == []


@pytest.mark.parametrize("plane", ["xy", "xz", "yz"])
def test_starting_labels_are_those_of_the_nearest_voxel(plane: str) -> None:
    shape = (12, 60, 40)
    labels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint32) % 60_000
    origin = SliceOrigin("a", plane, 310.0, (40.0, 60.0), 40.0, 0.0, 1.0)
    found = labels_on_slice(PlacedVolume(labels, SPACING, ORIGIN), origin, (9, 7))
    axis = next(n for n, name in enumerate("zyx") if name not in plane)
    rows, columns = (n for n in range(3) if n != axis)
    for i in range(9):
        for j in range(7):
            at = np.zeros(3)
            at[axis], at[rows], at[columns] = 310.0, 40.0 + 40.0 * i, 60.0 + 40.0 * j
            voxel = np.rint((at - ORIGIN) / SPACING).astype(int)
            assert found[i, j] == labels[tuple(np.clip(voxel, 0, np.array(shape) - 1))]


def test_large_numbers_are_counted_from_one() -> None:
    labels = np.zeros((1, 64, 64), np.uint32)
    labels[0, :32], labels[0, 32:40] = 4_000_000_000, 70_000
    origin = SliceOrigin("a", "xy", 0.0, (0.0, 0.0), 10.0, 0.0, 1.0)
    found = labels_on_slice(PlacedVolume(labels, (10.0,) * 3), origin, (64, 64))
    assert found.dtype == np.uint16
    assert sorted(np.unique(found)) == [0, 1, 2]
    assert len({found[0, 0], found[35, 0], found[50, 0]}) == 3


def _labelled(folder: Path, source: str) -> Path:
    image = write_slice(
        folder,
        np.full((64, 70), 100, np.uint8),
        SliceOrigin("a", "xy", 100.0, (0.0, 0.0), 100.0, 50.0, 150.0),
    )
    labels = np.zeros((64, 70), np.uint16)
    labels[10:30, 20:50] = 7
    path = labels_path(image, "cells")
    write_starting_labels(path, labels, source)
    return path


def test_predicted_labels_are_refused_until_a_person_has_saved_them(tmp_path: Path) -> None:
    path = _labelled(tmp_path, "predicted")
    parameters = FineTuningParameters(network="phantom-compact")
    with pytest.raises(LabelsError, match=rf"labels are as predicted: {path}; correct and save them"):
        read_slices(tmp_path, parameters)
    labels = tifffile.imread(path)
    tifffile.imwrite(path, labels)
    assert read_slices(tmp_path, parameters)[0].labels.sum() == 7 * 600


def test_predicted_labels_that_were_changed_count_although_their_mark_is_kept(tmp_path: Path) -> None:
    path = _labelled(tmp_path, "predicted")
    with tifffile.TiffFile(path) as file:
        labels, description = file.asarray(), file.pages[0].description
    labels[15, 30] = 0
    tifffile.imwrite(path, labels, description=description, metadata=None)
    assert read_slices(tmp_path, FineTuningParameters(network="phantom-compact"))[0].labels[15, 30] == 0


def test_labels_of_corrections_count_as_they_are(tmp_path: Path) -> None:
    _labelled(tmp_path, "corrected")
    assert len(read_slices(tmp_path, FineTuningParameters(network="phantom-compact"))) == 1
