"""Small files in the format of each reader, for the tests that all readers share.

A new reader gets an entry in `SAMPLES`, under its name.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import mrcfile
import nibabel
import numpy as np
import tifffile
from dm_files import write_dm
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm


@dataclass(frozen=True)
class ReaderSample:
    """Functions that write files of one format.

    Attributes
    ----------
    suffix
        Ending of the files.
    write_slice
        Writes a (Y, X) array of any type.
    write_stack
        Writes a (Z, Y, X) array into one file; None if the format holds one slice per file.
    write_with_spacing
        Writes a (Z, Y, X) array with a voxel size (dz, dy, dx) in nm; None if the format holds no voxel size.
    holds_floats
        False if the format has whole numbers only.
    """

    suffix: str
    write_slice: Callable[[Path, NDArray[Any]], None]
    write_stack: Callable[[Path, NDArray[Any]], None] | None = None
    write_with_spacing: Callable[[Path, NDArray[Any], tuple[float, float, float]], None] | None = None
    holds_floats: bool = True


def write_tiff(path: Path, values: NDArray[Any]) -> None:
    tifffile.imwrite(path, values, photometric="minisblack", metadata=None)


def write_ome_tiff(path: Path, volume: NDArray[Any], spacing_nm: tuple[float, float, float]) -> None:
    sizes: dict[str, Any] = {f"PhysicalSize{axis}": s for axis, s in zip("ZYX", spacing_nm, strict=True)}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    tifffile.imwrite(path, volume, ome=True, metadata={"axes": "ZYX", **sizes, **units})


def write_mrc(path: Path, values: NDArray[Any], spacing_nm: SpacingNm | None = None) -> None:
    """Write MRC; bytes get IMOD's mark that says that they run from 0 to 255, since MRC's own bytes are signed."""
    is_byte = values.dtype == np.uint8
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(values.view(np.int8) if is_byte else values)
        if values.ndim == 3:
            file.set_volume()
        # mrcfile writes a cell of 0 where no voxel size is set.
        if spacing_nm is not None:
            file.voxel_size = tuple(10 * side for side in spacing_nm[::-1])
    if is_byte:
        with path.open("r+b") as raw:
            raw.seek(152)
            raw.write(struct.pack("<ii", 1146047817, 0))


def write_nifti(path: Path, values: NDArray[Any], spacing_nm: SpacingNm | None = None) -> None:
    image = nibabel.Nifti1Image(values.T, np.eye(4) if spacing_nm is None else None)
    if spacing_nm is not None:
        image.header.set_zooms([side / 1000 for side in spacing_nm[::-1]])
        image.header.set_xyzt_units("micron")
    nibabel.save(image, path)


def write_hdf5(path: Path, values: NDArray[Any], spacing_nm: SpacingNm | None = None) -> None:
    """Write one dataset, with a voxel size in the way of ilastik and PlantSeg."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("exported_data", data=values)
        if spacing_nm is not None:
            dataset.attrs["element_size_um"] = [side / 1000 for side in spacing_nm]


def write_png(path: Path, values: NDArray[Any]) -> None:
    path.write_bytes(imagecodecs.png_encode(values))


def write_jpeg2000(path: Path, values: NDArray[Any]) -> None:
    path.write_bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True))


SAMPLES = {
    "TIFF": ReaderSample(".tif", write_tiff, write_tiff, write_ome_tiff),
    "NPY": ReaderSample(".npy", np.save, np.save),
    "MRC": ReaderSample(".mrc", write_mrc, write_mrc, write_mrc),
    "DigitalMicrograph": ReaderSample(".dm4", write_dm, write_dm, write_dm),
    "PNG": ReaderSample(".png", write_png, holds_floats=False),
    "JPEG 2000": ReaderSample(".jp2", write_jpeg2000, holds_floats=False),
    "HDF5": ReaderSample(".h5", write_hdf5, write_hdf5, write_hdf5),
    "NIfTI": ReaderSample(".nii", write_nifti, write_nifti, write_nifti),
}
