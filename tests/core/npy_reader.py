"""A reader of raw ``.npy`` slices: a format for tests, added in the same way as any other."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import ACCEPTED_TYPES, FileReport, SliceFile


class NpyReader:
    """Reader of ``.npy`` files with one slice (Y, X) or several (Z, Y, X). They hold no voxel size."""

    name = "NPY"
    suffixes = (".npy",)

    def can_read(self, path: Path) -> bool:
        return path.suffix.lower() == ".npy"

    def inspect(self, path: Path) -> FileReport:
        size = path.stat().st_size
        try:
            with path.open("rb") as file:
                npy.read_magic(file)
                shape, _, dtype = npy.read_array_header_1_0(file)
                begin = file.tell()
        except ValueError as error:
            return FileReport(path, (SliceFile(path, fault=f"truncated or not an NPY file ({error})"),))
        *pages, rows, columns = shape
        count = math.prod(pages)
        length = rows * columns * dtype.itemsize
        slices = tuple(
            SliceFile(
                path,
                z if pages else None,
                dtype,
                (rows, columns),
                "" if begin + (z + 1) * length <= size else f"truncated, the file ends at byte {size}",
                begin + z * length,
            )
            for z in range(count)
        )
        problems = []
        if dtype.newbyteorder("=") not in ACCEPTED_TYPES:
            problems = [
                Problem(f"pixels of type {dtype}; expected integers up to 32 bits or floats", path.name)
            ]
        return FileReport(path, slices, tuple(problems), declared_count=count)

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        width = file.shape[1]
        count = (rows.stop - rows.start) * width
        begin = file.place + rows.start * width * file.dtype.itemsize
        values = np.fromfile(file.path, file.dtype, count, offset=begin)
        if values.size < count:
            raise BadSlicesError(f"{file.name}: truncated, {values.size} of {count} pixels are there")
        return values.reshape(-1, width)[:, columns]
