"""Slices for fine-tuning: places of the cuts, reading, and the split into training and held-out slices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fine_tuning_scenes import write_labels

from spherovem_core.errors import LabelsError
from spherovem_core.parameters import FineTuningParameters, SliceCuttingParameters
from spherovem_core.segmentation import Grid
from spherovem_core.segmentation.fine_tuning import (
    LabelledSlice,
    SliceOrigin,
    cut_slices,
    read_slices,
    split_by_plane,
    split_slices,
    write_slice,
)
from spherovem_core.segmentation.fine_tuning.known_pixels import drop_unknown_objects
from spherovem_core.segmentation.fine_tuning.places import spread_places
from spherovem_core.segmentation.fine_tuning.slice_files import read_slice, unknown_path
from spherovem_core.segmentation.fine_tuning.targets import training_targets

SPACING = (50.0, 10.0, 20.0)
ORIGIN = (25.0, -5.0, 3.0)
SHAPE = (30, 120, 90)
CUT = SliceCuttingParameters(slices_per_plane=3, flow_spacing_nm=40.0, side_px=64)
PARAMETERS = FineTuningParameters(network="phantom-compact", flow_spacing_nm=40.0)


def ramp() -> np.ndarray:
    axes = [o + s * np.arange(n) for o, s, n in zip(ORIGIN, SPACING, SHAPE, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return (40 + 0.03 * z + 0.05 * y + 0.04 * x).astype(np.float32)


def test_slices_show_the_volume_at_their_origin() -> None:
    found = list(cut_slices(ramp(), Grid(SHAPE, SPACING, ORIGIN), "ramp", CUT))
    assert [origin.plane for _, origin in found] == ["xy"] * 3 + ["xz"] * 3 + ["yz"] * 3
    for image, origin in found:
        axis = next(n for n, name in enumerate("zyx") if name not in origin.plane)
        rows, columns = (n for n in range(3) if n != axis)
        places = [np.array(origin.position_nm)] * 3
        places[rows] = (origin.corner_nm[0] + 40.0 * np.arange(image.shape[0]))[:, None]
        places[columns] = (origin.corner_nm[1] + 40.0 * np.arange(image.shape[1]))[None]
        expected = 40 + 0.03 * places[0] + 0.05 * places[1] + 0.04 * places[2]
        # Rounding by half a grey value; one pixel at the border of the volume repeats it.
        assert np.abs(image - expected)[1:-1, 1:-1].max() <= 0.5 + 1e-3, origin
        if 100 < origin.position_nm < 1000:
            assert np.abs(image - expected).mean() < 0.4


def test_slices_carry_black_and_white_of_the_volume() -> None:
    volume = ramp()
    for _, origin in cut_slices(volume, Grid(SHAPE, SPACING, ORIGIN), "ramp", CUT):
        assert (origin.black, origin.white) == pytest.approx(tuple(np.percentile(volume, (1, 99))), abs=0.5)
    # Intensities beyond a byte are scaled into it, black and white with them.
    for image, origin in cut_slices(100 * volume, Grid(SHAPE, SPACING, ORIGIN), "ramp", CUT):
        assert 0 < origin.black < origin.white < 255
        assert origin.white - origin.black > 100
        assert image.min() > 0
        assert image.max() < 255


def test_slices_are_spread_over_equal_parts_of_the_volume() -> None:
    shape = (40, 300, 200)
    places = spread_places(shape, SliceCuttingParameters(slices_per_plane=8, side_px=64))
    assert [axis for axis, _ in places] == [0] * 8 + [1] * 8 + [2] * 8
    for axis in range(3):
        regions = [region for other, region in places if other == axis]
        assert [int(r[axis].start * 8 / shape[axis] + 1e-9) for r in regions] == list(range(8))
        for region in regions:
            sides = [s.stop - s.start for s in region]
            assert sides == [1 if n == axis else min(64, m) for n, m in enumerate(shape)]
            assert all(0 <= s.start < s.stop <= n for s, n in zip(region, shape, strict=True))
    thin = spread_places((3, 300, 200), SliceCuttingParameters(slices_per_plane=8))
    assert [axis for axis, _ in thin].count(0) == 3
    again = [spread_places(shape, SliceCuttingParameters(seed=seed)) for seed in (0, 0, 1)]
    assert again[0] == again[1] != again[2]


def test_names_of_slices_hold_plane_and_position(tmp_path: Path) -> None:
    origin = SliceOrigin("spheroid 3", "xz", 12499.8, (0.0, 20.0), 100.0, 30.0, 200.0)
    image = np.arange(70 * 80, dtype=np.uint8).reshape(70, 80)
    path = write_slice(tmp_path, image, origin)
    assert path.name == "spheroid 3-xz-y00012500nm.tif"
    pixels, read = read_slice(path)
    assert np.array_equal(pixels, image)
    assert read == origin


def one_slice(folder: Path, name: str = "a-xy-z00000100nm", labels: np.ndarray | None = None) -> Path:
    """Write a slice with pixels of 40 nm and one object."""
    origin = SliceOrigin("a", "xy", 100.0, (0.0, 0.0), 40.0, 50.0, 150.0)
    folder.mkdir(exist_ok=True)
    image = write_slice(folder, np.full((64, 70), 100, np.uint8), origin)
    image = image.rename(folder / f"{name}.tif")
    if labels is None:
        labels = np.zeros((64, 70), np.uint16)
        labels[10:30, 20:50] = 7
    write_labels(image, labels)
    return image


def test_slices_are_read_with_normalised_intensities(tmp_path: Path) -> None:
    one_slice(tmp_path)
    foreign = tmp_path / "drawn elsewhere.tif"
    tifffile.imwrite(foreign, np.linspace(1000, 3000, 64 * 70).reshape(64, 70).astype(np.uint16))
    write_labels(foreign, np.eye(64, 70, dtype=np.int32))
    own, other = read_slices(tmp_path, PARAMETERS)
    assert (own.name, own.plane) == ("a-xy-z00000100nm", "xy")
    # Halfway between the black and white in its file, not between its own percentiles.
    assert np.allclose(own.image, 0.5)
    assert own.labels.sum() == 7 * 20 * 30
    assert other.plane == "unknown"
    assert np.allclose(np.percentile(other.image, (1, 99)), (0, 1), atol=0.01)
    assert len({*own.digests, *other.digests}) == 4


def no_folder(folder: Path) -> None:
    folder.rmdir()


def empty(folder: Path) -> None:
    pass


def no_labels(folder: Path) -> None:
    for n in range(7):
        image = one_slice(folder, f"s{n}")
        (folder / "labels" / f"{image.stem}-cells.tif").unlink()


def other_shape(folder: Path) -> None:
    one_slice(folder, labels=np.ones((64, 60), np.uint8))


def no_objects(folder: Path) -> None:
    one_slice(folder, "good")
    one_slice(folder, "blank", np.zeros((64, 70), np.uint8))


def not_labels(folder: Path) -> None:
    one_slice(folder, labels=np.ones((64, 70), np.float32))


def colours(folder: Path) -> None:
    one_slice(folder, labels=np.ones((64, 70, 3), np.uint8))


def cut_file(folder: Path) -> None:
    image = one_slice(folder)
    image.write_bytes(image.read_bytes()[:400])


def no_tiff(folder: Path) -> None:
    (folder / "a.tif").write_text("not a picture")
    write_labels(folder / "a.tif", np.ones((5, 5), np.uint8))


def other_pixels(folder: Path) -> None:
    origin = SliceOrigin("a", "xy", 100.0, (0.0, 0.0), 100.0, 50.0, 150.0)
    write_labels(write_slice(folder, np.zeros((64, 70), np.uint8), origin), np.ones((64, 70), np.uint8))


def mask_of_another_shape(folder: Path) -> None:
    image = one_slice(folder)
    tifffile.imwrite(unknown_path(image, "cells"), np.ones((64, 60), np.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_folder, "is not a folder"),
        (empty, "holds no .tif file; cut slices"),
        (no_labels, r"labels are missing: .*s0-cells.tif.* and 2 others; draw"),
        (other_shape, r"-cells.tif has shape \(64, 60\) and .*nm.tif \(64, 70\)"),
        (no_objects, "no cells in labels: .*blank-cells.tif; label them"),
        (mask_of_another_shape, r"-cells-unknown.tif has shape \(64, 60\) and .*nm.tif \(64, 70\)"),
        (not_labels, "holds float32 from 1.0 to 1.0; expected labels"),
        (colours, "expected one grey plane"),
        (cut_file, "a-xy-z00000100nm.tif"),
        (no_tiff, "a.tif cannot be read as TIFF"),
        (other_pixels, "pixels of 100 nm, flow_spacing_nm is 40; set it to 100"),
    ],
)
def test_bad_slices_are_refused_by_name(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    make(folder)
    with pytest.raises(LabelsError, match=message):
        read_slices(folder, PARAMETERS)


def named(plane: str, count: int) -> list[LabelledSlice]:
    empty = np.zeros((1, 1))
    return [
        LabelledSlice(f"{plane}{n:02d}", plane, empty.astype(np.float32), empty.astype(np.uint32), ("", ""))
        for n in range(count)
    ]


def test_the_same_fraction_of_every_plane_is_held_out() -> None:
    slices = [*named("xy", 10), *named("xz", 5), *named("yz", 2), *named("unknown", 1)]
    training, held_out = split_by_plane(slices, 0.2, seed=0)
    counts = {p: sum(one.plane == p for one in held_out) for p in ("xy", "xz", "yz", "unknown")}
    assert counts == {"xy": 2, "xz": 1, "yz": 1, "unknown": 0}
    assert sorted(one.name for one in training + held_out) == sorted(one.name for one in slices)
    names = [[one.name for one in split_by_plane(slices[::-1], 0.2, seed)[1]] for seed in (0, 1)]
    assert names[0] == [one.name for one in held_out]
    assert names[1] != names[0]
    with pytest.raises(LabelsError, match="at least two of a plane"):
        split_by_plane([*named("xy", 1), *named("xz", 1)], 0.2, seed=0)


def test_slices_are_split_in_three() -> None:
    def counts(*slices: LabelledSlice) -> tuple[int, int, int]:
        split = split_slices(slices, PARAMETERS)
        parts = (split.training, split.choice, split.held_out)
        assert sorted(one.name for part in parts for one in part) == sorted(one.name for one in slices)
        return len(split.training), len(split.choice), len(split.held_out)

    assert counts(*named("xy", 20)) == (13, 3, 4)
    assert counts(*named("xy", 5)) == (3, 1, 1)
    assert counts(*named("xy", 3)) == (1, 1, 1)
    assert counts(*named("xy", 2)) == (1, 0, 1)
    mixed = split_slices([*named("xy", 7), *named("xz", 7), *named("yz", 7)], PARAMETERS)
    assert sorted(one.plane for one in mixed.choice) == ["xy", "xz", "yz"]


def test_a_mask_of_unknown_pixels_takes_the_objects_that_it_cuts_with_it(tmp_path: Path) -> None:
    labels = np.zeros((64, 70), np.uint16)
    labels[10:20, 5:15], labels[10:20, 30:50], labels[40:50, 5:15] = 1, 2, 1
    image = one_slice(tmp_path, labels=labels)
    unknown = np.zeros((64, 70), np.uint8)
    unknown[:, 40:] = 255
    tifffile.imwrite(unknown_path(image, "cells"), unknown)
    (one,) = read_slices(tmp_path, PARAMETERS)
    assert one.known is not None
    # The object across the border is unknown as a whole; the two pieces of the other are judged by themselves.
    expected = unknown == 0
    expected[10:20, 30:40] = False
    assert np.array_equal(one.known, expected)
    assert np.array_equal(one.labels, np.where(expected, labels, 0))
    assert len(one.digests) == 3
    assert np.array_equal(training_targets(one.labels, one.known)[3] > 0, expected)


def test_zero_can_mean_unknown(tmp_path: Path) -> None:
    labels = np.zeros((64, 70), np.uint16)
    labels[10:20, 5:15], labels[30:40] = 1, 9
    one_slice(tmp_path, labels=labels)
    sparse = PARAMETERS.model_copy(update={"unlabelled": "unknown", "background_label": 9})
    (one,) = read_slices(tmp_path, sparse)
    assert np.array_equal(one.known, labels > 0)
    assert np.array_equal(one.labels, np.where(labels == 1, 1, 0))
    assert read_slices(tmp_path, PARAMETERS)[0].known is None


def test_objects_found_where_nothing_is_known_do_not_count() -> None:
    known = np.zeros((20, 20), bool)
    known[:, :10] = True
    found = np.zeros((20, 20), np.uint32)
    found[2:4, 2:6], found[8:10, 6:14], found[14:16, 9:16] = 1, 2, 3
    assert np.unique(drop_unknown_objects(found, known)).tolist() == [0, 1, 2]
    assert drop_unknown_objects(found, None) is found


def test_training_targets_equal_those_of_cellpose() -> None:
    from cellpose.dynamics import labels_to_flows

    y, x = np.meshgrid(np.arange(90), np.arange(100), indexing="ij")
    labels = np.zeros((90, 100), np.uint32)
    labels[np.hypot(y - 30, (x - 30) / 1.5) < 15] = 1
    labels[(abs(y - 60) < 20) & (abs(x - 75) < 12)] = 2
    theirs = labels_to_flows([labels.astype(np.int64)])[0]
    ours = training_targets(labels)
    assert np.array_equal(ours[2], theirs[1])
    assert ours[3].all()
    # At the two centres, where heat is fed in, the direction depends on rounding.
    differs = np.abs(ours[:2] - theirs[2:]).max(axis=0) > 1e-6
    assert {tuple(place) for place in np.argwhere(differs).tolist()} <= {(30, 30), (60, 75)}


def test_each_component_of_an_object_flows_to_its_own_centre() -> None:
    labels = np.zeros((40, 60), np.uint32)
    labels[10:30, 5:25] = labels[10:30, 35:55] = 3
    flow_x = training_targets(labels)[1]
    for left in (5, 35):
        assert flow_x[20, left + 2] > 0.9
        assert flow_x[20, left + 17] < -0.9


def test_a_gap_at_contacts_leaves_other_borders() -> None:
    labels = np.zeros((20, 30), np.uint32)
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2
    whole, gap = training_targets(labels)[2], training_targets(labels, contact_gap=True)[2]
    assert np.argwhere(whole != gap).tolist() == [[y, x] for y in range(5, 15) for x in (14, 15)]
