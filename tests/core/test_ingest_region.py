"""A region of an acquisition: its voxels are right, and nothing outside of it is read or checked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError

from spherovem_core.errors import BadSlicesError, ParameterError
from spherovem_core.ingest import open_stack
from spherovem_core.parameters import IngestParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest, crop_acquisition

SHAPE = (7, 100, 90)
SPACING = IngestParameters(spacing_nm=(50, 10, 12))
REGION = RegionOfInterest(z_start=2, z_stop=5, y_start=33, y_stop=70, x_start=17)
FORMATS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strips": {"compression": "zlib", "rowsperstrip": 16},
    "tiles": {"compression": "lzw", "tile": (32, 48), "predictor": True},
    "big endian": {"byteorder": ">"},
    "white is zero": {"photometric": "miniswhite", "compression": "zlib", "rowsperstrip": 7},
}


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 60000, SHAPE).astype(np.uint16)


def write(folder: Path, voxels: np.ndarray, **options: Any) -> None:
    folder.mkdir()
    for z, values in enumerate(voxels):
        options = {"photometric": "minisblack", **options}
        tifffile.imwrite(folder / f"slice_{z:03d}.tif", values, metadata=None, **options)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_region_holds_the_right_voxels(tmp_path: Path, voxels: np.ndarray, kind: str) -> None:
    write(tmp_path / "source", voxels, **FORMATS[kind])
    stack = open_stack(tmp_path / "source", SPACING, region=REGION)
    assert stack.shape == (3, 37, 73)
    found = np.stack([stack.read_slice(z) for z in range(3)])
    expected = np.bitwise_not(voxels) if kind == "white is zero" else voxels
    np.testing.assert_array_equal(found, expected[2:5, 33:70, 17:])
    assert found.dtype == np.uint16
    assert [stack.slice_name(z) for z in range(3)] == ["slice_002.tif", "slice_003.tif", "slice_004.tif"]


def test_a_region_of_a_multi_page_file_is_read(tmp_path: Path, voxels: np.ndarray) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, voxels, photometric="minisblack", compression="zlib", metadata=None)
    stack = open_stack(path, SPACING, region=REGION)
    np.testing.assert_array_equal(stack.read_slice(1), voxels[3, 33:70, 17:])


def test_only_the_strips_of_the_region_are_decoded(tmp_path: Path, voxels: np.ndarray) -> None:
    """The other strips are overwritten, so that decoding one of them fails."""
    write(tmp_path / "source", voxels, **FORMATS["strips"])
    path = tmp_path / "source" / "slice_003.tif"
    with tifffile.TiffFile(path) as tif:
        places = list(zip(tif.pages[0].dataoffsets, tif.pages[0].databytecounts, strict=True))
    content = bytearray(path.read_bytes())
    for strip in (0, 1, 5, 6):
        offset, count = places[strip]
        content[offset : offset + count] = b"\0" * count
    path.write_bytes(content)
    stack = open_stack(tmp_path / "source", SPACING, region=REGION)
    np.testing.assert_array_equal(stack.read_slice(1), voxels[3, 33:70, 17:])
    with pytest.raises(BadSlicesError, match="cannot be decoded"):
        open_stack(tmp_path / "source", SPACING).read_slice(3)


def test_only_the_rows_of_the_region_are_read(
    tmp_path: Path, voxels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "source", voxels)
    counts: list[int] = []
    fromfile = np.fromfile

    def spying(path: Path, dtype: Any, count: int, **options: Any) -> np.ndarray:
        counts.append(count)
        return fromfile(path, dtype, count, **options)

    stack = open_stack(tmp_path / "source", SPACING, region=REGION)
    monkeypatch.setattr(np, "fromfile", spying)
    stack.read_slice(0)
    assert counts == [37 * 90]


def test_faults_outside_of_the_region_do_not_matter(tmp_path: Path, voxels: np.ndarray) -> None:
    source = tmp_path / "source"
    write(source, voxels)
    (source / "slice_001.tif").unlink()
    (source / "slice_005.tif").write_bytes((source / "slice_005.tif").read_bytes()[:3000])
    stack = open_stack(source, SPACING, region=REGION)
    np.testing.assert_array_equal(stack.read_slice(0), voxels[2, 33:70, 17:])
    with pytest.raises(BadSlicesError, match=r"slice number missing: 1"):
        open_stack(source, SPACING)
    with pytest.raises(BadSlicesError, match=r"slice_005.tif"):
        open_stack(source, SPACING, region=RegionOfInterest(z_start=4))


def test_a_region_beyond_the_acquisition_is_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    write(tmp_path / "source", voxels)
    with pytest.raises(ParameterError, match=r"roi: x from 0 to 91 reaches beyond.*90 voxels along x"):
        open_stack(tmp_path / "source", SPACING, region=RegionOfInterest(x_stop=91))
    with pytest.raises(ParameterError, match=r"roi: z from 7 to the end"):
        open_stack(tmp_path / "source", SPACING, region=RegionOfInterest(z_start=7))
    with pytest.raises(ValidationError, match="y from 5 to 5 holds nothing"):
        RegionOfInterest(y_start=5, y_stop=5)


def test_every_region_has_its_own_folder(tmp_path: Path) -> None:
    own = Acquisition(name="a b", source=tmp_path, results_root=tmp_path)
    assert crop_acquisition(own, WHOLE) is own
    assert crop_acquisition(own, REGION).folder == tmp_path / "a b@roi-z2-5_y33-70_x17-end"
    with pytest.raises(ValidationError, match="at most 200"):
        crop_acquisition(own.model_copy(update={"name": "n" * 190}), REGION)
