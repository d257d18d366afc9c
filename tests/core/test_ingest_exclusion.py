"""Slices that the user excludes are filled or cut off, whatever their files hold."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import SPACING_NM, textured, truncate, write_slices
from pydantic import ValidationError

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest import open_stack, read_stack, survey_stack
from spherovem_core.parameters import IngestParameters
from spherovem_core.parameters.exclusions import exclusion_entries
from spherovem_core.region_of_interest import RegionOfInterest

VOLUME = textured((12, 20, 30))


def excluding(*entries: str, **values: Any) -> IngestParameters:
    return IngestParameters(spacing_nm=SPACING_NM, exclude_slices=entries, **values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_slices(tmp_path / "run", VOLUME)


@pytest.mark.parametrize(
    ("entry", "gone"),
    [("4: fold", [4]), ("4-6: fold", [4, 5, 6]), ("slice_0004.tif: fold", [4]), ("slice_0004: a: b", [4])],
)
def test_excluded_slices_are_filled_in_their_place(folder: Path, entry: str, gone: list[int]) -> None:
    found = read_stack(folder, excluding(entry))
    assert found.table.query("excluded")["z"].tolist() == gone
    assert found.table["intensity_mean"].isna().tolist() == [z in gone for z in range(12)]
    kept = [z for z in range(12) if z not in gone]
    np.testing.assert_array_equal(found.image[kept], VOLUME[kept])
    middle = VOLUME[[gone[0] - 1, gone[-1] + 1]].astype(float).mean(0)
    np.testing.assert_array_equal(found.image[gone[len(gone) // 2]], np.rint(middle))


def test_excluded_slices_at_the_ends_are_cut_off(folder: Path) -> None:
    stack = open_stack(folder, excluding("0-1: trimming", "11: end", "5: fold"))
    assert (stack.shape, stack.numbers[0], stack.numbers[-1]) == ((9, 20, 30), 2, 10)
    assert list(stack.excluded) == [3]
    assert stack.metadata["slices_cut_off"] == "0, 1, 11"
    found = read_stack(folder, excluding("0-1: trimming", "11: end", "5: fold"))
    np.testing.assert_array_equal(found.image[:3], VOLUME[2:5])
    assert found.table["file"].iloc[0] == "slice_0002.tif"


def test_a_missing_slice_beside_a_cut_off_one_is_cut_off_too(folder: Path) -> None:
    (folder / "slice_0010.tif").unlink()
    assert open_stack(folder, excluding("11: end")).shape[0] == 10


def test_a_region_counts_from_the_first_slice_that_is_kept(folder: Path) -> None:
    region = RegionOfInterest(z_start=2, z_stop=7)
    found = read_stack(folder, excluding("0-1: trimming", "6: fold"), region=region)
    assert found.table["file"].tolist() == [
        "slice_0004.tif",
        "slice_0005.tif",
        "slice_0006.tif",
        "slice_0007.tif",
        "slice_0008.tif",
    ]
    assert found.table["excluded"].tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("part", [(3, 7), (2, 6), (1, 3), (4, 6)])
def test_a_region_is_filled_as_the_whole(folder: Path, part: tuple[int, int]) -> None:
    (folder / "slice_0005.tif").unlink()
    parameters = excluding("2-3: fold").model_copy(update={"on_bad_slice": "interpolate"})
    whole = read_stack(folder, parameters).image
    start, stop = part
    region = RegionOfInterest(z_start=start, z_stop=stop, y_start=7, x_stop=30)
    found = read_stack(folder, parameters, region=region)
    assert np.array_equal(found.image, whole[start:stop, 7:, :30])


def test_what_is_wrong_with_an_excluded_slice_does_not_count(folder: Path) -> None:
    truncate(folder / "slice_0002.tif")
    tifffile.imwrite(folder / "slice_0004.tif", textured((8, 9)), metadata=None)
    tifffile.imwrite(folder / "slice_0006.tif", np.ones((20, 30, 3), "u1"), photometric="rgb", metadata=None)
    tifffile.imwrite(folder / "slice_0008.tif", np.zeros((20, 30), "u1"), metadata=None)
    (folder / "slice_0010.tif").unlink()
    parameters = excluding(*(f"{z}: bad" for z in (2, 4, 6, 8, 10)))
    assert not survey_stack(folder, parameters).problems
    assert read_stack(folder, parameters).table.query("excluded")["z"].tolist() == [2, 4, 6, 8, 10]
    with pytest.raises(BadSlicesError) as raised:
        open_stack(folder, excluding("2: bad"))
    assert "slice_0002" not in str(raised.value)
    assert "excluded" not in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("12: fold", r'exclude_slices names "12" \(fold\), but the slice numbers run from 0 to 11'),
        ("9-40: fold", r'names "9-40".*run from 0 to 11'),
        ("slice_4.tif: fold", r'names "slice_4.tif".*named like slice_0000.tif'),
        ("0-11: all", "leaves none of the 12 slices"),
        ("2-9: long", r"slices 2 to 9 are missing, excluded or truncated, more than max_filled_slices = 5"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(folder: Path, entry: str, message: str) -> None:
    with pytest.raises(BadSlicesError, match=message):
        open_stack(folder, excluding(entry))


@pytest.mark.parametrize(
    "entry",
    ["12", "12-18", ": why", "120:125", "18-12: fall", "x.tif:", 12, ["a: b"], {12: "x"}, {"12": None}],
)
def test_an_entry_of_another_form_is_refused(entry: Any) -> None:
    with pytest.raises(ValidationError, match=r"exclude_slices"):
        IngestParameters(exclude_slices=[entry])


def test_entries_are_given_as_list_text_or_mapping() -> None:
    expected = ("12-18: charging", "a.tif: fold")
    assert exclusion_entries(["12-18:charging", {"a.tif": "fold"}]) == expected
    assert exclusion_entries({"12-18": "charging", "a.tif": " fold"}) == expected
    assert exclusion_entries("12-18: charging") == expected[:1]


def test_the_description_excludes_too_and_both_are_kept_in_the_history(folder: Path) -> None:
    text = json.dumps({"exclude_slices": {"3": "fold"}, "slice_count": 12})
    (folder / "acquisition.json").write_text(text)
    stack = open_stack(folder, excluding("7: charging"))
    assert stack.excluded == {3: "fold", 7: "charging"}
    assert stack.metadata["excluded"] == [
        {"slices": "7", "reason": "charging", "origin": "parameter"},
        {"slices": "3", "reason": "fold", "origin": "acquisition.json"},
    ]


def test_pages_of_one_file_are_excluded_by_number_or_name(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, VOLUME, metadata=None)
    assert open_stack(path, excluding("3: fold", "stack.tif page 6: fold")).excluded == {3: "fold", 5: "fold"}
    with pytest.raises(BadSlicesError, match=r'names "stack"'):
        open_stack(path, excluding("stack: all"))


def write_sized_slices(folder: Path, sides_nm: list[float]) -> Path:
    """Write slices whose metadata state their pixel sizes, and a distance of 50 nm."""
    folder.mkdir()
    for z, side in enumerate(sides_nm):
        tifffile.imwrite(
            folder / f"slice_{z:04d}.tif",
            VOLUME[z : z + 1],
            imagej=True,
            resolution=(1000 / side, 1000 / side),
            metadata={"axes": "ZYX", "spacing": 0.05, "unit": "um"},
        )
    return folder


def test_an_excluded_slice_states_no_voxel_size(tmp_path: Path) -> None:
    folder = write_sized_slices(tmp_path / "run", [20, 10, 10, 20, 10, 10, 20])
    excluded = ("0: overview", "3: overview", "6: overview")
    stack = open_stack(folder, IngestParameters(exclude_slices=excluded))
    assert (stack.shape[0], stack.spacing_nm) == (5, pytest.approx((50, 10, 10)))


def test_a_region_has_the_voxel_size_of_its_own_slices(tmp_path: Path) -> None:
    folder = write_sized_slices(tmp_path / "run", [20, 10, 10, 10, 10])
    with pytest.raises(BadSlicesError, match="magnification must not change"):
        open_stack(folder, IngestParameters())
    region = RegionOfInterest(z_start=2, z_stop=4)
    assert open_stack(folder, IngestParameters(), region=region).spacing_nm == pytest.approx((50, 10, 10))


def test_a_region_takes_the_voxel_size_that_one_slice_states_for_all(tmp_path: Path) -> None:
    folder = write_sized_slices(tmp_path / "run", [10])
    for z in range(1, 4):
        tifffile.imwrite(folder / f"slice_{z:04d}.tif", VOLUME[z], metadata=None)
    stack = open_stack(folder, IngestParameters(), region=RegionOfInterest(z_start=2, z_stop=4))
    assert stack.spacing_nm == pytest.approx((50, 10, 10))


def test_what_is_wrong_with_a_slice_that_is_cut_off_does_not_count(folder: Path) -> None:
    tifffile.imwrite(folder / "slice_0000.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    assert open_stack(folder, excluding("0: in colour")).shape == (11, 20, 30)


@pytest.mark.parametrize(
    ("stop", "missing", "message"),
    [
        (
            6,
            False,
            r"^run: all slices of the region are excluded \(exclude_slices names 4, 5: fold\); .*enlarge it along z",
        ),
        (5, False, r"^run: the only slice of the region is excluded \(exclude_slices names 4: fold\); "),
        (
            7,
            True,
            r"^run: all slices of the region are excluded or missing \(exclude_slices names 4, 5: fold\); ",
        ),
    ],
)
def test_a_region_of_excluded_slices_alone_says_so_before_anything_is_read(
    folder: Path, stop: int, missing: bool, message: str
) -> None:
    if missing:
        (folder / "slice_0006.tif").unlink()
    region = RegionOfInterest(z_start=4, z_stop=stop)
    given = excluding("4-5: fold", on_bad_slice="interpolate")
    with pytest.raises(BadSlicesError, match=message) as raised:
        open_stack(folder, given, region=region)
    assert "\n" not in str(raised.value)
    # One more slice that is kept, and the region is that of the whole run.
    larger = RegionOfInterest(z_start=3, z_stop=stop)
    whole = read_stack(folder, given).image
    np.testing.assert_array_equal(read_stack(folder, given, region=larger).image, whole[3:stop])


def test_series_exclusion_and_region_count_together(tmp_path: Path) -> None:
    for series, values in (("InLens", VOLUME), ("EsB", VOLUME[::-1])):
        for z, one in enumerate(values):
            tifffile.imwrite(tmp_path / f"{series}_{z:03d}.tif", one, metadata=None)
    region = RegionOfInterest(z_start=2, z_stop=6, y_start=5, y_stop=15)
    found = read_stack(tmp_path, excluding("0-1: trimming", "5: fold", series="EsB"), region=region)
    assert found.table["file"].tolist() == [f"EsB_{z:03d}.tif" for z in (4, 5, 6, 7)]
    assert found.table["excluded"].tolist() == [False, True, False, False]
    np.testing.assert_array_equal(found.image[[0, 2, 3]], VOLUME[::-1][[4, 6, 7], 5:15])
    (tmp_path / "acquisition.json").write_text('{"files": ["EsB_000.tif", "EsB_001.tif"]}')
    with pytest.raises(BadSlicesError, match="not there, no slices or of another series: EsB_000"):
        open_stack(tmp_path, excluding(series="InLens"))
