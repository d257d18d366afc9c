"""The chain of image directories of a TIFF, followed within the bounds of the file before anything else reads it."""

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

# tifffile takes no more either; a directory of an instrument has some 20 to 60 entries.
_MOST_ENTRIES = 4096
# Bytes of values in all directories together, as a multiple of the file's size: pages may share a palette or description.
_MOST_SHARED = 4
_SMALL_BYTES = 2**20
_TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


@dataclass(frozen=True)
class Directories:
    """Directories of a file, as far as they can be followed.

    Attributes
    ----------
    count
        Number of directories that lie in the file, from the first.
    damage
        What is wrong with the next one, where that is more than a missing end of the file; empty if nothing is.
    """

    count: int
    damage: str = ""


@dataclass(frozen=True)
class _Layout:
    """Sizes of the fields of a directory: classic TIFF, or BigTIFF."""

    order: str
    number: str
    entry: str
    offset: str
    first: int

    def size(self, field: str) -> int:
        return struct.calcsize(self.order + field)


def follow_directories(file: BinaryIO) -> Directories:
    """Follow the chain of directories without reading what they refer to.

    A damaged file may link a directory to an earlier one, or state values of any length: what follows the chain would not come to
    an end, or ask for any amount of memory.

    Raises
    ------
    ValueError
        If the file does not begin as a TIFF.
    """
    size = file.seek(0, os.SEEK_END)
    layout, offset = _begin(file)
    seen: set[int] = set()
    value_bytes = directory_bytes = 0
    while offset:
        if offset in seen:
            return Directories(len(seen), "its list of images runs in a circle")
        head = _read(file, offset, layout.size(layout.number))
        if head is None:
            break
        (entries,) = struct.unpack(layout.order + layout.number, head)
        if entries > _MOST_ENTRIES:
            return Directories(len(seen), f"an image directory has {entries} entries")
        entry_bytes = layout.size(layout.entry)
        body = _read(file, offset + len(head), entries * entry_bytes)
        if body is None:
            break
        largest, total = _value_bytes(body, layout)
        value_bytes += total
        directory_bytes += len(body)
        if largest > size:
            return Directories(len(seen), f"an image directory refers to {largest} bytes in a file of {size}")
        if directory_bytes > size or value_bytes > _MOST_SHARED * size + _SMALL_BYTES:
            return Directories(len(seen), "its image directories overlap")
        seen.add(offset)
        link = _read(file, offset + len(head) + len(body), layout.size(layout.offset))
        if link is None:
            break
        (offset,) = struct.unpack(layout.order + layout.offset, link)
    return Directories(len(seen))


def _begin(file: BinaryIO) -> tuple[_Layout, int]:
    head = _read(file, 0, 16) or _read(file, 0, 8) or b""
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise ValueError("not a TIFF header")
    (version,) = struct.unpack(f"{order}H", head[2:4])
    if version == 43 and len(head) == 16:
        layout, field = _Layout(order, "Q", "HHQ8s", "Q", 8), head[8:]
    else:
        layout, field = _Layout(order, "H", "HHI4s", "I", 4), head[4:8]
    (offset,) = struct.unpack(order + layout.offset, field)
    return layout, int(offset)


def _value_bytes(body: bytes, layout: _Layout) -> tuple[int, int]:
    """Return the bytes of the largest value and of all values together."""
    largest = total = 0
    for _, kind, count, _ in struct.iter_unpack(layout.order + layout.entry, body):
        length = count * _TYPE_BYTES.get(kind, 1)
        total += length
        largest = max(largest, length)
    return largest, total


def _read(file: BinaryIO, offset: int, count: int) -> bytes | None:
    try:
        file.seek(offset)
    except (OverflowError, OSError):  # beyond what a file can have
        return None
    data = file.read(count)
    return data if len(data) == count else None
