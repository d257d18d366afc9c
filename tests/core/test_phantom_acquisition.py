"""The phantom on disk: slices as a microscope writes them, faults, and a separate file of truth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from spherovem_core.errors import IncompleteArtifactError, ParameterError
from spherovem_core.synthetic.phantom import (
    Faults,
    Phantom,
    make_phantom,
    read_truth,
    write_acquisition,
    write_truth,
)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(shape=(6, 48, 40), spacing_nm=(50.0, 20.0, 10.0), cell_diameter_um=1.0,
                        scenes=("droplets",), droplet_volume_fraction=0.02, droplet_diameter_um=(0.06, 0.1),
                        nanoparticle_diameter_nm=80.0, membrane_width_nm=20.0)  # fmt: skip


def test_every_slice_is_a_single_page_tiff(phantom: Phantom, tmp_path: Path) -> None:
    folder = write_acquisition(phantom, tmp_path / "spheroid_7")
    assert sorted(p.name for p in folder.glob("*.tif")) == [f"slice_{z:04d}.tif" for z in range(6)]
    for z, path in enumerate(sorted(folder.glob("*.tif"))):
        with tifffile.TiffFile(path) as file:
            assert len(file.pages) == 1
            assert np.array_equal(file.asarray(), phantom.image[z])
    description = json.loads((folder / "acquisition.json").read_text())
    assert description["name"] == "spheroid_7"
    assert description["spacing_nm"] == [50.0, 20.0, 10.0]
    assert description["slice_count"] == 6
    assert description["slice_pattern"] == "slice_*.tif"
    assert description["instrument"]


def test_the_same_phantom_writes_the_same_bytes(phantom: Phantom, tmp_path: Path) -> None:
    folders = [write_acquisition(phantom, tmp_path / part, name="a") for part in ("one", "two")]
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()


def test_slices_can_be_compressed_and_have_16_bits(phantom: Phantom, tmp_path: Path) -> None:
    folder = write_acquisition(phantom, tmp_path / "a", dtype="uint16", compression="zlib")
    image = tifffile.imread(folder / "slice_0002.tif")
    assert image.dtype == np.uint16
    assert np.array_equal(image, phantom.image[2].astype(int) * 257)


def test_faults_are_written_as_named(phantom: Phantom, tmp_path: Path) -> None:
    faults = Faults(missing=(1,), blank=(2,), saturated=(3,), truncated=(4,))
    folder = write_acquisition(phantom, tmp_path / "a", faults=faults)
    assert [p.name for p in sorted(folder.glob("*.tif"))] == [f"slice_000{z}.tif" for z in (0, 2, 3, 4, 5)]
    assert json.loads((folder / "acquisition.json").read_text())["slice_count"] == 6
    assert np.all(tifffile.imread(folder / "slice_0002.tif") == 0)
    assert np.all(tifffile.imread(folder / "slice_0003.tif") == 255)
    whole = (folder / "slice_0005.tif").stat().st_size
    assert (folder / "slice_0004.tif").stat().st_size == whole // 2
    # tifffile may return a part of the slice without an error; every reader must notice.
    try:
        shape = tifffile.imread(folder / "slice_0004.tif").shape
    except (ValueError, tifffile.TiffFileError, IndexError):
        shape = None
    assert shape != (48, 40)


@pytest.mark.parametrize("kind", ["missing", "blank", "saturated", "truncated"])
def test_a_fault_in_a_slice_that_does_not_exist_is_an_error(
    phantom: Phantom, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(ParameterError, match=rf"{kind} names slices \[6\].*0 to 5"):
        write_acquisition(phantom, tmp_path / "a", faults=Faults(**{kind: (6,)}))
    assert not (tmp_path / "a").exists()


def test_a_type_other_than_uint8_and_uint16_is_an_error(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="uint8 or uint16"):
        write_acquisition(phantom, tmp_path / "a", dtype="float32")  # type: ignore[arg-type]


def test_truth_is_read_as_written(phantom: Phantom, tmp_path: Path) -> None:
    again = read_truth(write_truth(phantom, tmp_path / "truth" / "a.npz"))
    assert again.parameters == phantom.parameters
    assert again.spacing_nm == phantom.spacing_nm
    for name in ("image", "clean", "cells", "nuclei", "nanoparticles", "nucleus_parents",
                 "nanoparticle_parents", "transforms", "cell_volumes_um3", "agglomerates", "others", "specimen"):  # fmt: skip
        kept, made = getattr(again, name), getattr(phantom, name)
        assert kept.dtype == made.dtype
        assert np.array_equal(kept, made)
    for name in ("particles", "other_objects"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(phantom, name))


def test_a_file_without_truth_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", image=np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:60])
    (tmp_path / "text.npz").write_text("no numbers")
    np.save(tmp_path / "single.npy", np.zeros(3))
    for name in ("other.npz", "cut.npz", "text.npz", "single.npy"):
        with pytest.raises(IncompleteArtifactError, match="write_truth"):
            read_truth(tmp_path / name)
