"""Label volumes in common formats: each gives the same numbers, and an unreadable one is refused with the reason."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from spherovem_core.blocks import block_grid
from spherovem_core.errors import IncompleteArtifactError, LabelsError, StoreNotWritableError
from spherovem_core.execution import Execution
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, cube_shards, finish_multiscale
from spherovem_core.store.label_files import open_label_volume

SPACING = (50.0, 10.0, 20.0)
LABELS = np.random.default_rng(0).integers(0, 300, (5, 30, 40)).astype(np.uint16)
REGION = (slice(1, 4), slice(3, 30), slice(7, 12))


def as_npz(folder: Path) -> str:
    np.savez_compressed(folder / "a.npz", labels=LABELS, spacing_nm=np.array(SPACING))
    return str(folder / "a.npz")


def as_npz_of_another_name(folder: Path) -> str:
    np.savez(folder / "n.npz", segmentation=LABELS, spacing_nm=np.array(SPACING))
    return str(folder / "n.npz")


def as_named_npz(folder: Path) -> str:
    np.savez(folder / "b.npz", cells=LABELS, nuclei=LABELS[:1])
    return f"{folder / 'b.npz'}:cells"


def as_npy(folder: Path) -> str:
    np.save(folder / "c.npy", LABELS)
    return str(folder / "c.npy")


def as_tiff(folder: Path) -> str:
    tifffile.imwrite(folder / "d.tif", LABELS, compression="zlib")
    return str(folder / "d.tif")


def as_imagej(folder: Path) -> str:
    tifffile.imwrite(folder / "e.tif", LABELS, imagej=True)
    return str(folder / "e.tif")


def as_zarr(folder: Path) -> str:
    zarr.create_array(folder / "f.zarr", data=LABELS, chunks=(2, 16, 16))
    return str(folder / "f.zarr")


def as_own(folder: Path) -> str:
    write_own(folder).commit()
    return str(folder / "volume.zarr" / "registered" / "labels" / "cells" / "0")


def as_own_image(folder: Path) -> str:
    finish_multiscale(write_own(folder), Execution(), [])
    return str(folder / "volume.zarr" / "registered" / "labels" / "cells")


def write_own(folder: Path) -> ArrayWriter:
    chunks, shards = cube_shards(LABELS.shape)
    spec = ArraySpec(
        "registered/labels/cells", "label", LABELS.shape, np.dtype("uint32"), chunks, shards, SPACING
    )
    writer = ArrayWriter(Layout(folder), spec, "digest")
    for block in block_grid(LABELS.shape, LABELS.shape):
        writer.write(block, LABELS.astype(np.uint32))
    return writer


@pytest.mark.parametrize(
    ("write", "spacing"),
    [
        (as_npz, SPACING),
        (as_npz_of_another_name, SPACING),
        (as_named_npz, None),
        (as_npy, None),
        (as_tiff, None),
        (as_imagej, None),
        (as_zarr, None),
        (as_own, SPACING),
        (as_own_image, SPACING),
    ],
)
def test_every_format_gives_the_same_labels(
    write: Callable[[Path], str], spacing: tuple[float, ...] | None, tmp_path: Path
) -> None:
    with open_label_volume(write(tmp_path)) as volume:
        assert volume.shape == LABELS.shape
        assert volume.dtype.kind == "u"
        assert np.array_equal(volume[REGION], LABELS[REGION])
        assert np.array_equal(volume[2], LABELS[2])
        assert volume.spacing_nm == spacing


def test_the_voxel_size_of_a_foreign_image_is_converted_from_micrometres(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "image.zarr")
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [1, 0.05, 0.01, 0.02]}]
    image = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    group.create_array("s0", data=LABELS)
    for name in ("image.zarr", "image.zarr/s0"):
        with open_label_volume(str(tmp_path / name)) as volume:
            assert volume.spacing_nm == pytest.approx(SPACING)


def absent(folder: Path) -> str:
    return str(folder / "absent.tif")


def other_kind(folder: Path) -> str:
    (folder / "labels.csv").write_text("1,2")
    return str(folder / "labels.csv")


def empty_folder(folder: Path) -> str:
    (folder / "empty").mkdir()
    return str(folder / "empty")


def plain_group(folder: Path) -> str:
    zarr.create_group(folder / "group.zarr").create_array("cells", data=LABELS)
    return str(folder / "group.zarr")


def several_arrays(folder: Path) -> str:
    return as_named_npz(folder).removesuffix(":cells")


def cut_npz(folder: Path) -> str:
    return cut(Path(as_npz(folder)))


def cut_npy(folder: Path) -> str:
    return cut(Path(as_npy(folder)))


def cut_tiff(folder: Path) -> str:
    tifffile.imwrite(folder / "cut.tif", LABELS)
    return cut(folder / "cut.tif")


def two_shapes(folder: Path) -> str:
    with tifffile.TiffWriter(folder / "two.tif") as file:
        file.write(LABELS[0])
        file.write(LABELS[0, :5])
    return str(folder / "two.tif")


def cut(path: Path) -> str:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return str(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (absent, "do not exist"),
        (other_kind, "unknown kind"),
        (empty_folder, "no zarr array"),
        (plain_group, "name the array inside it: cells"),
        (several_arrays, "holds cells, nuclei; name one"),
        (cut_npz, "no whole npz"),
        (cut_npy, "no whole npy"),
        (cut_tiff, "1 pages, but its header says 5"),
        (two_shapes, "all of one shape"),
    ],
)
def test_an_unreadable_file_is_refused_with_the_reason(
    write: Callable[[Path], str], message: str, tmp_path: Path
) -> None:
    name = write(tmp_path)
    with pytest.raises(LabelsError, match=message), open_label_volume(name):
        pass


def test_a_damaged_slice_is_named(tmp_path: Path) -> None:
    path = Path(as_tiff(tmp_path))
    with tifffile.TiffFile(path) as file:
        start = file.pages[3].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(LabelsError, match="slice 3 cannot be decoded"), open_label_volume(str(path)):
        pass


@pytest.mark.parametrize("write", [as_npz, as_tiff])
def test_a_full_disk_names_tmpdir_as_the_remedy(
    write: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "open", lambda *_: open("/dev/full", "wb"))  # noqa: PTH123, SIM115
    with pytest.raises(StoreNotWritableError, match="TMPDIR"), open_label_volume(name):
        pass


def test_an_unfinished_array_is_refused(tmp_path: Path) -> None:
    write_own(tmp_path)
    name = str(tmp_path / "volume.zarr" / "registered" / "labels" / "cells" / "0")
    with pytest.raises(IncompleteArtifactError, match="unfinished"), open_label_volume(name):
        pass
