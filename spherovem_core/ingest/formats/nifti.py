"""NIfTI as a source of slices, plain or compressed with gzip."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.ingest import locations
from spherovem_core.ingest.plain_pixels import plain_slices, read_plain, unstated_slices
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile, is_of_system, refused, type_problems
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.unpacked import unpacked
from spherovem_core.ingest.voxel_size import VoxelSize, of_single_precision

LONGEST_HEADER = 540
UNITS = {"meter": "m", "mm": "mm", "micron": "um"}


class NiftiReader:
    """Reader of NIfTI-1 and NIfTI-2 files. Their axes are x, y, z, x fastest: slices lie one after another."""

    name = "NIfTI"
    suffixes = (".nii", ".nii.gz")

    def can_read(self, path: Path) -> bool:
        """Return whether a file is named as a NIfTI file."""
        return path.name.lower().endswith(self.suffixes)

    def inspect(self, path: Path) -> FileReport:
        """Read the header. A compressed file is unpacked only when its pixels are read."""
        size = locations.size_of(path)
        packed = path.suffix.lower() == ".gz"
        try:
            header = _read_header(path, packed=packed)
            dtype = header.get_data_dtype()
            shape = [int(side) for side in header.get_data_shape()]
            begin = int(header.get_data_offset())
            if not shape or min(shape) < 1 or begin < 0:
                raise ValueError(f"shape {tuple(shape)}, pixels from byte {begin}")
        except Exception as error:  # nibabel raises errors of many kinds on damaged headers
            if is_of_system(error):
                raise
            fault = f"truncated or not a NIfTI file ({size} bytes: {error})"
            return FileReport(path, (SliceFile(path, fault=fault),))
        while len(shape) > 2 and shape[-1] == 1:
            shape.pop()
        columns, rows, count = (*shape, 1, 1)[:3]
        if problems := _problems(header, shape, path.name):
            return refused(path, problems)
        end = begin + dtype.itemsize * columns * rows * count
        voxel = _voxel_size(header)
        return FileReport(
            path,
            plain_slices(path, dtype, (count, rows, columns), begin, end if packed else size),
            (
                *type_problems(dtype, path.name),
                *unstated_slices(path.name, dtype, (count, rows, columns), begin, end if packed else size),
            ),
            voxel_sizes=(voxel,) if voxel.has_values else (),
            facts={"compression": "gzip" if packed else "none", "metadata": "NIfTI"},
        )

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read some rows of a slice; the first read of a compressed file unpacks it whole."""
        packed = file.path.suffix.lower() == ".gz"
        return read_plain(file, rows, columns, unpacked(file.path, file.name) if packed else None)


def _read_header(path: Path, *, packed: bool) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    if packed:
        with locations.open_binary(path) as file, gzip.open(file) as content:
            try:
                head = content.read(LONGEST_HEADER)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(error) from error
    else:
        head = locations.read_range(path, 0, LONGEST_HEADER)
    kind = Nifti2Header if 540 in np.frombuffer(head[:4].ljust(4, b"\0"), "<i4").tolist() else Nifti1Header
    if np.frombuffer(head[:4].ljust(4, b"\0"), ">i4")[0] == 540:
        kind = Nifti2Header
    if len(head) < kind.sizeof_hdr:
        raise ValueError("the header is cut off")
    header = kind(head[: kind.sizeof_hdr], check=False)
    if header["magic"].tobytes()[:3] not in (b"n+1", b"n+2"):
        raise ValueError("its header has no mark of a NIfTI file")
    header.check_fix(error_level=40)
    return header


def _problems(header: Any, shape: list[int], name: str) -> list[Problem]:
    problems = []
    if len(shape) > 3:
        found = f"images along more axes than x, y, z ({' × '.join(map(str, shape))}); expected one volume: write one per file"
        problems.append(Problem(found, name))
    slope, intercept = header.get_slope_inter()
    if slope not in (None, 1) or intercept not in (None, 0):
        found = (
            f"values are stored with the scale {slope:g} and offset {intercept:g}; expected grey values as acquired: "
            "write the file without scaling"
        )
        problems.append(Problem(found, name))
    return problems


def _voxel_size(header: Any) -> VoxelSize:
    """Return the zooms; without a unit, or as a cube of side 1, which programs write that know no size, they do not count."""
    zooms = [float(side) for side in header.get_zooms()[:3]]
    try:
        unit = UNITS.get(header.get_xyzt_units()[0])
    except KeyError:  # a code that the format does not know
        unit = None
    if unit is None or all(abs(side - 1) < 1e-6 for side in zooms):
        return VoxelSize(None, None, "")
    x, y, z = (of_single_precision(length_nm(side, unit)) for side in (*zooms, None, None)[:3])
    return VoxelSize.from_axes(z, y, x, "NIfTI header")
