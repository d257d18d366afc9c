"""MRC as a source of slices, as SerialEM, IMOD, Amira and the cryo-EM programs write it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.ingest import locations
from spherovem_core.ingest.plain_pixels import plain_slices, read_plain, unstated_slices
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile, refused, type_problems
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize, of_single_precision

SUFFIXES = (".mrc", ".mrcs", ".st", ".rec", ".map", ".ali", ".preali")
HEADER_BYTES = 1024
MODES = {0: "i1", 1: "i2", 2: "f4", 3: "c4", 4: "c8", 6: "u2", 12: "f2", 16: "3u1", 101: "4 bits"}
IMOD_STAMP, SIGNED_BYTES = 1146047817, 1
"""IMOD's mark in the header, and the flag that says that its bytes are signed."""
VOLUME_STACK = 401
LARGEST_TURN_DEG = 0.01


class MrcReader:
    """Reader of MRC files: the header through mrcfile's description of it, the pixels straight from the file."""

    name = "MRC"
    suffixes = SUFFIXES[:4]

    def can_read(self, path: Path) -> bool:
        """Return whether a file is named as an MRC file."""
        return path.suffix.lower() in SUFFIXES

    def inspect(self, path: Path) -> FileReport:
        """Read the header."""
        size = locations.size_of(path)
        header = _read_header(locations.read_range(path, 0, HEADER_BYTES))
        if header is None:
            fault = f"truncated or not an MRC file ({size} bytes: its first {HEADER_BYTES} are no MRC header)"
            return FileReport(path, (SliceFile(path, fault=fault),))
        shape = (int(header["nz"]), int(header["ny"]), int(header["nx"]))
        begin = HEADER_BYTES + int(header["nsymbt"])
        problems = [*_problems(header, path.name)]
        stored = MODES[int(header["mode"])]
        if problems:
            return refused(path, problems)
        dtype = np.dtype("u1" if stored == "i1" and _signed_bytes(header) is False else stored)
        dtype = dtype.newbyteorder(header.dtype["mode"].byteorder)
        size_nm = _voxel_size(header)
        return FileReport(
            path,
            plain_slices(path, dtype, shape, begin, size),
            (*type_problems(dtype, path.name), *unstated_slices(path.name, dtype, shape, begin, size)),
            voxel_sizes=(size_nm,) if size_nm.has_values else (),
            facts={
                "bits": dtype.itemsize * 8,
                "byte_order": "big" if dtype.str.startswith(">") else "little",
                "metadata": "IMOD" if _imod_stamp(header) else "MRC",
            },
        )

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read some rows of a slice; see `read_plain`."""
        return read_plain(file, rows, columns)


def _read_header(content: bytes) -> Any:
    """Return the header in the byte order in which it makes sense; None if it does in neither."""
    from mrcfile.dtypes import HEADER_DTYPE

    if len(content) < HEADER_BYTES:
        return None
    for order in "<>":
        header = np.frombuffer(content, HEADER_DTYPE.newbyteorder(order), 1)[0]
        axes = sorted(int(header[name]) for name in ("mapc", "mapr", "maps"))
        sides = [int(header[name]) for name in ("nx", "ny", "nz")]
        # Files from before 2000 have neither axes nor the word MAP.
        known = bytes(header["map"])[:3] == b"MAP" or axes in ([0, 0, 0], [1, 2, 3])
        if int(header["mode"]) in MODES and min(sides) > 0 and known and int(header["nsymbt"]) >= 0:
            return header
    return None


def _problems(header: Any, name: str) -> list[Problem]:
    problems = []
    stored = MODES[int(header["mode"])]
    if stored in ("c4", "c8", "3u1", "4 bits"):
        kind = {"3u1": "colour", "4 bits": "of 4 bits"}.get(stored, "complex")
        mode = int(header["mode"])
        found = f"pixels are {kind} (MRC mode {mode}); expected integers or floats: convert them (newstack -mode 6)"
        problems.append(Problem(found, name))
    if stored == "i1" and _signed_bytes(header) is None:
        found = (
            "pixels are bytes (MRC mode 0), and its header says neither by IMOD's mark nor by the least and greatest value "
            "whether they run from 0 to 255 or from -128 to 127; write them as 16 bits (newstack -mode 6)"
        )
        problems.append(Problem(found, name))
    axes = tuple(int(header[axis]) for axis in ("mapc", "mapr", "maps"))
    if axes not in ((0, 0, 0), (1, 2, 3)):
        found = (
            f"columns, rows and sections run along the axes {axes}; expected (1, 2, 3), which is x, y, z: turn the volume "
            "(IMOD: clip or rotatevol) and write it again"
        )
        problems.append(Problem(found, name))
    angles = [float(header["cellb"][name]) for name in ("alpha", "beta", "gamma")]
    # Programs write 0 or no angle at all where they know none.
    if not all(angle == 0 or abs(angle - 90) < LARGEST_TURN_DEG for angle in angles):
        found = (
            f"the cell's angles are {angles[0]:g}, {angles[1]:g}, {angles[2]:g} degrees; expected 90, as voxels are boxes: "
            "resample a skewed cell, or write the file again with angles of 90 if they are wrong"
        )
        problems.append(Problem(found, name))
    if int(header["ispg"]) >= VOLUME_STACK:
        volumes = int(header["nz"]) // max(1, int(header["mz"]))
        found = f"holds a stack of {volumes} volumes; expected one volume per file: write them one by one"
        problems.append(Problem(found, name))
    return problems


def _voxel_size(header: Any) -> VoxelSize:
    """Return the cell divided by its grid, in nm; 0 and 1 Å stand for unknown, as programs write that know no size."""
    sides = []
    for axis, grid in (("z", "mz"), ("y", "my"), ("x", "mx")):
        cell, count = float(header["cella"][axis]), int(header[grid])
        side = cell / count if count > 0 else 0.0
        sides.append(None if abs(side - 1) < 1e-6 else of_single_precision(length_nm(side, "angstrom")))
    if int(header["mz"]) == 1 < int(header["nz"]):
        sides[0] = None  # a stack of single images: the cell's height is that of one
    return VoxelSize.from_axes(sides[0], sides[1], sides[2], "MRC cell dimensions")


def _imod_stamp(header: Any) -> bool:
    return bool(_words(header)[38] == IMOD_STAMP)


def _signed_bytes(header: Any) -> bool | None:
    """Return whether bytes run from -128 to 127, as the standard says, or from 0 to 255, as many programs write them.

    IMOD's mark decides, else the least and greatest value in the header; None if the header has neither.
    """
    if _imod_stamp(header):
        return bool(_words(header)[39] & SIGNED_BYTES)
    low, high = float(header["dmin"]), float(header["dmax"])
    if not low <= high or low == high == 0:
        return None
    return low < 0 or high <= np.iinfo(np.int8).max


def _words(header: Any) -> NDArray[Any]:
    return np.frombuffer(header.tobytes(), header.dtype["mode"], 256)
