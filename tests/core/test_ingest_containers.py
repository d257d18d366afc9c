"""HDF5, N5 and precomputed volumes: axes, several datasets, what is not there, damage, and the packages that they need."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ingest_samples import SHAPE, SPACING_NM, textured
from volume_samples import write_bdv_hdf5, write_n5, write_n5_array, write_ome_zarr, write_precomputed

from spherovem_core.errors import BadSlicesError, MissingPackageError
from spherovem_core.ingest import open_stack, read_stack, survey_stack
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)


def given(**values: Any) -> IngestParameters:
    return GIVEN.model_copy(update=values)


def the_problem(source: Path, parameters: IngestParameters = GIVEN) -> str:
    """Return what is wrong with a source, which must be one thing."""
    (problem,) = survey_stack(source, parameters).problems
    return problem.found


def axistags(names: str) -> str:
    """Return the axis tags of ilastik."""
    return json.dumps(
        {"axes": [{"key": name, "typeFlags": 2, "resolution": 0, "description": ""} for name in names]}
    )


@pytest.mark.parametrize("axes", ["zyxc", "tzyxc", "xyz", "yxz"])
@pytest.mark.parametrize("chunks", [None, True])
def test_axes_of_ilastik_are_sorted_by_their_tags(tmp_path: Path, axes: str, chunks: bool | None) -> None:
    path, volume = tmp_path / "a.h5", textured(dtype="uint16")
    stored = "zyx" + "".join(name for name in axes if name not in "zyx")
    values = volume.reshape(*SHAPE, *[1] * (len(axes) - 3)).transpose([stored.index(name) for name in axes])
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("exported_data", data=values, chunks=chunks)
        dataset.attrs["axistags"] = axistags(axes)
        dataset.attrs["element_size_um"] = [side / 1000 for side in SPACING_NM]
    acquired = read_stack(path, IngestParameters())
    np.testing.assert_array_equal(acquired.image, volume)
    assert acquired.spacing_nm == SPACING_NM


def test_axes_without_names_are_stated_as_assumed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = textured()
    assert (
        open_stack(tmp_path / "a.h5", GIVEN).metadata["axes"]
        == "z, y, x assumed, since the array does not name them"
    )


def test_colours_along_an_axis_without_a_name_are_no_slices(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.moveaxis(textured()[:3], 0, -1)
    with pytest.raises(BadSlicesError, match="its last axis looks like 3 colours or channels"):
        open_stack(tmp_path / "a.h5", GIVEN)


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_an_axis_of_one_without_a_name_is_left_out(tmp_path: Path, axis: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.expand_dims(textured(), axis)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.h5", GIVEN).image, textured())


def test_several_hdf5_datasets_are_one_fault_and_one_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for n, name in enumerate(("volumes/bse", "volumes/se")):
            file[name] = textured(seed=n)
        file["volumes/overview"] = textured()[0]
    assert the_problem(path) == (
        "holds 2 datasets (volumes/bse, volumes/se); expected one: choose it with --dataset volumes/bse (ingest.dataset), or "
        "name a.h5/volumes/bse as the source"
    )
    for source, parameters in [(path, given(dataset="volumes/se")), (path / "volumes" / "se", GIVEN)]:
        np.testing.assert_array_equal(read_stack(source, parameters).image, textured(seed=1))
    assert the_problem(path, given(dataset="se")) == "has no dataset se; it has volumes/bse, volumes/se"


def test_a_folder_of_hdf5_slices_is_a_stack(tmp_path: Path) -> None:
    for z, values in enumerate(textured()):
        with h5py.File(tmp_path / f"slice_{z:03d}.h5", "w") as file:
            file["image"], file["mask"] = values, values
    np.testing.assert_array_equal(read_stack(tmp_path, given(dataset="image")).image, textured())


def test_several_setups_of_bigdataviewer_are_one_fault(tmp_path: Path) -> None:
    write_bdv_hdf5(tmp_path / "a.h5", textured(), SPACING_NM, setups=2)
    assert "holds 2 datasets (t00000/s00/0/cells, t00000/s01/0/cells); expected one" in the_problem(
        tmp_path / "a.h5"
    )


def test_hdf5_chunks_without_data_are_never_zeros_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("raw", SHAPE, np.uint8, chunks=(2, 20, 64))
        dataset[:2], dataset[4:], dataset[2:4, 20:] = textured()[:2], textured()[4:], textured()[2:4, 20:]
        file.create_dataset("nothing", SHAPE, np.uint8)
    with pytest.raises(BadSlicesError, match=r"a.h5 page 3, a.h5 page 4: 1 of its 2 chunks are not there"):
        open_stack(path, given(dataset="raw"))
    assert not read_stack(path, given(dataset="raw", absent_chunks="fill")).image[2:4, :20].any()
    with pytest.raises(BadSlicesError, match="none of its pixels were written"):
        open_stack(path, given(dataset="nothing"))


def test_virtual_datasets_are_refused(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, np.uint8)
    layout[:] = h5py.VirtualSource("gone.h5", "raw", SHAPE)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("raw", layout)
    assert the_problem(tmp_path / "a.h5").startswith("raw is virtual: its values lie in other files")


def test_an_absent_block_of_n5_is_never_zeros_in_silence(tmp_path: Path) -> None:
    source = tmp_path / "a.n5"
    write_n5(source, textured(), SPACING_NM)
    stack = open_stack(source, GIVEN)
    (source / "volumes/raw/s0/0/1/1").unlink()
    with pytest.raises(BadSlicesError, match=r"a.n5 page 5: chunk \{0, 1, 1\} stored at .* is missing"):
        stack.read_slice(4)
    with pytest.raises(
        BadSlicesError, match=r"a.n5 page 5, a.n5 page 6, a.n5 page 7: 1 of its 12 chunks are not there"
    ):
        open_stack(source, GIVEN)
    taken = read_stack(source, given(absent_chunks="fill")).image
    assert not taken[4:, 16:32, :16].any()
    np.testing.assert_array_equal(taken[:4], textured()[:4])


def test_an_absent_chunk_of_a_precomputed_volume_is_never_zeros_in_silence(tmp_path: Path) -> None:
    source = tmp_path / "a"
    write_precomputed(source, textured(), SPACING_NM)
    (source / "12_10_50/19-35_0-16_5-9").unlink()
    with pytest.raises(
        BadSlicesError, match="a page 1, a page 2, a page 3, a page 4: 1 of its 12 chunks are not there"
    ):
        open_stack(source, GIVEN)


def test_scales_of_a_precomputed_volume_can_be_named(tmp_path: Path) -> None:
    source = tmp_path / "a"
    write_precomputed(source, textured(), SPACING_NM)
    for path, parameters in [
        (source, IngestParameters(dataset="24_20_50")),
        (source / "24_20_50", IngestParameters()),
    ]:
        assert open_stack(path, parameters).spacing_nm == (50.0, 20.0, 24.0)
    assert the_problem(source, given(dataset="1_1_1")) == "has no scale 1_1_1; it has 24_20_50, 12_10_50"


@pytest.mark.parametrize(
    "attributes",
    [
        {"resolution": [12, 10, 50], "units": ["nm", "nm", "nm"]},
        {"pixelResolution": [0.012, 0.01, 0.05], "unit": "um"},
        {"transform": {"axes": ["z", "y", "x"], "scale": [50, 10, 12], "units": ["nm", "nm", "nm"]}},
        {"axes": ["x", "y", "z"], "pixelResolution": {"unit": "um", "dimensions": [0.012, 0.01, 0.05]}},
    ],
)
def test_n5_states_its_voxel_size_in_several_ways(tmp_path: Path, attributes: dict[str, Any]) -> None:
    write_n5_array(tmp_path / "a.n5", textured(), **attributes)
    assert open_stack(tmp_path / "a.n5", IngestParameters()).spacing_nm == pytest.approx(SPACING_NM)


def test_a_resolution_without_unit_is_no_voxel_size(tmp_path: Path) -> None:
    write_n5_array(tmp_path / "a.n5", textured(), resolution=[12, 10, 50])
    assert the_problem(tmp_path / "a.n5", IngestParameters()).startswith("no voxel size")


def test_n5_datasets_are_found_in_groups_without_attributes(tmp_path: Path) -> None:
    for n, name in enumerate(("bse", "se")):
        write_n5_array(tmp_path / "a.n5" / "volumes" / name, textured(seed=n))
    assert the_problem(tmp_path / "a.n5").startswith("holds 2 datasets (volumes/bse, volumes/se)")
    for source, parameters in [
        (tmp_path / "a.n5", given(dataset="volumes/se")),
        (tmp_path / "a.n5/volumes/se", GIVEN),
    ]:
        np.testing.assert_array_equal(read_stack(source, parameters).image, textured(seed=1))
    assert (
        the_problem(tmp_path / "a.n5", given(dataset="x"))
        == "has no dataset x; it has volumes/bse, volumes/se"
    )


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\xff" * 40])
@pytest.mark.parametrize("kind", ["n5", "precomputed"])
def test_damaged_blocks_are_bad_slices(tmp_path: Path, kind: str, content: bytes) -> None:
    source = tmp_path / "a"
    if kind == "n5":
        write_n5_array(source, textured(), (64, 40, 4))
        block = source / "0/0/1"
    else:
        write_precomputed(source, textured(), SPACING_NM)
        block = source / "12_10_50/19-35_0-16_9-12"
    block.write_bytes(content)
    with pytest.raises(BadSlicesError, match="a page 5, a page 6, a page 7: cannot be decoded"):
        read_stack(source, GIVEN)


@pytest.mark.parametrize(
    "content", [b'{"dimensions": [64, 40], "blockSize": 3}', b'{"dimensions": "x", "blockSize": []}']
)
def test_damaged_attributes_are_one_fault(tmp_path: Path, content: bytes) -> None:
    write_n5_array(tmp_path / "a.n5", textured())
    (tmp_path / "a.n5/attributes.json").write_bytes(content)
    with pytest.raises(BadSlicesError, match=r"is damaged or no N5 dataset"):
        open_stack(tmp_path / "a.n5", GIVEN)
    write_precomputed(tmp_path / "b", textured(), SPACING_NM)
    (tmp_path / "b/info").write_text('{"data_type": "uint8", "scales": [{"key": "a"}]}')
    with pytest.raises(BadSlicesError, match=r"is damaged or no precomputed volume"):
        open_stack(tmp_path / "b", GIVEN)


@pytest.mark.parametrize(
    ("package", "extra"), [("h5py", "hdf5"), ("tensorstore", "tensorstore"), ("ncempy.io.dm", "dm")]
)
def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    source = tmp_path / {"h5py": "a.h5", "tensorstore": "a.n5", "ncempy.io.dm": "a.dm4"}[package]
    if package == "tensorstore":
        write_n5_array(source, textured())
    else:
        source.write_bytes(b"x")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"pip install 'spherovem\[{extra}\]'"):
        open_stack(source, GIVEN)


def test_a_volume_and_slices_in_one_folder_are_no_conflict_and_hidden_copies_do_not_count(
    tmp_path: Path,
) -> None:
    write_ome_zarr(tmp_path / "a" / "a.zarr", textured(), SPACING_NM)
    (tmp_path / "a" / "._a.h5").write_bytes(b"x")
    assert open_stack(tmp_path / "a", IngestParameters()).shape == SHAPE
    shutil.rmtree(tmp_path / "a" / "a.zarr")


def test_labels_of_a_precomputed_volume_are_no_image(tmp_path: Path) -> None:
    source = tmp_path / "a.precomputed"
    write_precomputed(source, textured(), SPACING_NM)
    info = json.loads((source / "info").read_text())
    (source / "info").write_text(json.dumps({**info, "type": "segmentation"}))
    with pytest.raises(BadSlicesError, match="is a segmentation by its info; expected an image"):
        open_stack(source, IngestParameters())


@pytest.mark.parametrize("kind", ["raw data", "link"])
def test_pixels_of_a_dataset_in_another_file_are_refused(tmp_path: Path, kind: str) -> None:
    values = textured()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["raw"] = values
    values.tofile(tmp_path / "pixels.bin")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        if kind == "link":
            file["raw"] = h5py.ExternalLink("other.h5", "raw")
        else:
            file.create_dataset(
                "raw", values.shape, values.dtype, external=[(str(tmp_path / "pixels.bin"), 0, values.nbytes)]
            )
    with pytest.raises(BadSlicesError, match="raw lies in another file; expected a stored dataset"):
        open_stack(path / "raw", IngestParameters(spacing_nm=SPACING_NM))
