"""PNG as a source of slices, one per file."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.ingest import locations
from spherovem_core.ingest.formats.coded_images import read_coded
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile, refused, type_problems

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
ANNOUNCED = 4096
"""Bytes after the header in which an animation or a transparent value is announced; they stand before the pixels."""
COLOURS = {2: "colour", 3: "palette colour", 4: "grey with transparency", 6: "colour"}


class PngReader:
    """Reader of greyscale PNG files. Their resolution is that of a screen or printer: it is no voxel size."""

    name = "PNG"
    suffixes = (".png",)

    def can_read(self, path: Path) -> bool:
        """Return whether a file is named as a PNG file."""
        return path.suffix.lower() in self.suffixes

    def inspect(self, path: Path) -> FileReport:
        """Read the header, and look for the end of the file."""
        size = locations.size_of(path)
        head = locations.read_range(path, 0, 33)
        if len(head) < 33 or head[:8] != SIGNATURE or head[12:16] != b"IHDR" or not _is_intact(head):
            fault = f"truncated or not a PNG file ({size} bytes: its header is damaged)"
            return FileReport(path, (SliceFile(path, fault=fault),))
        columns, rows, bits, colour = struct.unpack(">IIBB", head[16:26])
        if colour in COLOURS or bits < 8:
            kind = COLOURS.get(colour, f"of {bits} bits")
            return refused(
                path,
                (Problem(f"pixels are {kind}; expected grey of 8 or 16 bits: export them so", path.name),),
            )
        # Frames of an animation are announced before the first one.
        start = locations.read_range(path, len(head), ANNOUNCED)
        if b"acTL" in start.partition(b"IDAT")[0]:
            found = "holds an animation of several images; expected one slice per file: export its images one by one"
            return refused(path, (Problem(found, path.name),))
        if b"tRNS" in start.partition(b"IDAT")[0]:
            found = "one grey value is transparent; expected grey of 8 or 16 bits: export the slices so"
            return refused(path, (Problem(found, path.name),))
        dtype = np.dtype("u1" if bits == 8 else "u2")
        fault = "" if _ends(path, size) else f"truncated, the end of the image is not among its {size} bytes"
        file = SliceFile(path, None, dtype, (rows, columns), fault)
        facts = {"compression": "deflate", "bits": bits, "byte_order": "big"}
        return FileReport(path, (file,), type_problems(dtype, path.name), facts=facts)

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Decode the slice and cut the part out of it: rows of a PNG depend on those before."""
        import imagecodecs

        return read_coded(file, imagecodecs.png_decode)[rows, columns]


def _is_intact(head: bytes) -> bool:
    return int.from_bytes(head[29:33], "big") == zlib.crc32(head[12:29])


def _ends(path: Path, size: int) -> bool:
    """Return whether the last part of the image is there, also if other data follow it."""
    if locations.read_range(path, size - len(END), len(END)) == END:
        return True
    with locations.open_binary(path) as file:
        place = len(SIGNATURE)
        while place + 12 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            place += 12 + length
            if kind == b"IEND":
                return bool(place <= size)
    return False
