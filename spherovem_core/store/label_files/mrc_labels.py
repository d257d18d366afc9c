"""Labels in MRC files, as IMOD and Amira write them."""

from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.errors import LabelsError
from spherovem_core.store.label_files.volume import LabelVolume, triple, volume_of_array

NM_PER_ANGSTROM = 0.1
FIXED_HEADER = 1024
"""Bytes before the extended header."""
IMOD_STAMP, SIGNED_BYTES = 1146047817, 1
"""IMOD's mark in the header, and the flag that says that its bytes are signed."""


def open_mrc(path: Path, shown_name: str = "") -> LabelVolume:
    """Map an MRC file.

    The voxel size counts if it is neither 0 nor a cube of 1 Å, which programs write that know no voxel size. The offset is the
    field `origin`, or else `nxstart`, `nystart` and `nzstart`.

    Raises
    ------
    LabelsError
        If the file is damaged or holds a stack of volumes.
    """
    import mrcfile

    shown = shown_name or str(path)
    try:
        with mrcfile.mmap(path, mode="r", permissive=False) as file:
            header, sides = file.header.copy(), _xyz(file.voxel_size)
            dtype, shape = file.data.dtype, file.data.shape
    except (ValueError, OSError, EOFError) as error:
        raise LabelsError(f"{shown} is no whole MRC file ({error}); copy or write it again") from error
    if len(shape) != 3:
        raise LabelsError(
            f"{shown} has the shape {shape}; expected the three axes z, y, x: write one volume per file"
        )
    data: Any = np.memmap(path, dtype, "r", FIXED_HEADER + int(header["nsymbt"]), shape)
    order = [3 - int(header[axis]) for axis in ("maps", "mapr", "mapc")]
    if sorted(order) != [0, 1, 2]:
        order = [0, 1, 2]
    if header["mode"] == 0 and _has_unsigned_bytes(header):
        data = data.view(np.uint8)
    data = data.transpose([order.index(axis) for axis in range(3)])
    if not (sides > 0).all() or np.allclose(sides, 1):
        return volume_of_array(data)
    origin = _xyz(header["origin"])
    if not origin.any():
        origin = np.array([header[name] for name in ("nxstart", "nystart", "nzstart")], float) * sides
    return volume_of_array(
        data, triple(sides[::-1] * NM_PER_ANGSTROM), triple(origin[::-1] * NM_PER_ANGSTROM)
    )


def _xyz(record: Any) -> Any:
    return np.array([record["x"], record["y"], record["z"]], float)


def _has_unsigned_bytes(header: Any) -> bool:
    """Return whether IMOD wrote the file with bytes from 0 to 255."""
    words = np.frombuffer(header.tobytes(), header["mode"].dtype.newbyteorder("="), 256)
    words = words.view(header["mode"].dtype)
    return bool(words[38] == IMOD_STAMP and not words[39] & SIGNED_BYTES)
