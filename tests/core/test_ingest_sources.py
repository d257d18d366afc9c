"""Sources of slices: containers, compressions and byte orders, the order of files, and sources without slices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import SHAPE, SPACING_NM, textured, write_slices

from spherovem_core.errors import BadSlicesError, NoSlicesError, ParameterError
from spherovem_core.ingest import SliceStack, open_stack
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)


def read_all(stack: SliceStack) -> Any:
    return np.stack([stack.read_slice(z) for z in range(stack.shape[0])])


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "zstd"])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_slices_come_back_as_written(
    tmp_path: Path, compression: str | None, layout: dict[str, Any], byteorder: Any, dtype: str
) -> None:
    volume = textured(dtype=dtype)
    write_slices(tmp_path, volume, compression=compression, byteorder=byteorder, **layout)
    stack = open_stack(tmp_path, GIVEN)
    read = read_all(stack)
    assert read.dtype.isnative
    assert (stack.shape, stack.dtype, read.dtype) == (volume.shape, volume.dtype, volume.dtype)
    np.testing.assert_array_equal(read, volume)


MULTIPAGE: list[tuple[str, dict[str, Any]]] = [
    ("plain.tif", {}),
    ("one_directory.tif", {"truncate": True}),
    ("without_metadata.tif", {"metadata": None}),
    ("big.tif", {"bigtiff": True, "byteorder": ">"}),
    ("compressed.tif", {"compression": "lzw", "predictor": True}),
    ("tiled.ome.tif", {"ome": True, "tile": (16, 16), "compression": "deflate", "metadata": {"axes": "ZYX"}}),
    ("big.ome.tif", {"ome": True, "bigtiff": True, "metadata": {"axes": "ZYX"}}),
    ("imagej.tif", {"imagej": True}),
    ("imagej_slices.tif", {"imagej": True, "metadata": {"axes": "ZYX"}}),
    ("imagej_one_directory.tif", {"imagej": True, "truncate": True}),
]


@pytest.mark.parametrize(("name", "options"), MULTIPAGE)
def test_the_pages_of_one_file_are_the_slices(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    volume = textured(dtype="uint16")
    tifffile.imwrite(tmp_path / name, volume, **options)
    for source in (tmp_path / name, tmp_path):
        stack = open_stack(source, GIVEN)
        np.testing.assert_array_equal(read_all(stack), volume)
    assert stack.slice_name(2) == f"{name} page 3"


def test_ome_metadata_order_the_pages(tmp_path: Path) -> None:
    """The stack's last slice is the file's first page."""
    path = tmp_path / "reversed.ome.tif"
    tifffile.imwrite(path, textured()[::-1], ome=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tif:
        written = tif.ome_metadata
    whole = '<TiffData IFD="0" PlaneCount="7"/>'
    assert whole in written
    entries = "".join(f'<TiffData IFD="{page}" FirstZ="{6 - page}" PlaneCount="1"/>' for page in range(7))
    tifffile.tiffcomment(path, written.replace(whole, entries).encode())
    np.testing.assert_array_equal(read_all(open_stack(path, GIVEN)), textured())


def test_thumbnail_pages_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(textured()[0], metadata=None)
        tif.write(textured()[0, ::4, ::4], subfiletype=1, metadata=None)
        tif.write(textured()[1], metadata=None)
    np.testing.assert_array_equal(read_all(open_stack(path, GIVEN)), textured()[:2])


def test_inverted_greyscale_is_complemented(tmp_path: Path) -> None:
    write_slices(tmp_path, textured(), photometric="miniswhite")
    np.testing.assert_array_equal(read_all(open_stack(tmp_path, GIVEN)), 255 - textured())


def test_hidden_files_thumbnails_and_other_files_are_left_out(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, textured())
    for name in ("._slice_0001.tif", ".slice_0001.tif", "Slice_Thumbnail.tif", "Thumbs.db", "log.txt"):
        (folder / name).write_bytes(b"nothing")
    (folder / "details").mkdir()
    assert open_stack(folder, GIVEN).shape == SHAPE


def test_slices_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    volume = textured((12, 8, 16))
    for z, values in enumerate(volume, start=1):
        tifffile.imwrite(tmp_path / f"s{z}.TIFF", values, metadata=None)
    stack = open_stack(tmp_path, GIVEN)
    np.testing.assert_array_equal(read_all(stack), volume)
    assert stack.numbers == tuple(range(1, 13))


def test_every_second_slice_is_no_stack_of_gaps(tmp_path: Path) -> None:
    for z, values in enumerate(textured()):
        tifffile.imwrite(tmp_path / f"s_{2 * z:03d}.tif", values, metadata=None)
    filling = GIVEN.model_copy(update={"on_bad_slice": "interpolate"})
    with pytest.raises(
        BadSlicesError, match=r"do not count in steps of 1.*slice_number_step = 2 \(the z spacing"
    ):
        open_stack(tmp_path, filling)
    step_of_2 = filling.model_copy(update={"slice_number_step": 2})
    assert open_stack(tmp_path, step_of_2).shape[0] == len(textured())


def test_numbers_in_steps_need_slice_number_step(tmp_path: Path) -> None:
    for z in range(4):
        tifffile.imwrite(tmp_path / f"z{z * 40:05d}nm.tif", textured()[z], metadata=None)
    with pytest.raises(BadSlicesError, match=r"do not count in steps of 1.*slice_number_step"):
        open_stack(tmp_path, GIVEN)
    assert open_stack(tmp_path, GIVEN.model_copy(update={"slice_number_step": 40})).shape[0] == 4


def test_databar_rows_are_cut_off(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, textured())
    stack = open_stack(folder, GIVEN.model_copy(update={"databar_rows": 9}))
    np.testing.assert_array_equal(read_all(stack), textured()[:, :31])
    with pytest.raises(ParameterError, match=r"databar_rows = 40 leaves nothing of slice_0000\.tif"):
        open_stack(folder, GIVEN.model_copy(update={"databar_rows": 40}))


def test_a_source_without_slices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSlicesError, match="the folder holds no file"):
        open_stack(tmp_path, GIVEN)
    (tmp_path / "image.gif").write_bytes(b"gif")
    with pytest.raises(NoSlicesError, match="no slice of a known format among its 1 files"):
        open_stack(tmp_path, GIVEN)
    write_slices(tmp_path / "images", textured())
    with pytest.raises(NoSlicesError, match="subfolder images has some"):
        open_stack(tmp_path, GIVEN)
    with pytest.raises(NoSlicesError, match="does not exist"):
        open_stack(tmp_path / "nowhere", GIVEN)
    with pytest.raises(NoSlicesError, match="not named as a file of a known format"):
        open_stack(tmp_path / "image.gif", GIVEN)
