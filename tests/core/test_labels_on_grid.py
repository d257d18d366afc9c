"""Labels of other programs on the grid of a volume: the right voxels at the right place, or one clear error."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from spherovem_core.errors import LabelsError
from spherovem_core.export.labels import write_label_tiff
from spherovem_core.store.label_files import LabelsOnGrid, open_labels_on_grid
from spherovem_core.store.label_files import on_grid as module
from spherovem_core.store.ome import level_origin

SPACING = (50.0, 10.0, 20.0)
SHAPE = (6, 30, 41)
ORIGIN = (0.0, 0.0, 0.0)
LABELS = np.random.default_rng(0).integers(0, 70_000, SHAPE).astype(np.uint32)
FINE: Any = (SHAPE, SPACING, ORIGIN)
COARSE: Any = ((3, 15, 21), (100.0, 20.0, 40.0), level_origin(SPACING, ORIGIN, (2, 2, 2)))


def read(name: Any, target: Any = FINE, region: Any = ..., **options: Any) -> np.ndarray:
    with open_labels_on_grid(str(name), *target, **options) as labels:
        assert isinstance(labels, LabelsOnGrid)
        return labels[region]


def as_ome_tiff(folder: Path) -> Path:
    write_label_tiff(LABELS, SHAPE, SPACING, folder / "a.ome.tif")
    return folder / "a.ome.tif"


def as_imagej(folder: Path) -> Path:
    labels = (LABELS % 60_000).astype(np.uint16)
    metadata = {"spacing": 0.05, "unit": "um"}
    tifffile.imwrite(folder / "b.tif", labels, imagej=True, resolution=(50, 100), metadata=metadata)
    return folder / "b.tif"


def as_slices(folder: Path) -> Path:
    (folder / "slices").mkdir()
    for z, plane in enumerate(LABELS):
        tifffile.imwrite(folder / "slices" / f"seg_{z + 7}.tif", plane, compression="zlib")
    return folder / "slices"


def as_nifti(folder: Path, *, name: str = "c.nii.gz", signs: Any = (1, 1, 1), unit: str = "micron") -> Path:
    sides = np.array(SPACING[::-1]) / (1000 if unit == "micron" else 1)
    image = nibabel.Nifti1Image(LABELS.astype(np.int32).T, np.diag([*(sides * signs), 1]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, folder / name)
    return folder / name


def as_itk(folder: Path) -> Path:
    """SimpleITK and ITK-SNAP: identity in their frame, negative x and y in NIfTI's, and always mm."""
    return as_nifti(folder, name="d.nii", signs=(-1, -1, 1), unit="mm")


def as_scaled_nifti(folder: Path) -> Path:
    image = nibabel.Nifti1Image((LABELS / 2).astype(np.float32).T, np.eye(4))
    image.header.set_slope_inter(2.0, 0.0)
    nibabel.save(image, folder / "e.nii")
    return folder / "e.nii"


def as_mrc(folder: Path) -> Path:
    with mrcfile.new(folder / "f.mrc") as file:
        file.set_data((LABELS % 60_000).astype(np.uint16))
        file.voxel_size = tuple(10 * side for side in SPACING[::-1])
    return folder / "f.mrc"


def as_float_npy(folder: Path) -> Path:
    np.save(folder / "g.npy", LABELS.astype(np.float64))
    return folder / "g.npy"


def as_ome_zarr_04(folder: Path) -> Path:
    group = zarr.create_group(folder / "h.zarr", zarr_format=2)
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [1, 1, 0.05, 0.01, 0.02]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.create_array("0", data=LABELS[None, None], chunks=(1, 1, 4, 16, 16))
    return folder / "h.zarr"


def webknossos(folder: Path, *, ome: bool) -> Path:
    """Write the zarr 3 layout of webKnossos: axes c, x, y, z, padded to whole files, beside a JSON description."""
    layer = folder / "dataset" / "segmentation"
    padded = np.zeros((1, 64, 32, 32), np.uint32)
    padded[0, : SHAPE[2], : SHAPE[1], : SHAPE[0]] = LABELS.T
    layer.mkdir(parents=True)
    names = ("c", "x", "y", "z") if ome else None
    zarr.create_array(layer / "1", data=padded, chunks=(1, 32, 32, 32), dimension_names=names)
    mags = [{"mag": [1, 1, 1], "path": "./segmentation/1", "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3}}]
    layers = [
        {"name": "color", "category": "color"},
        {"name": "segmentation", "category": "segmentation", "mags": mags},
    ]
    description = {"scale": {"factor": SPACING[::-1], "unit": "nanometer"}, "dataLayers": layers}
    (folder / "dataset" / "datasource-properties.json").write_text(json.dumps(description))
    if ome:
        axes = [{"name": "c", "type": "channel"}]
        axes += [{"name": name, "type": "space", "unit": "nanometer"} for name in "xyz"]
        scale = [{"type": "scale", "scale": [1, *SPACING[::-1]]}]
        datasets = [{"path": "1", "coordinateTransformations": scale}]
        zarr.open_group(layer, zarr_format=3).attrs["ome"] = {
            "version": "0.5",
            "multiscales": [{"axes": axes, "datasets": datasets}],
        }
    return folder / "dataset"


def as_webknossos(folder: Path) -> Path:
    return webknossos(folder, ome=False)


def as_webknossos_layer(folder: Path) -> Path:
    return webknossos(folder, ome=True) / "segmentation"


def as_plain_webknossos_layer(folder: Path) -> Path:
    """As webKnossos' own library leaves a layer: a folder of arrays without any description of its own."""
    return webknossos(folder, ome=False) / "segmentation"


def as_webknossos_group(folder: Path) -> Path:
    layer = webknossos(folder, ome=False) / "segmentation"
    zarr.open_group(layer, zarr_format=3)
    zarr.create_array(layer / "2-2-1", shape=(1, 32, 16, 32), dtype=np.uint32, chunks=(1, 16, 16, 16))
    return layer


def as_webknossos_of_zarr_2(folder: Path) -> Path:
    """As the webknossos package 4 writes zarr 2: an OME-Zarr image whose ``.zgroup`` holds its version as text."""
    dataset = webknossos(folder, ome=False)
    layer = dataset / "segmentation"
    padded = zarr.open_array(layer / "1", mode="r")[...]
    shutil.rmtree(layer / "1")
    zarr.create_array(layer / "1", data=padded, chunks=(1, 32, 32, 32), zarr_format=2)
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "nanometer"} for name in "xyz"]
    scale = [{"type": "scale", "scale": [1, *SPACING[::-1]]}]
    image = {"version": "0.4", "axes": axes, "datasets": [{"path": "1", "coordinateTransformations": scale}]}
    (layer / ".zattrs").write_text(json.dumps({"multiscales": [image]}))
    (layer / ".zgroup").write_text('{"zarr_format": "2"}')
    return dataset


def as_integers_of_another_scale(folder: Path) -> Path:
    """Float labels saved with the header of an integer image, as nibabel does: spread over the range of the type."""
    image = nibabel.Nifti1Image((LABELS % 600).astype(np.float64).T, np.eye(4))
    image.set_data_dtype(np.int16)
    nibabel.save(image, folder / "spread.nii")
    assert 0 < nibabel.load(folder / "spread.nii").dataobj.slope < 0.1
    return folder / "spread.nii"


def as_offset_nifti(folder: Path) -> Path:
    image = nibabel.Nifti1Image((LABELS - 32768.0).astype(np.int32).T, np.eye(4))
    image.header.set_slope_inter(1.0, 32768.0)
    nibabel.save(image, folder / "offset.nii")
    return folder / "offset.nii"


FORMATS = [
    as_ome_tiff,
    as_imagej,
    as_slices,
    as_nifti,
    as_itk,
    as_scaled_nifti,
    as_mrc,
    as_float_npy,
    as_ome_zarr_04,
    as_webknossos,
    as_webknossos_layer,
    as_plain_webknossos_layer,
    as_webknossos_group,
    as_webknossos_of_zarr_2,
    as_integers_of_another_scale,
    as_offset_nifti,
]
LARGEST = {as_imagej: 60_000, as_mrc: 60_000, as_integers_of_another_scale: 600}


@pytest.mark.parametrize("write", FORMATS)
def test_every_format_gives_its_labels(write: Callable[[Path], Path], tmp_path: Path) -> None:
    expected = LABELS % LARGEST.get(write, 70_000)
    name = write(tmp_path)
    assert np.array_equal(read(name), expected)
    assert np.array_equal(read(name, region=(slice(1, 4), 7, slice(3, 30, 2))), expected[1:4, 7, 3:30:2])
    assert np.array_equal(read(name, region=(slice(0, 0),)), expected[:0])


@pytest.mark.parametrize("write", [as_ome_tiff, as_imagej, as_nifti, as_mrc, as_ome_zarr_04, as_webknossos])
def test_a_stated_voxel_size_places_labels_on_another_grid(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    """The coarse grid covers the volume; its voxels have their centres between two fine ones, of which the later is taken."""
    expected = LABELS % 60_000 if write in (as_imagej, as_mrc) else LABELS
    coarse = read(write(tmp_path), COARSE)
    assert np.array_equal(coarse[:, :, :20], expected[1::2, 1::2, 1::2])
    # The last voxel along x has its centre on the border of the file.
    assert set(np.unique(coarse[:, :, 20])) <= {0, *np.unique(expected[:, :, 40])}


def test_labels_of_a_coarser_level_are_recognised_by_their_shape(tmp_path: Path) -> None:
    coarse = LABELS[::2, ::2, ::2]
    np.save(tmp_path / "coarse.npy", coarse)
    found = read(tmp_path / "coarse.npy", levels=[COARSE])
    assert np.array_equal(found, coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[:, :, :41])


def test_labels_of_a_finer_level_are_recognised_by_their_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "fine.npy", LABELS)
    found = read(tmp_path / "fine.npy", COARSE, levels=[FINE])
    assert np.array_equal(found[:, :, :20], LABELS[1::2, 1::2, 1::2])


def test_an_offset_shifts_the_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "part.npy", LABELS[2:5, 10:20, 4:9])
    expected = np.zeros_like(LABELS)
    expected[2:5, 10:20, 4:9] = LABELS[2:5, 10:20, 4:9]
    place = {"file_spacing_nm": SPACING, "file_origin_nm": (100.0, 100.0, 80.0)}
    assert np.array_equal(read(tmp_path / "part.npy", **place), expected)
    image = nibabel.Nifti1Image(LABELS[2:5, 10:20, 4:9].astype(np.int32).T, np.diag([0.02, 0.01, 0.05, 1]))
    image.affine[:3, 3] = (0.08, 0.1, 0.1)
    image.set_sform(image.affine)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "part.nii")
    assert np.array_equal(read(tmp_path / "part.nii"), expected)


def test_an_offset_beyond_one_side_cuts_the_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LABELS)
    found = read(tmp_path / "a.npy", file_origin_nm=(-100.0, 50.0, 0.0))
    assert np.array_equal(found[:4, 5:], LABELS[2:, :-5])
    assert not found[4:].any()
    assert not found[:, :5].any()


def test_a_fine_file_is_read_in_bounded_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = np.arange(1, 64**3 + 1, dtype=np.uint32).reshape(64, 64, 64)
    array = zarr.create_array(tmp_path / "fine.zarr", data=fine, chunks=(8, 8, 8))
    monkeypatch.setattr(module, "MOST_READ", 4096)
    largest = []
    whole = module.read_labels

    def counting(name: str, volume: Any, region: Any) -> np.ndarray:
        values = whole(name, volume, region)
        largest.append(values.size)
        return values

    monkeypatch.setattr(module, "read_labels", counting)
    target: Any = ((4, 8, 16), (160.0, 80.0, 40.0), (75.0, 35.0, 15.0))
    found = read(tmp_path / "fine.zarr", target, file_spacing_nm=(10.0, 10.0, 10.0))
    assert np.array_equal(found, fine[8::16, 4::8, 2::4])
    assert max(largest) <= 4096
    assert array.shape == fine.shape


def test_bytes_of_imod_go_up_to_255(tmp_path: Path) -> None:
    labels = (LABELS % 256).astype(np.uint8)
    with mrcfile.new(tmp_path / "imod.rec") as file:
        file.set_data(labels.view(np.int8))
        words = bytearray(file.header.extra2.tobytes())
        words[40:48] = np.array([1146047817, 0], "<i4").tobytes()
        file.header.extra2 = np.void(bytes(words))
    assert np.array_equal(read(tmp_path / "imod.rec"), labels)


@pytest.mark.parametrize(
    ("stamp", "flags", "version", "sign"),
    [
        (1146047817, 0, 0, -1),
        (1146047817, 4, 0, 1),
        (1146047817, 0, 20140, 1),
        (0, 0, 0, 1),
        (0, 0, 20140, 1),
    ],
)
def test_the_origin_of_imod_is_that_of_the_frame(
    stamp: int, flags: int, version: int, sign: int, tmp_path: Path
) -> None:
    """IMOD writes the negative of the position, unless a flag or the version of the standard says otherwise."""
    with mrcfile.new(tmp_path / "part.mrc") as file:
        file.set_data((LABELS % 60_000).astype(np.uint16)[2:5, 10:20, 4:9])
        file.voxel_size = tuple(10 * side for side in SPACING[::-1])
        for axis, place in zip("xyz", (800, 1000, 1000), strict=True):
            file.header.origin[axis] = sign * place
        words = bytearray(file.header.extra2.tobytes())
        words[40:48] = np.array([stamp, flags], "<i4").tobytes()
        file.header.extra2 = np.void(bytes(words))
        file.header.nversion = version
    found = read(tmp_path / "part.mrc")
    assert np.array_equal(found[2:5, 10:20, 4:9], (LABELS % 60_000)[2:5, 10:20, 4:9])
    assert not found[:2].any()


def test_a_huge_stack_of_imagej_has_one_page(tmp_path: Path) -> None:
    """ImageJ writes stacks above 4 GB with a single page; the slices follow it."""
    path = tmp_path / "huge.tif"
    labels = (LABELS % 60_000).astype(np.uint16)
    description = f"ImageJ=1.53\nimages={SHAPE[0]}\nslices={SHAPE[0]}\n"
    tifffile.imwrite(path, labels[0], metadata=None, description=description, contiguous=True)
    with path.open("ab") as file:
        file.write(labels[1:].tobytes())
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
    data = path.read_bytes()
    path.write_bytes(data[:start] + labels.tobytes())
    assert np.array_equal(read(path), labels)


# Bad input


def saved(folder: Path, values: Any) -> Path:
    np.save(folder / "bad.npy", values)
    return folder / "bad.npy"


def wide(first: Any, dtype: Any) -> np.ndarray:
    values = LABELS.astype(dtype)
    values[-1, -1, -1] = first
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            LABELS[:, :-1],
            r"6 × 29 × 41 voxels \(z, y, x\) and states no voxel size; expected 6 × 30 × 41 or 3 × 15 × 21",
        ),
        (LABELS.T, "axes seem to be x, y, z"),
        (wide(2.5, np.float32), "value 2.5 at z .* expected whole numbers"),
        (wide(np.nan, np.float64), "value nan"),
        (wide(2**32, np.int64), "label 4294967296 .* at most 4294967295"),
        (wide(1e12, np.float64), "label 1000000000000"),
        (wide(2**32, np.float32), "label 4294967296 .* at most 4294967295"),
        (wide(2**24 + 2, np.float32), "labels above 16777216 are not told apart"),
        (wide(2050, np.float32).clip(max=2050).astype(np.float16), "labels above 2048 are not told apart"),
        (wide(-3, np.int64), "label -3 .* 0 and above"),
        (wide(-1.0, np.float32), "label -1 "),
        (LABELS.astype(np.complex64), "type complex64"),
        (np.zeros(SHAPE, np.uint16), "no label in the volume"),
        (np.zeros(SHAPE, np.float32), "no label in the volume"),
        (LABELS[None], r"4 axes, of shape \(1, 6, 30, 41\)"),
        (LABELS[0], "2 axes"),
    ],
)
def test_values_that_are_no_labels_of_the_volume_are_refused(
    values: np.ndarray, message: str, tmp_path: Path
) -> None:
    with pytest.raises(LabelsError, match=message):
        read(saved(tmp_path, values), levels=[COARSE])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file_origin_nm": (1000.0, 0.0, 0.0)}, r"outside of the volume: its first voxel is at 1, 0, 0 µm"),
        ({"file_origin_nm": (0.0, 0.0, -1e5)}, "outside of the volume"),
        ({"file_spacing_nm": (0.05, 0.01, 0.02)}, "unit is probably wrong"),
        ({"file_spacing_nm": (50.0, 10.0, 10.0)}, "states no offset; give the offset"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(LabelsError, match=message):
        read(saved(tmp_path, LABELS), **options)


def test_a_stated_voxel_size_that_contradicts_the_shape_is_refused(tmp_path: Path) -> None:
    write_label_tiff(LABELS, SHAPE, (40.0, 10.0, 20.0), tmp_path / "a.ome.tif")
    with pytest.raises(LabelsError, match=r"states voxels of 40 × 10 × 20 nm instead of 50 × 10 × 20 nm"):
        read(tmp_path / "a.ome.tif")
    found = read(tmp_path / "a.ome.tif", file_spacing_nm=SPACING)
    assert np.array_equal(found, LABELS)


@pytest.mark.parametrize(("slope", "offset"), [(0.5, 0.0), (1.0, 0.25), (0.01, 0.0)])
def test_a_scale_by_which_labels_are_not_whole_is_named(slope: float, offset: float, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(LABELS.astype(np.int32).T, np.eye(4))
    image.header.set_slope_inter(slope, offset)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(
        LabelsError, match=rf"scale of {slope:g} and an offset of {offset:g} .* without a scale"
    ) as raised:
        read(tmp_path / "a.nii")
    assert "cannot be read" not in str(raised.value)


def test_an_image_layer_of_webknossos_is_no_labels(tmp_path: Path) -> None:
    layer = webknossos(tmp_path, ome=False) / "color"
    layer.mkdir()
    with pytest.raises(
        LabelsError, match=r"category color; name one of the category segmentation: .*segmentation"
    ):
        read(layer)


def turned(folder: Path) -> Path:
    affine = np.zeros((4, 4))
    affine[[0, 1, 2, 3], [1, 0, 2, 3]] = (0.02, 0.01, 0.05, 1)
    nibabel.save(nibabel.Nifti1Image(LABELS.astype(np.int32).T, affine), folder / "turned.nii")
    return folder / "turned.nii"


def mirrored(folder: Path) -> Path:
    return as_nifti(folder, name="mirrored.nii", signs=(-1, 1, 1))


def time_series(folder: Path) -> Path:
    values = np.stack([LABELS.T, LABELS.T], -1).astype(np.int32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "series.nii.gz")
    return folder / "series.nii.gz"


def channels(folder: Path) -> Path:
    tifffile.imwrite(
        folder / "channels.ome.tif", np.stack([LABELS, LABELS], 1), metadata={"axes": "ZCYX"}, ome=True
    )
    return folder / "channels.ome.tif"


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


def cut_nifti(folder: Path) -> Path:
    return cut(as_nifti(folder))


def cut_plain_nifti(folder: Path) -> Path:
    return cut(as_itk(folder))


def cut_mrc(folder: Path) -> Path:
    return cut(as_mrc(folder))


def no_nifti(folder: Path) -> Path:
    with gzip.open(folder / "text.nii.gz", "wb") as file:
        file.write(b"no labels")
    return folder / "text.nii.gz"


def missing_slice(folder: Path) -> Path:
    (as_slices(folder) / "seg_9.tif").unlink()
    return folder / "slices"


def damaged_chunk(folder: Path) -> Path:
    path = as_ome_zarr_04(folder)
    for chunk in (path / "0").glob("0.*"):
        chunk.write_bytes(b"damaged")
    return path


def image_with_labels(folder: Path) -> Path:
    path = as_ome_zarr_04(folder)
    labels = zarr.open_group(path, mode="r+").create_group("labels")
    labels.attrs["labels"] = ["cells"]
    return path


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (turned, "turned or mirrored axes"),
        (mirrored, "turned or mirrored axes"),
        (time_series, "axes x, y, z and more"),
        (channels, "four axes or more"),
        (cut_nifti, "no whole gzip file"),
        (cut_plain_nifti, "no whole NIfTI file"),
        (cut_mrc, "no whole MRC file"),
        (no_nifti, "no whole NIfTI file"),
        (missing_slice, "slices are missing after number 8"),
        (damaged_chunk, "cannot be read"),
        (image_with_labels, "an image with labels inside; name the labels: .*labels/cells"),
        (lambda folder: folder / "absent.nii.gz", "do not exist"),
    ],
)
def test_a_file_that_is_damaged_or_no_volume_of_labels_is_refused(
    write: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(LabelsError, match=message):
        read(write(tmp_path))
