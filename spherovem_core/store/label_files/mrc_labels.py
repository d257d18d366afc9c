"""Labels in MRC files, as IMOD and Amira write them."""

from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.errors import LabelsError
from spherovem_core.store.label_files.volume import LabelVolume, triple, volume_of_array

NM_PER_ANGSTROM = 0.1
FIXED_HEADER = 1024
"""Bytes before the extended header."""
IMOD_STAMP, SIGNED_BYTES, STANDARD_ORIGIN = 1146047817, 1, 4
"""IMOD's mark in the header, and its flags: bytes are signed; the origin has the sign of the MRC2014 standard."""
STANDARD_VERSION = 20140
"""`nversion` of files of the MRC2014 standard, and more."""


def open_mrc(path: Path, shown_name: str = "") -> LabelVolume:
    """Map an MRC file.

    The voxel size counts if it is neither 0 nor a cube of 1 Å, which programs write that know no voxel size. The offset is the
    field `origin`, or else `nxstart`, `nystart` and `nzstart`. IMOD writes the position of the frame in the file, the negative of
    what the MRC2014 standard [1]_ says, unless it marks the file with a flag or as one of this standard.

    Raises
    ------
    LabelsError
        If the file is damaged or holds a stack of volumes.

    References
    ----------
    .. [1] A. Cheng et al., "MRC2014: Extensions to the MRC format header for electron cryo-microscopy and tomography", Journal
       of Structural Biology 192, 146-150 (2015).
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
    if _has_origin_of_imod(header):
        origin = -origin
    if not origin.any():
        origin = np.array([header[name] for name in ("nxstart", "nystart", "nzstart")], float) * sides
    return volume_of_array(
        data, triple(sides[::-1] * NM_PER_ANGSTROM), triple(origin[::-1] * NM_PER_ANGSTROM)
    )


def _xyz(record: Any) -> Any:
    return np.array([record["x"], record["y"], record["z"]], float)


def _has_unsigned_bytes(header: Any) -> bool:
    """Return whether IMOD wrote the file with bytes from 0 to 255."""
    stamp, flags = _imod_words(header)
    return stamp == IMOD_STAMP and not flags & SIGNED_BYTES


def _has_origin_of_imod(header: Any) -> bool:
    stamp, flags = _imod_words(header)
    return stamp == IMOD_STAMP and not flags & STANDARD_ORIGIN and int(header["nversion"]) < STANDARD_VERSION


def _imod_words(header: Any) -> tuple[int, int]:
    words = np.frombuffer(header.tobytes(), header["mode"].dtype.newbyteorder("="), 256)
    words = words.view(header["mode"].dtype)
    return int(words[38]), int(words[39])
