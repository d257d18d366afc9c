"""Import of label files as corrections: every format and level, parts of a volume, and files that do not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from corrections_reference import apply_plainly, same_up_to_numbers
from label_scenes import (
    SHAPE,
    SPACING,
    WRITERS,
    Writer,
    apply_corrections,
    as_npy,
    as_ome_tiff,
    cells,
    write_labels,
)
from numpy.typing import NDArray

from spherovem_core.corrections import Delete, Journal, Merge, Replace, correct_labels
from spherovem_core.corrections.label_import import LabelImport, plan_import, record_import
from spherovem_core.errors import CorrectionError, IncompleteArtifactError, LabelsError
from spherovem_core.store import Layout, open_array

GROUP = "registered/labels/cells"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return write_labels(tmp_path_factory.mktemp("results") / "spheroid", cells())


def level_of(layout: Layout, level: int) -> tuple[NDArray[np.uint32], Any]:
    stored = open_array(layout, GROUP, level)
    return stored[...], stored.spacing_nm


def corrected(layout: Layout, found: LabelImport) -> NDArray[np.int64]:
    return apply_plainly(open_array(layout, GROUP)[...], found.operations, SPACING)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("write", WRITERS)
def test_exported_labels_need_no_operation(layout: Layout, tmp_path: Path, write: Writer, level: int) -> None:
    labels, spacing = level_of(layout, level)
    found = plan_import(layout, "cells", str(write(labels, spacing, tmp_path)))
    assert found.operations == ()
    assert found.level == level
    assert found.covers_the_volume
    assert found.comparison.changes == ()
    assert found.comparison.kept_count == len(np.unique(labels)) - 1


def as_plain_npy(labels: NDArray[Any], folder: Path) -> Path:
    np.save(folder / "a.npy", labels)
    return folder / "a.npy"


def as_tiff(labels: NDArray[Any], folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", labels, byteorder=">" if labels.dtype.byteorder == ">" else "<")
    return folder / "a.tif"


def as_nifti(labels: NDArray[Any], folder: Path) -> Path:
    header = nibabel.Nifti1Header(endianness=">" if labels.dtype.byteorder == ">" else "<")
    header.set_data_dtype(labels.dtype)
    nibabel.save(nibabel.Nifti1Image(labels.T, np.diag([*SPACING[::-1], 1]), header), folder / "a.nii")
    return folder / "a.nii"


def as_zarr(labels: NDArray[Any], folder: Path) -> Path:
    zarr.create_array(folder / "a.zarr", data=labels, chunks=(8, 64, 64), zarr_format=2)
    return folder / "a.zarr"


@pytest.mark.parametrize("dtype", ["u2", ">u2", "i2", ">i2", "i4", ">i4", "i8", "f4", ">f4"])
@pytest.mark.parametrize("write", [as_plain_npy, as_tiff, as_nifti, as_zarr])
def test_labels_of_every_type_and_byte_order_are_the_same(
    layout: Layout, tmp_path: Path, write: Callable[[NDArray[Any], Path], Path], dtype: str
) -> None:
    found = plan_import(layout, "cells", str(write(cells().astype(dtype), tmp_path)))
    assert found.operations == ()
    assert found.comparison.kept_count == len(np.unique(cells())) - 1


@pytest.mark.parametrize("level", [0, 1, 2])
def test_own_zarr_store_needs_no_operation(layout: Layout, level: int) -> None:
    found = plan_import(layout, "cells", str(layout.volume / GROUP / str(level)))
    assert found.operations == ()
    assert found.level == level


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("write", WRITERS)
def test_edits_in_every_format_become_operations(
    layout: Layout, tmp_path: Path, write: Writer, level: int
) -> None:
    labels, spacing = level_of(layout, level)
    first, second, third = np.unique(labels)[[3, 6, 12]]
    edited = np.where(labels == second, first, labels)
    edited[labels == third] = 0
    found = plan_import(layout, "cells", str(write(edited, spacing, tmp_path)))
    assert [type(operation) for operation in found.operations] == [Delete, Merge]
    whole = cells()
    expected = np.where(whole == second, first, whole)
    expected[whole == third] = 0
    assert same_up_to_numbers(corrected(layout, found), expected)
    counts = found.comparison.counts
    assert (counts["merged"], counts["gone"]) == (1, 1)
    assert counts["changed"] == counts["split"] == counts["new"] == 0


def test_part_of_the_volume_changes_only_there(layout: Layout, tmp_path: Path) -> None:
    whole = cells()
    place = (slice(2, 8), slice(40, 200), slice(30, 260))
    part = whole[place].copy()
    inside = np.unique(part)[-1]
    sizes = {label: np.count_nonzero(whole == label) for label in np.unique(part) if label}
    contained = [label for label, size in sizes.items() if np.count_nonzero(part == label) == size]
    reaching = next(label for label in sizes if label not in contained and label != inside)
    part[part == reaching] = 0
    name = str(as_npy(part, SPACING, tmp_path))
    found = plan_import(layout, "cells", name, file_spacing_nm=SPACING, file_origin_nm=(40.0, 400.0, 300.0))
    assert not found.covers_the_volume
    assert [type(operation) for operation in found.operations] == [Replace]
    expected = whole.copy()
    expected[place] = part
    np.testing.assert_array_equal(corrected(layout, found), expected)


def test_wider_file_counts_only_inside_the_volume(layout: Layout, tmp_path: Path) -> None:
    wide = np.pad(cells(), 5)
    wide[0, :, :] = 999
    found = plan_import(
        layout,
        "cells",
        str(as_npy(wide, SPACING, tmp_path)),
        file_spacing_nm=SPACING,
        file_origin_nm=(-100.0, -50.0, -50.0),
    )
    assert found.operations == ()
    assert found.covers_the_volume


def test_finer_file_is_compared_on_the_grid_of_the_volume(layout: Layout, tmp_path: Path) -> None:
    fine = np.repeat(cells(), 2, axis=0)
    name = str(as_npy(fine, SPACING, tmp_path))
    found = plan_import(layout, "cells", name, file_spacing_nm=(10.0, 10.0, 10.0))
    assert found.operations == ()


SAMPLINGS = {
    "corners": (slice(None), slice(None, None, 2), slice(None, None, 2)),
    "centres": (slice(1, None, 3), slice(2, None, 5), slice(2, None, 5)),
    "fifths": (slice(None), slice(1, None, 5), slice(1, None, 5)),
}


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_labels_that_another_program_made_coarser_change_only_where_they_were_edited(
    layout: Layout, tmp_path: Path, sampling: str
) -> None:
    place = SAMPLINGS[sampling]
    coarse = cells()[place].copy()
    spacing = tuple(side * (part.step or 1) for side, part in zip(SPACING, place, strict=True))
    options = {"file_spacing_nm": spacing}
    if sampling == "centres":
        options["file_origin_nm"] = (20.0, 20.0, 20.0)
    found = plan_import(layout, "cells", str(as_npy(coarse, SPACING, tmp_path)), **options)
    assert found.operations == ()

    assert found.tolerated_voxels == 0
    first, second, third = np.unique(coarse)[[3, 6, 12]]
    edited = np.where(coarse == second, first, coarse)
    edited[coarse == third] = 0
    found = plan_import(layout, "cells", str(as_npy(edited, SPACING, tmp_path)), **options)
    assert [type(operation) for operation in found.operations] == [Delete, Merge]
    assert found.comparison.kept_count == found.comparison.present_count - 3


def test_object_cut_by_another_program_is_cut_through_and_nothing_else_changes(
    layout: Layout, tmp_path: Path
) -> None:
    coarse = cells()[:, ::2, ::2].copy()
    largest = np.bincount(coarse.reshape(-1))[1:].argmax() + 1
    x = np.arange(coarse.shape[2])
    middle = int(np.median(np.nonzero(coarse == largest)[2]))
    coarse[(coarse == largest) & (x >= middle)] = coarse.max() + 1
    found = plan_import(layout, "cells", str(as_npy(coarse, SPACING, tmp_path)))
    assert [type(operation) for operation in found.operations] == [Replace]
    whole, result = cells(), corrected(layout, found)
    np.testing.assert_array_equal(result[whole != largest], whole[whole != largest])
    wide = np.arange(whole.shape[2])
    (left,) = np.unique(result[(whole == largest) & (wide < 2 * middle - 3)])
    (right,) = np.unique(result[(whole == largest) & (wide > 2 * middle + 3)])
    assert left != right


def test_exact_import_of_sampled_labels_paints_borders(layout: Layout, tmp_path: Path) -> None:
    name = str(as_npy(cells()[:, ::2, ::2], SPACING, tmp_path))
    found = plan_import(layout, "cells", name, exact=True)
    assert found.tolerated_voxels == 0
    assert len(found.operations) > 20
    assert {type(operation) for operation in found.operations} == {Replace}


def test_operations_are_recorded_at_once_with_the_file_and_a_second_time_refused(tmp_path: Path) -> None:
    layout = write_labels(tmp_path / "spheroid", cells())
    labels = cells()
    labels[labels == np.unique(labels)[4]] = 0
    labels[labels == np.unique(labels)[7]] = 0
    found = plan_import(layout, "cells", str(as_npy(labels, SPACING, tmp_path)))
    entries, outcomes = record_import(layout, found, author="Ada", reason="checked by hand")
    assert [entry.operation for entry in entries] == list(found.operations)
    assert [outcome.reason for outcome in outcomes] == ["", ""]
    assert {entry.reason for entry in entries} == {"checked by hand (import of cells.npy)"}
    result, applied = correct_labels(cells(), SPACING, entries)
    np.testing.assert_array_equal(result, labels)
    assert applied.count == len(np.unique(labels)) - 1
    before = layout.journal("cells").read_bytes()
    with pytest.raises(CorrectionError, match="was written by Ada"):
        record_import(layout, found)
    assert layout.journal("cells").read_bytes() == before
    with pytest.raises(CorrectionError, match="do not hold the corrections"):
        plan_import(layout, "cells", str(tmp_path / "cells.npy"))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_second_import_of_a_file_needs_no_operation(tmp_path: Path, level: int) -> None:
    """Corrections change the most frequent label of coarse voxels of neighbours, where the file has the former one."""
    layout = write_labels(tmp_path / "spheroid", cells())
    labels, spacing = level_of(layout, level)
    numbers = np.unique(labels)
    for first, second, third in numbers[1:19].reshape(6, 3):
        labels[labels == first] = 0
        labels[labels == third] = second
    name = str(as_ome_tiff(labels, spacing, tmp_path))
    entries, _ = record_import(layout, plan_import(layout, "cells", name))
    assert len(entries) >= 6
    apply_corrections(layout, cells())
    again = plan_import(layout, "cells", name)
    assert again.operations == ()
    assert again.comparison.changes == ()
    assert (again.tolerated_voxels > 0) == (level > 0)
    # An edit of a kept object is still found.
    labels[labels == numbers[-1]] = 0
    (delete,) = plan_import(layout, "cells", str(as_ome_tiff(labels, spacing, tmp_path))).operations
    assert isinstance(delete, Delete)


def test_nothing_is_recorded_where_nothing_differs(layout: Layout, tmp_path: Path) -> None:
    found = plan_import(layout, "cells", str(as_ome_tiff(cells(), SPACING, tmp_path)))
    assert record_import(layout, found) == ((), ())
    assert not layout.journal("cells").exists()
    assert Journal(layout.journal("cells")).digest == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda labels: labels[:, :-1], "9 × 299 × 290"),
        (lambda labels: labels + 0.5, "expected whole numbers"),
        (lambda labels: labels.astype(np.int64) * 2**32, "at most 4294967295"),
        (np.zeros_like, "no label in the volume"),
    ],
)
def test_files_that_are_no_labels_of_the_volume_are_refused(
    layout: Layout, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    np.save(tmp_path / "bad.npy", change(cells()))
    with pytest.raises(LabelsError, match=message):
        plan_import(layout, "cells", str(tmp_path / "bad.npy"))


def test_acquisition_without_labels_is_refused(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(IncompleteArtifactError, match="nuclei"):
        plan_import(layout, "nuclei", str(as_npy(cells(), SPACING, tmp_path)))


def test_mirrored_labels_need_a_word(layout: Layout, tmp_path: Path) -> None:
    name = str(as_npy(cells()[:, ::-1, ::-1], SPACING, tmp_path))
    with pytest.raises(CorrectionError, match=r"% of the volume of the \d+ present cells .*mirrored"):
        plan_import(layout, "cells", name)
    assert plan_import(layout, "cells", name, any_overlap=True).operations


def test_shape_of_the_scene_has_three_levels(layout: Layout) -> None:
    assert [level_of(layout, level)[0].shape for level in range(3)] == [SHAPE, (9, 150, 145), (5, 75, 73)]
