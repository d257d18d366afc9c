"""Gatan's DM3 and DM4 as a source of slices."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spherovem_core.ingest import locations
from spherovem_core.ingest.extras import missing_extra
from spherovem_core.ingest.plain_pixels import plain_slices, read_plain
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import WANTED, FileReport, SliceFile, is_of_system, refused, type_problems
from spherovem_core.ingest.units import length_nm
from spherovem_core.ingest.voxel_size import VoxelSize, of_single_precision

# What ncempy raises on damaged tags, besides errors of the system.
DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
)
TYPES = {1: "<i2", 2: "<f4", 6: "u1", 7: "<i4", 9: "i1", 10: "<u2", 11: "<u4", 12: "<f8"}
RGB = 23
DATA = re.compile(r"\.ImageList\.\d+\.ImageData(?=\.Data\.arrayOffset$)")
# NumPy parses the types that ncempy asks for with Python's ast, which Python 3.11 may refuse in several threads at once.
_PARSING = threading.Lock()


class DigitalMicrographReader:
    """Reader of DM3 and DM4 files: the tags through ncempy, the pixels, which are never compressed, straight from the file.

    A file may hold a thumbnail, which is left out, and several images, which are refused.
    """

    name = "DigitalMicrograph"
    suffixes = (".dm3", ".dm4")

    def can_read(self, path: Path) -> bool:
        """Return whether a file is named as a DigitalMicrograph file."""
        return path.suffix.lower() in self.suffixes

    def inspect(self, path: Path) -> FileReport:
        """Read the tags; arrays of more than some bytes are passed over."""
        size = locations.size_of(path)
        try:
            images = _images(path, size)
        except (*DAMAGE, OSError) as error:
            if is_of_system(error):
                raise
            reason = error if str(error) else type(error).__name__
            fault = f"truncated or not a DM3 or DM4 file ({size} bytes: {reason})"
            return FileReport(path, (SliceFile(path, fault=fault),))
        if len(images) != 1:
            found = f"holds {len(images)} images besides a thumbnail"
            if images:
                found += f" ({', '.join(image.text for image in images)})"
            problem = Problem(
                f"{found}; expected one image or one volume per file: save each in a file of its own",
                path.name,
            )
            return refused(path, (problem,))
        (image,) = images
        problems, dtype = image.problems(path.name), image.dtype
        if dtype is None or image.shape[0] > 1:
            return refused(path, problems)
        voxel = image.voxel_size()
        return FileReport(
            path,
            plain_slices(path, dtype, image.shape[-3:], image.offset, size),
            problems,
            voxel_sizes=(voxel,) if voxel.has_values else (),
            facts={"bits": dtype.itemsize * 8, "byte_order": "little", "metadata": "Gatan"},
        )

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read some rows of a slice; see `read_plain`."""
        return read_plain(file, rows, columns)


class _Image:
    """One image of a file: shape (T, Z, Y, X), sides of a voxel x first."""

    def __init__(self, tags: Mapping[str, Any], place: str) -> None:
        sides = [int(tags.get(f"{place}.Dimensions.{axis}", 1)) for axis in (4, 3, 2, 1)]
        if min(sides) < 1:
            raise ValueError(f"an image of shape {tuple(sides)}")
        self.shape = (sides[0], sides[1], sides[2], sides[3])
        self.offset = int(tags[f"{place}.Data.arrayOffset"])
        self.kind = int(tags[f"{place}.DataType"])
        known = TYPES.get(self.kind)
        self.dtype = None if known is None else np.dtype(known)
        calibration = f"{place}.Calibrations.Dimension"
        self.sides_nm = [
            of_single_precision(
                length_nm(tags.get(f"{calibration}.{axis}.Scale"), tags.get(f"{calibration}.{axis}.Units"))
            )
            for axis in (1, 2, 3)
        ]

    @property
    def text(self) -> str:
        """Shape in words, without leading axes of extent 1."""
        sides = [str(side) for side in self.shape]
        while len(sides) > 2 and sides[0] == "1":
            sides.pop(0)
        return " × ".join(sides)

    def problems(self, name: str) -> tuple[Problem, ...]:
        """Report what cannot be a stack of slices."""
        if self.shape[0] > 1:
            found = f"images along more axes than z, y, x ({self.text}); expected one image or one volume per file"
            return (Problem(found, name),)
        if self.dtype is None:
            names = {RGB: "colour", 3: "complex", 13: "complex"}
            kind = names.get(self.kind, f"of DigitalMicrograph's type {self.kind}")
            return (Problem(f"pixels are {kind}; {WANTED}", name),)
        return type_problems(self.dtype, name)

    def voxel_size(self) -> VoxelSize:
        """Return the calibration; of a single image it has no z."""
        x, y, z = self.sides_nm
        return VoxelSize.from_axes(z if self.shape[1] > 1 else None, y, x, "Gatan calibration")


def _images(path: Path, size: int) -> list[_Image]:
    try:
        from ncempy.io.dm import fileDM
    except ImportError as error:
        raise missing_extra("dm", "DM3 and DM4 files", error) from error

    class Tags(fileDM):  # type: ignore[misc]
        """Tags read through a file object of any kind, and never more of them than the file has."""

        def fromfile(self, fid: BinaryIO, dtype: Any, count: int = 1) -> NDArray[Any]:
            kind = np.dtype(dtype)
            content = fid.read(min(int(count) * kind.itemsize, size))
            return np.frombuffer(content[: len(content) - len(content) % kind.itemsize], kind)

        def seek(self, fid: BinaryIO, offset: Any, from_what: int = 0) -> None:
            place = int(offset) + (fid.tell() if from_what == 1 else size if from_what == 2 else 0)
            if not 0 <= place <= size:
                raise ValueError(f"its tags refer to byte {place}")
            fid.seek(place)

    # It counts tags in int8 and lets the count run over.
    with _PARSING, locations.open_binary(path) as file, np.errstate(over="ignore"):
        tags = Tags(file, on_memory=False).allTags
        if not any(name.startswith(".ImageList.") for name in tags):
            raise ValueError("it has no list of images")
        places = dict.fromkeys(found[0] for name in tags if (found := DATA.match(name)))
        images = [_Image(tags, place) for place in places]
    # The first of several is a thumbnail if it is in colour.
    return images[1:] if len(images) > 1 and images[0].kind == RGB else images
