"""One volume in every format: the same values, type and voxel size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ingest_samples import SHAPE, SPACING_NM, textured
from numpy.typing import NDArray
from reader_samples import SAMPLES
from volume_samples import write_bdv_hdf5, write_bdv_n5, write_n5, write_ome_zarr, write_precomputed

from spherovem_core.ingest import read_stack
from spherovem_core.ingest.readers import READERS
from spherovem_core.parameters import IngestParameters

FOLDERS: dict[str, Callable[[Path, NDArray[Any]], None]] = {
    "OME-Zarr 0.5": lambda path, volume: write_ome_zarr(path, volume, SPACING_NM),
    "OME-Zarr 0.4 in µm, chunks of many slices": lambda path, volume: write_ome_zarr(
        path, volume, SPACING_NM, version="0.4", unit="micrometer", per_unit_nm=1000, chunks=(3, 16, 24)
    ),
    "OME-Zarr 0.5, sharded, axes x, y, z": lambda path, volume: write_ome_zarr(
        path, volume, SPACING_NM, axes="xyz", chunks=(16, 8, 2), shards=(32, 16, 4)
    ),
    "N5": lambda path, volume: write_n5(path, volume, SPACING_NM),
    "BigDataViewer's N5": lambda path, volume: write_bdv_n5(path, volume, SPACING_NM),
    "precomputed": lambda path, volume: write_precomputed(path, volume, SPACING_NM),
    "precomputed, sharded": lambda path, volume: write_precomputed(path, volume, SPACING_NM, sharded=True),
    "BigDataViewer's HDF5": lambda path, volume: write_bdv_hdf5(path / "volume.h5", volume, SPACING_NM),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_volume_is_the_same_in_every_format_of_folders(tmp_path: Path, name: str, dtype: str) -> None:
    volume = textured(SHAPE, dtype)
    if "HDF5" in name:
        (tmp_path / "volume").mkdir()
    FOLDERS[name](tmp_path / "volume", volume)
    acquired = read_stack(tmp_path / "volume", IngestParameters())
    assert acquired.image.tobytes() == volume.tobytes()
    assert (acquired.image.dtype, acquired.spacing_nm) == (volume.dtype, SPACING_NM)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("name", [reader.name for reader in READERS])
def test_a_volume_is_the_same_in_every_format_of_files(tmp_path: Path, name: str, dtype: str) -> None:
    sample, volume = SAMPLES[name], textured(SHAPE, dtype)
    parameters = IngestParameters()
    if sample.write_with_spacing is not None:
        source = tmp_path / f"volume{sample.suffix}"
        sample.write_with_spacing(source, volume, SPACING_NM)
    else:
        parameters = IngestParameters(spacing_nm=SPACING_NM)
        source = tmp_path / "volume"
        source.mkdir()
        for z, values in enumerate(volume):
            sample.write_slice(source / f"slice_{z:03d}{sample.suffix}", values)
    acquired = read_stack(source, parameters)
    assert acquired.image.tobytes() == volume.tobytes()
    assert (acquired.image.dtype, acquired.spacing_nm) == (volume.dtype, SPACING_NM)
