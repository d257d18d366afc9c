"""Formats besides TIFF: what each says about size, type and kind of its pixels, and damage of each."""

import struct
from pathlib import Path
from typing import Any

import dm_files
import h5py
import imagecodecs
import mrcfile
import nibabel
import numpy as np
import pytest
import tifffile
from ingest_samples import SHAPE, SPACING_NM, textured, truncate
from PIL import Image
from reader_samples import write_mrc, write_nifti

from spherovem_core.errors import BadSlicesError, MissingSpacingError, NoSlicesError
from spherovem_core.ingest import open_stack, read_stack, survey_stack
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)


def found_in(source: Path) -> list[str]:
    """List the problems of a source."""
    return [problem.found for problem in survey_stack(source, IngestParameters()).problems]


@pytest.mark.parametrize("side", [0.0, 1.0])
def test_mrc_cells_of_0_or_1_angstrom_are_no_voxel_size(tmp_path: Path, side: float) -> None:
    path = tmp_path / "stack.mrc"
    write_mrc(path, textured(), (side / 10,) * 3)
    with pytest.raises(MissingSpacingError, match="no voxel size"):
        open_stack(path, IngestParameters())


def test_mrc_stack_of_images_has_no_z_spacing(tmp_path: Path) -> None:
    path = tmp_path / "stack.st"
    with mrcfile.new(path) as file:
        file.set_data(textured(SHAPE, "uint16"))
        file.set_image_stack()
        file.voxel_size = (120.0, 100.0, 500.0)
    (found,) = found_in(path)
    assert found.startswith("z spacing is missing (MRC cell dimensions: y, x = 10, 12 nm)")


@pytest.mark.parametrize("angles", [(90, 90, 120), (0, 89, 0), (90, np.nan, 90)])
def test_mrc_cells_that_are_no_boxes_are_refused(tmp_path: Path, angles: tuple[float, float, float]) -> None:
    path = tmp_path / "stack.mrc"
    write_mrc(path, textured(), SPACING_NM)
    open_stack(path, IngestParameters())
    with path.open("r+b") as raw:
        raw.seek(52)
        raw.write(struct.pack("<fff", *angles))
    with pytest.raises(BadSlicesError, match=r"cell's angles are .* degrees; expected 90"):
        open_stack(path, IngestParameters())


def test_mrc_cells_without_angles_are_boxes(tmp_path: Path) -> None:
    path = tmp_path / "stack.mrc"
    write_mrc(path, textured(), SPACING_NM)
    with path.open("r+b") as raw:
        raw.seek(52)
        raw.write(struct.pack("<fff", 0, 0, 0))
    assert open_stack(path, IngestParameters()).spacing_nm == SPACING_NM


def test_big_endian_mrc_with_an_extended_header_is_exact(tmp_path: Path) -> None:
    path, values = tmp_path / "stack.rec", textured(SHAPE, "uint16")
    write_mrc(path, values, SPACING_NM)
    content = path.read_bytes()
    header = bytearray(np.frombuffer(content[:1024], "<u4").astype(">u4").tobytes())
    header[92:96] = struct.pack(">i", 100)
    # Letters are not turned.
    header[208:216] = b"MAP \x11\x11\0\0"
    path.write_bytes(bytes(header) + bytes(100) + values.astype(">u2").tobytes())
    acquired = read_stack(path, IngestParameters())
    np.testing.assert_array_equal(acquired.image, values)
    assert acquired.spacing_nm == SPACING_NM


@pytest.mark.parametrize(
    ("place", "value", "found"),
    [
        (12, 4, "pixels are complex"),
        (12, 101, "pixels are of 4 bits"),
        (64, 2, "columns, rows and sections run along the axes"),
        (88, 401, "holds a stack of 1 volumes"),
    ],
)
def test_mrc_that_is_no_stack_of_grey_slices_is_refused(
    tmp_path: Path, place: int, value: int, found: str
) -> None:
    path = tmp_path / "stack.mrc"
    write_mrc(path, textured(SHAPE, "uint16"))
    with path.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack("<i", value))
        if place == 64:
            file.write(struct.pack("<i", 1))
            file.write(struct.pack("<i", 3))
    with pytest.raises(BadSlicesError, match=found):
        open_stack(path, GIVEN)


@pytest.mark.parametrize("count", [10**6, 2**31 - 1])
def test_an_absurd_number_of_slices_is_one_fault(tmp_path: Path, count: int) -> None:
    path = tmp_path / "stack.mrc"
    write_mrc(path, textured())
    with path.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack("<i", count))
    with pytest.raises(BadSlicesError, match=rf"its header says {count} slices, the file .* has room for 7"):
        open_stack(path, GIVEN)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", (2**40, 4, 8), np.uint8, chunks=(1, 4, 8))
    with pytest.raises(BadSlicesError, match="its metadata are damaged"):
        open_stack(tmp_path / "a.h5", GIVEN)


def test_signed_bytes_of_mrc_are_told_from_unsigned_ones_by_their_greatest_value(tmp_path: Path) -> None:
    path, values = tmp_path / "stack.mrc", textured()
    assert values.max() > 127
    with mrcfile.new(path) as file:
        file.set_data(values.view(np.int8))
        file.header.dmin, file.header.dmax = 1, 254
    np.testing.assert_array_equal(read_stack(path, GIVEN).image, values)
    with path.open("r+b") as raw:
        raw.seek(76)
        raw.write(struct.pack("<ff", -128, 127))
    expected = values.view(np.int8).astype(int)
    np.testing.assert_array_equal(read_stack(path, GIVEN).image, expected - expected.min())
    for unknown in ((0, 0), (0, -1), (np.nan, np.nan)):
        with path.open("r+b") as raw:
            raw.seek(76)
            raw.write(struct.pack("<ff", *unknown))
        with pytest.raises(
            BadSlicesError, match="says neither by IMOD's mark nor by the least and greatest value"
        ):
            open_stack(path, GIVEN)


@pytest.mark.parametrize(("suffix", "write"), [(".mrc", write_mrc), (".nii", write_nifti)])
def test_more_slices_than_the_header_says_are_refused(tmp_path: Path, suffix: str, write: Any) -> None:
    path = tmp_path / f"stack{suffix}"
    write(path, textured(SHAPE, "uint16"))
    with path.open("ab") as file:
        file.write(textured(SHAPE, "uint16")[:2].tobytes())
    with pytest.raises(BadSlicesError, match="its header says 7 slices, but pixels of 9 are there"):
        open_stack(path, GIVEN)


def test_an_mrc_cell_without_a_grid_is_no_voxel_size(tmp_path: Path) -> None:
    path = tmp_path / "stack.mrc"
    write_mrc(path, textured(SHAPE, "uint16"), SPACING_NM)
    with path.open("r+b") as raw:
        raw.seek(28)
        raw.write(struct.pack("<iii", 0, 0, 0))
    with pytest.raises(MissingSpacingError, match="no voxel size"):
        open_stack(path, IngestParameters())


@pytest.mark.parametrize("suffix", [".dm3", ".dm4"])
@pytest.mark.parametrize(("unit", "nm"), [("nm", 1), ("µm", 1000)])
def test_dm_calibration_is_converted_and_a_thumbnail_left_out(
    tmp_path: Path, suffix: str, unit: str, nm: int
) -> None:
    path, values = tmp_path / f"stack{suffix}", textured(SHAPE, "uint16")
    dm_files.write_dm(path, values, tuple(side / nm for side in SPACING_NM), unit=unit, thumbnail=True)
    acquired = read_stack(path, IngestParameters())
    np.testing.assert_array_equal(acquired.image, values)
    assert acquired.spacing_nm == SPACING_NM


def test_several_images_in_one_dm_file_are_one_fault_that_names_them(tmp_path: Path) -> None:
    path = tmp_path / "both.dm4"
    dm_files.write_images(
        path, [dm_files.image_tags(textured(shape), None, "") for shape in (SHAPE, (20, 30))]
    )
    (found, *_) = found_in(path)
    assert found.startswith("holds 2 images besides a thumbnail (7 × 40 × 64, 20 × 30); expected one")


@pytest.mark.parametrize("unit", ["mm", "micron", "meter"])
def test_nifti_zooms_are_converted_by_their_unit(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "stack.nii"
    factor = {"micron": 1e-3, "mm": 1e-6, "meter": 1e-9}[unit]
    image = nibabel.Nifti1Image(textured().T, None)
    image.header.set_xyzt_units(unit)
    image.header.set_zooms([side * factor for side in SPACING_NM[::-1]])
    nibabel.save(image, path)
    assert open_stack(path, IngestParameters()).spacing_nm == SPACING_NM


def test_nifti_without_unit_or_as_a_cube_of_one_has_no_voxel_size(tmp_path: Path) -> None:
    path = tmp_path / "stack.nii"
    write_nifti(path, textured())
    assert found_in(path)[0].startswith("no voxel size")


def test_scaled_nifti_and_a_fourth_axis_are_refused(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(textured().T, np.eye(4))
    image.header.set_slope_inter(2.0, 5.0)
    nibabel.save(image, tmp_path / "scaled.nii")
    with (tmp_path / "scaled.nii").open("r+b") as file:
        file.seek(112)
        file.write(struct.pack("<ff", 2.0, 5.0))
    assert found_in(tmp_path / "scaled.nii")[0].startswith("values are stored with the scale 2 and offset 5")
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 6, 7, 2), np.uint8), np.eye(4)), tmp_path / "times.nii")
    assert "more axes than x, y, z (5 × 6 × 7 × 2)" in found_in(tmp_path / "times.nii")[0]


def test_nifti_colours_are_refused_with_one_error(tmp_path: Path) -> None:
    colours = np.zeros((5, 6, 7), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(BadSlicesError, match=r"pixels of type .*'R'.*export them as greyscale"):
        read_stack(tmp_path / "a.nii", GIVEN)


def test_compressed_nifti_is_exact_and_a_damaged_one_names_its_slices(tmp_path: Path) -> None:
    path = tmp_path / "stack.nii.gz"
    write_nifti(path, textured(), SPACING_NM)
    np.testing.assert_array_equal(read_stack(path, IngestParameters()).image, textured())
    truncate(path, 0.7)
    with pytest.raises(BadSlicesError, match=r"truncated or damaged \(.*\); copy it again"):
        read_stack(path, IngestParameters())


def test_colour_and_palette_png_are_refused(tmp_path: Path) -> None:
    for kind, mode in [
        ("colour", "RGB"),
        ("palette colour", "P"),
        ("grey with transparency", "LA"),
        ("of 1 bits", "1"),
    ]:
        Image.new(mode, (30, 20)).save(tmp_path / "a.png")
        assert found_in(tmp_path / "a.png")[0].startswith(f"pixels are {kind}; expected grey of 8 or 16 bits")


def test_a_transparent_grey_value_of_png_is_refused_before_a_pixel_is_read(tmp_path: Path) -> None:
    Image.fromarray(textured()[0]).save(tmp_path / "a.png", transparency=10)
    assert found_in(tmp_path / "a.png")[0].startswith("one grey value is transparent")


def test_an_animated_png_is_refused_and_the_refusal_is_said_once(tmp_path: Path) -> None:
    for z, values in enumerate(textured()):
        Image.fromarray(values).save(
            tmp_path / f"slice_{z}.png", save_all=True, append_images=[Image.fromarray(255 - values)]
        )
    every = survey_stack(tmp_path, GIVEN).problems
    assert {problem.found.partition(";")[0] for problem in every} == {"holds an animation of several images"}
    assert len(every) == len(textured())


def test_png_with_data_behind_its_end_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(textured()[0]) + b"\0" * 20)
    np.testing.assert_array_equal(read_stack(path, GIVEN).image, textured()[:1])


def test_damage_inside_a_png_is_a_bad_slice(tmp_path: Path) -> None:
    content = imagecodecs.png_encode(textured()[0])
    (tmp_path / "a.png").write_bytes(content[:400] + bytes(200) + content[600:])
    with pytest.raises(BadSlicesError, match=r"a\.png: cannot be decoded"):
        read_stack(tmp_path / "a.png", GIVEN)


def test_jpeg2000_codestreams_are_exact_and_colour_is_refused(tmp_path: Path) -> None:
    path, values = tmp_path / "a.j2k", textured(SHAPE, "uint16")[0]
    path.write_bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k"))
    np.testing.assert_array_equal(read_stack(path, GIVEN).image[0], values)
    (tmp_path / "b.jp2").write_bytes(imagecodecs.jpeg2k_encode(np.zeros((20, 30, 3), np.uint8)))
    assert found_in(tmp_path / "b.jp2")[0].startswith("colour, 3 samples per pixel")


def test_slices_in_two_formats_are_refused_but_twins_and_overviews_are_not(tmp_path: Path) -> None:
    for z, values in enumerate(textured()):
        tifffile.imwrite(tmp_path / f"slice_{z:03d}.tif", values)
        (tmp_path / f"slice_{z:03d}.png").write_bytes(imagecodecs.png_encode(values // 2))
    (tmp_path / "overview.png").write_bytes(imagecodecs.png_encode(textured()[0]))
    with pytest.raises(NoSlicesError, match=r"files of several formats \(7 TIFF, 8 PNG\)"):
        open_stack(tmp_path, GIVEN)
    (tmp_path / "overview.png").unlink()
    np.testing.assert_array_equal(read_stack(tmp_path, GIVEN).image, textured())
    for path in tmp_path.glob("*.png"):
        path.unlink()
    (tmp_path / "overview.png").write_bytes(imagecodecs.png_encode(textured()[0]))
    np.testing.assert_array_equal(read_stack(tmp_path, GIVEN).image, textured())


@pytest.mark.parametrize("name", ["a.mrc", "a.dm3", "a.nii", "a.nii.gz", "a.png", "a.jp2", "a.h5"])
@pytest.mark.parametrize("content", [b"", b"\0" * 2000, bytes(range(256)) * 20])
def test_a_file_of_another_kind_is_one_clear_fault(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadSlicesError, match=r"truncated or not an? "):
        open_stack(path, GIVEN)
