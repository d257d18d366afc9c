"""The size that each JPEG stream in a TIFF page states, checked before the decoder takes as much memory as that."""

import struct
from typing import BinaryIO

from tifffile import COMPRESSION, TiffPage

_JPEG = frozenset({COMPRESSION.JPEG, COMPRESSION.OJPEG, COMPRESSION.ALT_JPEG})
# Start of frame: the markers C0 to CF but for those of tables and extensions.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BLOCK = 16


def check_jpeg_segments(page: TiffPage, file: BinaryIO) -> None:
    """Refuse a page whose JPEG streams are larger than its strips or tiles; others are passed over.

    Raises
    ------
    ValueError
        If one is.
    """
    if page.compression not in _JPEG:
        return
    rows, columns = (-(-side // _BLOCK) * _BLOCK for side in page.chunks[:2])
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        found = _frame_size(file, offset, offset + count)
        if found is not None and (found[0] > rows or found[1] > columns):
            raise ValueError(
                f"a JPEG stream of {found[0]} × {found[1]} pixels in a tile of {rows} × {columns}"
            )


def _frame_size(file: BinaryIO, offset: int, end: int) -> tuple[int, int] | None:
    """Return rows and columns of a JPEG stream; None if it states none."""
    offset += 2
    while offset + 9 <= end:
        file.seek(offset)
        head = file.read(9)
        if len(head) < 9 or head[0] != 0xFF:
            return None
        marker, length, _, rows, columns = struct.unpack(">BHBHH", head[1:])
        if marker in _FRAMES:
            return rows, columns
        offset += 2 + length
    return None
