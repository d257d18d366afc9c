"""Phantoms on disk, like an acquisition of a microscope: one TIFF per slice, and acquisition.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from pydantic import BaseModel, ConfigDict, Field

from spherovem_core.errors import ParameterError
from spherovem_core.synthetic.phantom.detector import Stored
from spherovem_core.synthetic.phantom.phantom import Phantom

_PATTERN = "slice_{:04d}.tif"


class Faults(BaseModel):
    """Faults of an acquisition by slice number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing: tuple[int, ...] = Field(default=(), description="Slices whose file is not written.")
    blank: tuple[int, ...] = Field(default=(), description="Slices that hold only zeros.")
    saturated: tuple[int, ...] = Field(default=(), description="Slices that are white everywhere.")
    truncated: tuple[int, ...] = Field(default=(), description="Slices whose file is cut in half.")


def write_acquisition(
    phantom: Phantom,
    folder: Path,
    *,
    faults: Faults | None = None,
    compression: str | None = None,
    dtype: Literal["uint8", "uint16"] | None = None,
    name: str | None = None,
) -> Path:
    """Write the acquired slices of a phantom.

    Parameters
    ----------
    phantom : Phantom
    folder : Path
        Folder of the acquisition; created if absent. Slices are named `slice_0000.tif` and so on.
    faults : Faults, optional
        Faults; by default none.
    compression : str, optional
        Compression known to tifffile, such as ``zlib``.
    dtype : {"uint8", "uint16"}, optional
        Type on disk; by default that of the phantom. uint16 spreads 8-bit grey values over 16 bits (times 257).
    name : str, optional
        Name of the acquisition; by default that of the folder.

    Returns
    -------
    Path
        The folder. `acquisition.json` is written last, like the sentinel file of a microscope.

    Raises
    ------
    ParameterError
        If a fault names a slice that the phantom does not have, or `dtype` is not a type that its images fit in.
    """
    faults = faults or Faults()
    stored = str(dtype or phantom.image.dtype)
    _check(phantom, faults, stored)
    folder.mkdir(parents=True, exist_ok=True)
    for z in range(len(phantom.image)):
        if z in faults.missing:
            continue
        path = folder / _PATTERN.format(z)
        _write_slice(path, _faulty(phantom.image[z], z, faults, stored), compression)
        if z in faults.truncated:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "acquisition.json").write_text(
        json.dumps(
            {
                "name": name or folder.name,
                "instrument": "spherovem phantom",
                "spacing_nm": list(phantom.spacing_nm),
                "slice_count": len(phantom.image),
                "slice_pattern": "slice_*.tif",
                "shape_px": list(phantom.image.shape[1:]),
                "dtype": stored,
                "seed": phantom.parameters.seed,
            },
            indent=2,
        )
        + "\n"
    )
    return folder


def _check(phantom: Phantom, faults: Faults, dtype: str) -> None:
    count = len(phantom.image)
    for kind, numbers in faults:
        beyond = [n for n in numbers if not 0 <= n < count]
        if beyond:
            raise ParameterError(
                f"faults.{kind} names slices {beyond}, but the phantom has slices 0 to {count - 1}; "
                "name slices that exist"
            )
    possible = ("uint8", "uint16") if phantom.image.dtype == np.uint8 else ("uint16",)
    if dtype not in possible:
        raise ParameterError(
            f"dtype is {dtype!r}, but the phantom has {phantom.image.dtype} images; give {' or '.join(possible)}"
        )


def _faulty(plane: Stored, z: int, faults: Faults, dtype: str) -> Stored:
    if z in faults.blank:
        plane = np.zeros_like(plane)
    if z in faults.saturated:
        plane = np.full_like(plane, np.iinfo(plane.dtype).max)
    return plane if str(plane.dtype) == dtype else plane.astype(np.uint16) * np.uint16(257)


def _write_slice(path: Path, plane: Stored, compression: str | None) -> None:
    # Without date and software tag the same phantom gives the same bytes. Without a resolution tag ingest finds no
    # second voxel size.
    tifffile.imwrite(
        path, plane, photometric="minisblack", compression=compression, metadata=None, software=False
    )
