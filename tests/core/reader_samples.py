"""Small files in the format of each reader, for the tests that all readers share.

A new reader gets an entry in `SAMPLES`, under its name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray


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
    """

    suffix: str
    write_slice: Callable[[Path, NDArray[Any]], None]
    write_stack: Callable[[Path, NDArray[Any]], None] | None = None
    write_with_spacing: Callable[[Path, NDArray[Any], tuple[float, float, float]], None] | None = None


def write_tiff(path: Path, values: NDArray[Any]) -> None:
    tifffile.imwrite(path, values, photometric="minisblack", metadata=None)


def write_ome_tiff(path: Path, volume: NDArray[Any], spacing_nm: tuple[float, float, float]) -> None:
    sizes: dict[str, Any] = {f"PhysicalSize{axis}": s for axis, s in zip("ZYX", spacing_nm, strict=True)}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    tifffile.imwrite(path, volume, ome=True, metadata={"axes": "ZYX", **sizes, **units})


SAMPLES = {
    "TIFF": ReaderSample(".tif", write_tiff, write_tiff, write_ome_tiff),
    "NPY": ReaderSample(".npy", np.save, np.save),
}
