"""Zarr as a source: layouts of several programs, axes, channels, chunks that are not there, and chunks of many slices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from ingest_samples import SHAPE, SPACING_NM, textured
from volume_samples import write_ome_zarr, write_plain_zarr

from spherovem_core.errors import AcquisitionError, BadSlicesError, NoSlicesError, ParameterError
from spherovem_core.ingest import open_stack, read_stack, slabs, source_digest, survey_stack
from spherovem_core.ingest.source_files import acquisition_name
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)


def given(**values: Any) -> IngestParameters:
    return GIVEN.model_copy(update=values)


def test_the_finest_level_of_an_image_is_taken(tmp_path: Path) -> None:
    source = tmp_path / "spheroid.ome.zarr"
    write_ome_zarr(source, textured(), SPACING_NM, levels=2, finest_last=True)
    stack = open_stack(source, IngestParameters())
    assert (stack.shape, stack.spacing_nm) == (SHAPE, SPACING_NM)
    assert stack.metadata["dataset"] == "1"


def test_a_level_may_be_named_by_its_path_or_as_dataset(tmp_path: Path) -> None:
    source = tmp_path / "spheroid.zarr"
    write_ome_zarr(source, textured(), SPACING_NM, levels=2)
    coarse = (SPACING_NM[0], 2 * SPACING_NM[1], 2 * SPACING_NM[2])
    for path, parameters in [(source / "1", IngestParameters()), (source, IngestParameters(dataset="1"))]:
        stack = open_stack(path, parameters)
        assert (stack.shape, stack.spacing_nm) == ((7, 20, 32), coarse)
        assert stack.slice_name(2) == "spheroid.zarr page 3"
    assert acquisition_name(source / "1") == acquisition_name(source) == "spheroid"
    with pytest.raises(BadSlicesError, match=r"7 is damaged or no zarr array"):
        open_stack(source / "7", GIVEN)


@pytest.mark.parametrize("axes", ["xyz", "yxz", "tczyx", "zyxc"])
def test_axes_are_sorted_by_their_names(tmp_path: Path, axes: str) -> None:
    volume = textured(dtype="uint16")
    write_ome_zarr(tmp_path / "a.zarr", volume, SPACING_NM, axes=axes)
    acquired = read_stack(tmp_path / "a.zarr", IngestParameters())
    np.testing.assert_array_equal(acquired.image, volume)
    assert acquired.spacing_nm == SPACING_NM


def test_several_channels_are_one_fault_and_one_can_be_chosen(tmp_path: Path) -> None:
    volumes = np.stack([textured(seed=n) for n in range(3)])
    source = tmp_path / "detectors.zarr"
    write_ome_zarr(source, volumes, SPACING_NM, axes="czyx", channels=True)
    (problem,) = survey_stack(source, GIVEN).problems
    assert "has 3 channels; expected one: choose it with --dataset c=0 to c=2" in problem.found
    np.testing.assert_array_equal(read_stack(source, given(dataset="c=2")).image, volumes[2])
    np.testing.assert_array_equal(read_stack(source / "0" / "c=1", GIVEN).image, volumes[1])
    with pytest.raises(BadSlicesError, match="c=3 is beyond its 3 images along c"):
        open_stack(source, given(dataset="c=3"))


def test_several_arrays_are_one_fault_that_names_them(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "both.zarr", mode="w")
    for name in ("volumes/bse", "volumes/se"):
        group.create_array(name, data=textured(seed=len(name)))
    (problem,) = survey_stack(tmp_path / "both.zarr", GIVEN).problems
    assert problem.found == (
        "holds 2 datasets (volumes/bse, volumes/se); expected one: choose it with --dataset volumes/bse (ingest.dataset), or "
        "name both.zarr/volumes/bse as the source"
    )
    np.testing.assert_array_equal(
        read_stack(tmp_path / "both.zarr", given(dataset="volumes/se")).image, textured(seed=10)
    )


def test_images_in_groups_keep_their_voxel_size_and_axes_without_names_can_be_chosen(tmp_path: Path) -> None:
    source = tmp_path / "converted.zarr"
    zarr.open_group(source, mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    write_ome_zarr(source / "0", textured(), SPACING_NM, version="0.4", axes="tczyx")
    assert open_stack(source, IngestParameters()).spacing_nm == SPACING_NM
    write_ome_zarr(source / "1", textured(), SPACING_NM, version="0.4")
    (problem,) = survey_stack(source, IngestParameters()).problems
    assert problem.found.startswith("holds 2 datasets (0, 1); expected one")
    volumes = np.stack([textured(seed=n) for n in range(2)])
    write_plain_zarr(tmp_path / "four.zarr", volumes)
    (problem,) = survey_stack(tmp_path / "four.zarr", GIVEN).problems
    assert "2 images along axis0; expected one: choose it with --dataset axis0=0" in problem.found
    np.testing.assert_array_equal(
        read_stack(tmp_path / "four.zarr", given(dataset="axis0=1")).image, volumes[1]
    )


def test_labels_of_an_image_are_no_second_dataset(tmp_path: Path) -> None:
    source = tmp_path / "a.zarr"
    write_ome_zarr(source, textured(), SPACING_NM)
    zarr.open_group(source, mode="a").create_array("labels/cells/0", data=np.ones(SHAPE, np.uint32))
    assert open_stack(source, IngestParameters()).dtype == np.uint8


def test_labels_are_no_image(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "a.zarr", textured(), SPACING_NM)
    zarr.open_group(tmp_path / "a.zarr", mode="a").attrs["image-label"] = {"version": "0.4"}
    with pytest.raises(BadSlicesError, match=r"holds labels by its metadata \(image-label\), no image"):
        open_stack(tmp_path / "a.zarr", IngestParameters())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_absent_chunk_is_never_zeros_in_silence(tmp_path: Path, zarr_format: Any) -> None:
    source = tmp_path / "a.zarr"
    write_plain_zarr(source, textured(), zarr_format=zarr_format, chunks=(2, 20, 64))
    (source / ("1.0.0" if zarr_format == 2 else "c/1/0/0")).unlink()
    with pytest.raises(
        BadSlicesError, match=r"a.zarr page 3, a.zarr page 4: 1 of its 2 chunks are not there"
    ):
        open_stack(source, GIVEN)
    filled = read_stack(source, given(on_bad_slice="interpolate"))
    assert filled.table["truncated"].tolist() == [False, False, True, True, False, False, False]
    taken = read_stack(source, given(absent_chunks="fill"))
    assert not taken.image[2:4, :20].any()
    np.testing.assert_array_equal(taken.image[2:4, 20:], textured()[2:4, 20:])


def test_a_chunk_that_goes_after_the_survey_is_a_bad_slice(tmp_path: Path) -> None:
    source = tmp_path / "a.zarr"
    write_plain_zarr(source, textured(), chunks=(2, 20, 64))
    stack = open_stack(source, GIVEN)
    (source / "c/1/0/0").unlink()
    with pytest.raises(BadSlicesError, match=r"a.zarr page 3: the chunk c/1/0/0 is not there"):
        stack.read_slice(2)


def test_a_slice_without_any_chunk_is_named_so(tmp_path: Path) -> None:
    source = tmp_path / "a.zarr"
    write_plain_zarr(source, textured(), chunks=(1, 40, 32))
    for part in range(2):
        (source / f"c/3/0/{part}").unlink()
    with pytest.raises(BadSlicesError, match=r"a\.zarr page 4: none of its 2 chunks is there"):
        open_stack(source, GIVEN)


def test_shards_are_checked_and_their_empty_chunks_hold_the_fill_value(tmp_path: Path) -> None:
    volume = textured()
    volume[:2, :20] = 0
    source = tmp_path / "a.zarr"
    write_plain_zarr(source, volume, chunks=(1, 20, 32), shards=(2, 40, 64))
    np.testing.assert_array_equal(read_stack(source, GIVEN).image, volume)
    (source / "c/2/0/0").unlink()
    with pytest.raises(BadSlicesError, match=r"page 5, a\.zarr page 6: none of its 1 chunks is there"):
        open_stack(source, GIVEN)


@pytest.mark.parametrize("keep", [0.0, 0.6])
def test_a_damaged_chunk_is_a_bad_slice(tmp_path: Path, keep: float) -> None:
    source = tmp_path / "a.zarr"
    write_plain_zarr(source, textured(), chunks=(2, 40, 64))
    chunk = source / "c/1/0/0"
    content = chunk.read_bytes()
    chunk.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BadSlicesError, match=r"a.zarr page 3, a.zarr page 4: cannot be decoded"):
        read_stack(source, GIVEN)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"zarr_format": 9, "node_type": "array"}'])
def test_damaged_metadata_are_one_fault(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "a.zarr"
    write_plain_zarr(source, textured())
    (source / "zarr.json").write_bytes(content)
    with pytest.raises(AcquisitionError, match=r"a\.zarr"):
        open_stack(source, GIVEN)


@pytest.mark.parametrize("limit", [2**28, 1])
def test_each_chunk_is_decoded_once_however_many_slices_it_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(slabs, "SLAB_BYTES", limit)
    monkeypatch.setattr(slabs, "TILE_BYTES", 1)
    source = tmp_path / "a.zarr"
    write_plain_zarr(source, textured((12, 40, 64)), chunks=(6, 16, 24))
    stack = open_stack(source, given(databar_rows=0))
    reads = []
    volume = stack.files[0].place[0]  # type: ignore[union-attr]
    load: Callable[..., Any] = volume._load
    volume._load = lambda *box: reads.append(box) or load(*box)
    found = np.stack([stack.read_slice(z) for z in range(12)])
    np.testing.assert_array_equal(found, textured((12, 40, 64)))
    assert len(reads) == (2 if limit > 1 else 2 * 3 * 3)


def test_the_digest_covers_every_file_but_not_times_or_place(tmp_path: Path) -> None:
    source = tmp_path / "a.zarr"
    write_ome_zarr(source, textured(), SPACING_NM)
    digest = source_digest(source)
    (source / ".DS_Store").write_bytes(b"x")
    moved = source.rename(tmp_path / "b.zarr")
    assert source_digest(moved) == digest
    chunk = next(path for path in (moved / "0").rglob("*") if path.is_file() and path.name.isdigit())
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    assert source_digest(moved) != digest


def test_a_folder_may_hold_one_volume(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "acquisition" / "volume.zarr", textured(), SPACING_NM)
    (tmp_path / "acquisition" / "acquisition.json").write_text('{"spacing_nm": [60, null, null]}')
    assert open_stack(tmp_path / "acquisition", IngestParameters()).spacing_nm == (60.0, *SPACING_NM[1:])
    write_ome_zarr(tmp_path / "acquisition" / "other.zarr", textured(), SPACING_NM)
    with pytest.raises(NoSlicesError, match=r"holds 2 volumes \(other.zarr, volume.zarr\); name one"):
        open_stack(tmp_path / "acquisition", IngestParameters())


def test_a_dataset_in_a_format_without_datasets_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "slice.npy", textured())
    (tmp_path / "slice.tif").write_bytes(b"II")
    with pytest.raises(ParameterError, match="raw names a dataset, but TIFF files hold none"):
        open_stack(tmp_path / "slice.tif", given(dataset="raw"))
