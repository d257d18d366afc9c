"""Voxel sizes from metadata that no microscope has are a fault, unless the user states them in nm."""

from pathlib import Path
from typing import Any

import pytest
import tifffile
from ingest_samples import SPACING_NM, textured, write_slices

from spherovem_core.errors import AcquisitionError, BadSlicesError, MissingSpacingError, ParameterError
from spherovem_core.ingest import open_stack
from spherovem_core.ingest.plausibility import plausibility_problems
from spherovem_core.ingest.voxel_size import VoxelSize
from spherovem_core.parameters import IngestParameters
from spherovem_core.region_of_interest import RegionOfInterest


def found(*sizes: VoxelSize) -> str:
    return "; ".join(problem.found for problem in plausibility_problems(sizes))


@pytest.mark.parametrize(
    ("z", "yx", "words"),
    [
        (50.0, (10.0, 12.0), ""),
        (0.5, (0.5, 0.5), ""),
        (10_000.0, (9000.0, 9000.0), ""),
        (50.0, (0.49, 0.49), "y, x = 0.49, 0.49 nm (FEI metadata) is not plausible"),
        (50.0, (12.0, 10_001.0), "y, x = 12, 10001 nm"),
        (0.05, (10.0, 10.0), "z = 0.05 nm (FEI metadata) is not plausible; expected 0.5 to 10000 nm"),
        (50_000.0, (600.0, 600.0), "z = 50000 nm"),
        (1200.0, (10.0, 10.0), "is 120 times as long as wide"),
        (50.0, (10.0, 1200.0), "is 120 times as long as wide"),
    ],
)
def test_sizes_out_of_range_are_named(z: float, yx: tuple[float, float], words: str) -> None:
    text = found(VoxelSize(z, yx, "FEI metadata"))
    assert (words in text) if words else not text


@pytest.mark.parametrize("origin", ["argument", "acquisition.json"])
def test_what_the_user_states_counts_as_it_is(origin: str) -> None:
    assert not found(VoxelSize(50_000.0, (0.1, 0.1), origin))
    stated = VoxelSize(3000.0, None, origin)
    assert "300 times as long as wide" in found(stated, VoxelSize(None, (10.0, 10.0), "Zeiss metadata"))


IMAGEJ = [
    ("inch", 72, "352778"),
    ("inch", 96, "264583"),
    ("inch", 300, "84666.7"),
    ("cm", 28.346456, "352778"),
    ("mm", 2.8346456, "352778"),
    ("um", 72, "is 72 pixels per µm"),
    ("um", 96, "is 96 pixels per µm"),
    ("micron", 300, "is 300 pixels per µm"),
    ("um", 1, "is 1 pixel per µm"),
    ("nm", 1, "is 1 pixel per nm"),
    ("um", 28.346456, "35.2778 nm (ImageJ metadata) has the digits of 72 dots per inch"),
    ("mm", 2835, "has the digits of 72 dots per inch"),
    ("um", 37.795, "has the digits of 96 dots per inch"),
    ("pixel", 1, "pixel size is missing"),
    ("pixels", 72, "pixel size is missing"),
]


@pytest.mark.parametrize(("unit", "pixels_per_unit", "words"), IMAGEJ)
def test_the_resolution_of_a_screen_is_no_voxel_size(
    tmp_path: Path, unit: str, pixels_per_unit: float, words: str
) -> None:
    for z, values in enumerate(textured()):
        path = tmp_path / f"s_{z}.tif"
        resolution = (pixels_per_unit, pixels_per_unit)
        tifffile.imwrite(path, values, imagej=True, resolution=resolution, metadata={"unit": unit})
    (tmp_path / "acquisition.json").write_text('{"spacing_nm": [50, null, null]}')
    with pytest.raises(
        MissingSpacingError, match=r"pass spacing_nm \(z, y, x\) or add it to acquisition"
    ) as raised:
        open_stack(tmp_path, IngestParameters())
    assert words in str(raised.value)
    assert open_stack(tmp_path, IngestParameters(spacing_nm=SPACING_NM)).spacing_nm == SPACING_NM


def test_one_micrometre_of_ome_is_a_default(tmp_path: Path) -> None:
    sizes = {f"PhysicalSize{axis}": 1.0 for axis in "XYZ"}
    tifffile.imwrite(tmp_path / "s.ome.tif", textured(), ome=True, metadata={"axes": "ZYX", **sizes})
    with pytest.raises(MissingSpacingError, match="1 pixel per µm"):
        open_stack(tmp_path / "s.ome.tif", IngestParameters())


def test_trusted_resolution_tags_must_be_plausible_too(tmp_path: Path) -> None:
    write_slices(tmp_path, textured(), resolution=(72, 72), resolutionunit="INCH")
    (tmp_path / "acquisition.json").write_text('{"spacing_nm": [50, null, null]}')
    with pytest.raises(MissingSpacingError, match=r"352778 nm \(resolution tags\) is not plausible"):
        open_stack(tmp_path, IngestParameters(trust_resolution_tags=True))


@pytest.mark.parametrize("side", [1e-5, 0.0, -10.0, 1e308, float("nan"), float("inf")])
def test_a_spacing_that_is_no_length_is_no_parameter(side: float) -> None:
    with pytest.raises(ValueError, match="spacing_nm"):
        IngestParameters(spacing_nm=(50.0, side, 10.0))


def test_a_region_of_an_unreadable_acquisition_names_its_faults(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, textured())
    for path in folder.glob("*.tif"):
        path.write_bytes(b"")
    options: dict[str, Any] = {"region": RegionOfInterest(y_stop=20)}
    with pytest.raises(AcquisitionError, match="not a TIFF file"):
        open_stack(folder, IngestParameters(spacing_nm=SPACING_NM), **options)
    write_slices(tmp_path, textured())
    with pytest.raises(ParameterError, match="y from 0 to 50 reaches beyond the acquisition"):
        open_stack(folder, IngestParameters(spacing_nm=SPACING_NM), region=RegionOfInterest(y_stop=50))
    (folder / "slice_0001.tif").unlink()
    with pytest.raises(BadSlicesError, match="missing: 1"):
        open_stack(folder, IngestParameters(spacing_nm=SPACING_NM), **options)
