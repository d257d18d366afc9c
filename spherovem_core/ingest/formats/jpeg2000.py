"""JPEG 2000 as a source of slices, one per file."""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spherovem_core.ingest import locations
from spherovem_core.ingest.formats.coded_images import read_coded
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile, refused, type_problems

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM, END = b"\xff\x4f\xff\x51", b"\xff\xd9"
# From the first marker to the depth of the first component.
SIZE_BYTES = 43
# A longer side is taken for damage, before memory is asked for.
LONGEST_SIDE = 2**20


class Jpeg2000Reader:
    """Reader of greyscale JPEG 2000 files (JP2) and bare codestreams. No voxel size is read from them."""

    name = "JPEG 2000"
    suffixes = (".jp2", ".j2k")

    def can_read(self, path: Path) -> bool:
        """Return whether a file is named as a JPEG 2000 file."""
        return path.suffix.lower() in (*self.suffixes, ".j2c", ".jpf", ".jpx")

    def inspect(self, path: Path) -> FileReport:
        """Read the size and kind of the image, and look for its end."""
        size = locations.size_of(path)
        try:
            with locations.open_binary(path) as file:
                begin, end = _codestream(file, size)
                file.seek(begin)
                head = file.read(SIZE_BYTES)
                right, bottom, left, top = struct.unpack(">IIII", head[8:24])
                if not (0 < right - left <= LONGEST_SIDE and 0 < bottom - top <= LONGEST_SIDE):
                    raise ValueError(f"{bottom - top} × {right - left} pixels")
                count, depth = struct.unpack(">HB", head[40:43])
                file.seek(max(begin, min(end, size) - 2))
                whole = file.read(2) == END and end <= size
        except (ValueError, struct.error) as error:
            fault = f"truncated or not a JPEG 2000 file ({size} bytes: {error})"
            return FileReport(path, (SliceFile(path, fault=fault),))
        if count != 1:
            found = (
                f"colour, {count} samples per pixel; expected slices of one channel: export them as greyscale"
            )
            return refused(path, (Problem(found, path.name),))
        bits, signed = (depth & 127) + 1, bool(depth & 128)
        dtype = np.dtype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2 if bits <= 16 else 4}")
        fault = "" if whole else f"truncated, the end of the image is not among its {size} bytes"
        slices = (SliceFile(path, None, dtype, (bottom - top, right - left), fault),)
        facts = {"compression": "jpeg 2000", "bits": bits}
        return FileReport(path, slices, type_problems(dtype, path.name), facts=facts)

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Decode the slice and cut the part out of it."""
        import imagecodecs

        return read_coded(file, imagecodecs.jpeg2k_decode)[rows, columns]


def _codestream(file: BinaryIO, size: int) -> tuple[int, int]:
    """Find the bytes at which the codestream begins and ends."""
    head = file.read(len(SIGNATURE))
    if head[:4] == CODESTREAM:
        return 0, size
    if head != SIGNATURE:
        raise ValueError("its first bytes are those of another kind")
    place = 0
    while place + 8 <= size:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        skip = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            skip = 16
        end = size if length == 0 else place + length
        if kind == b"jp2c":
            file.seek(place + skip)
            if file.read(4) != CODESTREAM:
                break
            return place + skip, end
        if length < skip:
            break
        place = end
    raise ValueError("it holds no image")
