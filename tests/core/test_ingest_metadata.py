"""Voxel size and databar in the metadata of instruments and image programs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import SHAPE, SPACING_NM, textured, write_slices

from spherovem_core.errors import AcquisitionError, BadSlicesError, MissingSpacingError
from spherovem_core.ingest import open_stack, read_stack
from spherovem_core.ingest.tiff.vendor_metadata import databar_rows, slice_index, voxel_sizes
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize, combine, spacing_of
from spherovem_core.parameters import IngestParameters

DEFAULT = IngestParameters()


UNITS = [
    ("nm", 1),
    ("µm", 1e3),
    ("μm", 1e3),
    ("\\u00B5m", 1e3),
    ("micron", 1e3),
    ("microns", 1e3),
    ("um\x00", 1e3),
    ("Å", 0.1),
    ("mm", 1e6),
    ("inch", 2.54e7),
    ("m", 1e9),
]


@pytest.mark.parametrize(("unit", "nm"), UNITS)
def test_lengths_are_converted_to_nm(unit: str, nm: float) -> None:
    assert length_nm(2.5, unit) == pytest.approx(2.5 * nm)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(1.0, "pixel"), (1.0, "s"), (1.0, None), (0.0, "nm"), (-3, "nm"), (float("nan"), "nm"), ("", "nm"), (None, "nm")],
)  # fmt: skip
def test_a_value_or_unit_that_is_no_length_gives_none(value: Any, unit: Any) -> None:
    assert length_nm(value, unit) is None


def vendor_size(path: Path) -> VoxelSize:
    with tifffile.TiffFile(path) as tif:
        return combine(voxel_sizes(tif, tif.pages[0]))


VENDOR_FILES = [
    # file, z, y, x in nm; the values are those of the table in the data's README, to the digits the files give
    ("FEI-Helios-Ebeam-8bits.tif", None, 3372.4, 3372.4),
    ("FEI-Helios-Ebeam-16bits.tif", None, 3372.4, 3372.4),
    ("test_tiff_Zeiss_SEM_1k.tif", None, 2615.0, 2615.0),
    ("ZEISS_SEM_multipage.tif", 60.0, 12.33, 12.33),
    # 5.965 µm over 512 columns; ap_pixel_size says 5.825 nm, half of it, for a screen of 1024
    ("test_tiff_Zeiss_SEM_512pix.tif", None, 4474 / 384, 5965 / 512),
    ("test_loading_image_saved_with_imageJ.tif", None, 1000 / 5.928571, 1000 / 5.928571),
    ("test_loading_image_saved_with_imageJ_stack.tif", 2500.0, 1000 / 5.928571, 1000 / 5.928571),
    ("test_loading_image_saved_with_DM.tif", None, 168.6747, 168.6747),
    # the stack's third axis is in seconds
    ("test_loading_image_saved_with_DM_stack.tif", None, 1686.7400, 168.6740),
]


@pytest.mark.parametrize(("name", "z", "y", "x"), VENDOR_FILES)
def test_the_voxel_size_of_vendor_files_is_read(
    shared_data: Path, name: str, z: float | None, y: float, x: float
) -> None:
    size = vendor_size(shared_data / "tiff_vendor" / name)
    assert size.z_nm == (None if z is None else pytest.approx(z))
    assert size.yx_nm == pytest.approx((y, x))


@pytest.mark.parametrize(
    "name",
    [
        "FEI-Helios-navcam.tif",
        "test_loading_image_saved_with_imageJ_no_scale.tif",
        "test_loading_image_saved_with_imageJ_stack_no_scale.tif",
    ],
)
def test_vendor_files_without_a_voxel_size_are_refused(shared_data: Path, name: str) -> None:
    path = shared_data / "tiff_vendor" / name
    assert not vendor_size(path).has_values
    with pytest.raises(AcquisitionError, match="no voxel size"):
        open_stack(path, DEFAULT)


FEI_ROWS = [
    ("FEI-Helios-Ebeam-8bits.tif", 442),
    ("FEI-Helios-Ebeam-16bits.tif", 442),
    ("FEI-Helios-navcam.tif", 512),
]


@pytest.mark.parametrize(("name", "rows"), FEI_ROWS)
def test_fei_databar_is_cut(shared_data: Path, name: str, rows: int) -> None:
    path = shared_data / "tiff_vendor" / name
    stack = open_stack(path, IngestParameters(spacing_nm=SPACING_NM))
    whole = tifffile.imread(path)
    assert stack.shape == (1, rows, whole.shape[1])
    # The image in these test files has been blanked, so that read_slice would refuse it.
    np.testing.assert_array_equal(stack.read_as_acquired(0).values, whole[:rows])
    with tifffile.TiffFile(path) as tif:
        assert databar_rows(tif.pages[0]) == whole.shape[0] - rows
    assert open_stack(path, IngestParameters(spacing_nm=SPACING_NM, databar_rows=0)).shape[1] == len(whole)


def test_zeiss_slice_numbers_order_the_pages(shared_data: Path) -> None:
    path = shared_data / "tiff_vendor" / "ZEISS_SEM_multipage.tif"
    with tifffile.TiffFile(path) as tif:
        assert [slice_index(page) for page in tif.pages] == [2, 5]
    with pytest.raises(BadSlicesError, match="2 slice numbers missing: 3, 4"):
        open_stack(path, DEFAULT)
    stack = open_stack(path, IngestParameters(on_bad_slice="interpolate"))
    assert stack.numbers == (2, 3, 4, 5)
    assert stack.missing.tolist() == [False, True, True, False]
    assert stack.spacing_nm == pytest.approx((60.0, 12.33, 12.33))
    first, last = tifffile.imread(path).astype(float)
    np.testing.assert_allclose(stack.read_slice(1), first + (last - first) / 3, atol=0.51)
    np.testing.assert_allclose(stack.read_slice(2), first + (last - first) * 2 / 3, atol=0.51)


@pytest.mark.parametrize(
    "name",
    [
        "test_loading_image_saved_with_DM.tif",
        "test_loading_image_saved_with_DM_stack.tif",
        "test_loading_image_saved_with_imageJ.tif",
        "test_loading_image_saved_with_imageJ_no_scale.tif",
        "test_loading_image_saved_with_imageJ_stack.tif",
        "test_loading_image_saved_with_imageJ_stack_no_scale.tif",
    ],
)
def test_gatan_and_imagej_values_are_stored_with_their_grey_scale(shared_data: Path, name: str) -> None:
    path = shared_data / "tiff_vendor" / name
    acquired = read_stack(path, IngestParameters(spacing_nm=SPACING_NM))
    expected = np.atleast_3d(tifffile.imread(path)).reshape(acquired.image.shape)
    scale = acquired.grey_scale
    found = acquired.image if scale is None else acquired.image * scale.scale + scale.offset
    np.testing.assert_allclose(found, expected, atol=0.0 if scale is None else 0.51 * scale.scale)


OME = {
    "axes": "ZYX",
    "PhysicalSizeX": 0.012,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 10,
    "PhysicalSizeYUnit": "nm",
}
OME_Z = {"PhysicalSizeZ": 5e-5, "PhysicalSizeZUnit": "mm"}


def test_ome_units_count_per_axis(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, textured(), metadata={**OME, **OME_Z})
    stack = open_stack(path, DEFAULT)
    assert stack.spacing_nm == pytest.approx(SPACING_NM)
    assert stack.spacing_origin == "OME metadata"


def test_a_missing_z_spacing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, textured(), metadata=OME)
    with pytest.raises(
        MissingSpacingError, match=r"z spacing is missing \(OME metadata: y, x = 10, 12 nm\); pass spacing_nm"
    ):
        open_stack(path, DEFAULT)


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_the_voxel_size_of_an_imagej_stack_is_read(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "stack.tif"
    options = {"resolution": (1 / 0.012, 1 / 0.010), "metadata": {"spacing": 0.05, "unit": unit}}
    tifffile.imwrite(path, textured(), imagej=True, **options)
    stack = open_stack(path, DEFAULT)
    # Resolutions are stored as fractions of 32-bit integers.
    assert stack.spacing_nm == pytest.approx(SPACING_NM, rel=1e-6)
    np.testing.assert_array_equal(stack.read_slice(3), textured()[3])


def test_imagej_resolution_of_zero_is_no_voxel_size(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, textured(), imagej=True, resolution=((0, 1), (0, 1)), metadata={"unit": "um"})
    with pytest.raises(MissingSpacingError, match="no voxel size"):
        open_stack(path, DEFAULT)


def test_argument_comes_before_description_before_metadata(tmp_path: Path) -> None:
    """z and pixel size may come from different sources."""
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, textured(), metadata={**OME, **OME_Z})
    description = tmp_path / "acquisition.json"
    description.write_text(json.dumps({"spacing_nm": [70, None, None]}))
    stack = open_stack(path, DEFAULT)
    assert stack.spacing_nm == pytest.approx((70.0, 10.0, 12.0))
    assert stack.spacing_origin == "z: acquisition.json; y, x: OME metadata"
    description.write_text(json.dumps({"spacing_nm": [70, 8, 9], "instrument": "GeminiSEM"}))
    stack = open_stack(path, DEFAULT)
    assert (stack.spacing_nm, stack.spacing_origin) == ((70.0, 8.0, 9.0), "acquisition.json")
    assert stack.metadata["acquisition"]["instrument"] == "GeminiSEM"
    stack = open_stack(path, IngestParameters(spacing_nm=(3, 2, 1)))
    assert (stack.spacing_nm, stack.spacing_origin) == ((3.0, 2.0, 1.0), "argument")


INVALID_DESCRIPTIONS = [
    '{"spacing_nm": [0, 10, 10]}',
    '{"spacing_nm": [10, 10]}',
    '{"spacing_nm": "10 nm"}',
    '{"spacing_nm": [-1, 2, 2]}',
    '{"spacing_nm": [50, true, 10]}',
]
UNREADABLE_DESCRIPTIONS = [
    '{"spacing_nm": [50, NaN, 10]}',
    '{"spacing_nm": [50, 10',
    "[50, 10, 10]",
    '{"spacing_nm": [50, 10, 12], "spacing_nm": [50, 10, 10]}',
]


@pytest.mark.parametrize("text", INVALID_DESCRIPTIONS)
def test_an_invalid_acquisition_json_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_slices(tmp_path / "run", textured())
    (folder / "acquisition.json").write_text(text)
    with pytest.raises(AcquisitionError, match=r"acquisition\.json.*(expected|correct or remove)"):
        open_stack(folder, DEFAULT)
    assert open_stack(folder, IngestParameters(spacing_nm=SPACING_NM)).shape == SHAPE


@pytest.mark.parametrize("text", UNREADABLE_DESCRIPTIONS)
def test_an_unreadable_acquisition_json_is_refused_with_a_spacing_too(tmp_path: Path, text: str) -> None:
    """It may exclude slices."""
    folder = write_slices(tmp_path / "run", textured())
    (folder / "acquisition.json").write_text(text)
    for parameters in (DEFAULT, IngestParameters(spacing_nm=SPACING_NM)):
        with pytest.raises(AcquisitionError, match=r"acquisition\.json.*(expected|correct or remove)"):
            open_stack(folder, parameters)


def test_resolution_tags_count_only_if_trusted(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, textured(), resolution=(1e6, 2e6), resolutionunit="CENTIMETER")
    with pytest.raises(MissingSpacingError, match="trust_resolution_tags"):
        open_stack(folder, DEFAULT)
    (folder / "acquisition.json").write_text('{"spacing_nm": [50, null, null]}')
    stack = open_stack(folder, IngestParameters(trust_resolution_tags=True))
    assert stack.spacing_nm == pytest.approx((50.0, 5.0, 10.0))


def test_a_change_of_magnification_is_an_error(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, textured())
    for z, nm in ((0, 10.0), (1, 10.0), (2, 20.0)):
        size = {
            "PhysicalSizeX": nm,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": nm,
            "PhysicalSizeYUnit": "nm",
        }
        tifffile.imwrite(folder / f"slice_{z:04d}.tif", textured()[z], ome=True, metadata=size)
    (folder / "acquisition.json").write_text('{"spacing_nm": [50, null, null]}')
    with pytest.raises(
        BadSlicesError, match=r"slice_0002\.tif: voxel size \(\?, 20, 20\) nm.*slice_0000\.tif"
    ):
        open_stack(folder, DEFAULT)
    assert spacing_of(VoxelSize(50, (1, 2), "")) == (50.0, 1.0, 2.0)
