"""Pixels that lie uncompressed in a file, row after row: the same for every format that stores them so."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest import locations
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import SliceFile

MOST_ABSENT = 10_000
"""Slices beyond the end of a file that are listed one by one."""
BLOCK_BYTES, ZERO_BYTES, FEWEST_EMPTY_ROWS = 4096, 16, 2
"""Copies are written in multiples of the first; pixels of up to the second many bytes before their end may be zero too."""


def plain_slices(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, int, int], begin: int, size: int
) -> tuple[SliceFile, ...]:
    """Describe the slices of a volume that lies in one piece in a file.

    Parameters
    ----------
    path
        File.
    dtype
        Type and byte order as stored.
    shape
        (Z, Y, X).
    begin
        Byte at which the first slice begins.
    size
        Size of the file in bytes.

    Returns
    -------
    tuple of SliceFile
        A slice that goes beyond the end of the file has a fault; where thousands do, the file is one slice with a fault.
    """
    count, rows, columns = shape
    length = rows * columns * dtype.itemsize
    whole = max(0, size - begin) // length
    if count > whole + MOST_ABSENT:
        # A damaged count asks for any number of them.
        fault = f"truncated or damaged, its header says {count} slices, the file of {size} bytes has room for {whole}"
        return (SliceFile(path, None, dtype, (rows, columns), fault, begin),)
    return tuple(
        SliceFile(
            path,
            z if count > 1 else None,
            dtype,
            (rows, columns),
            ""
            if begin + (z + 1) * length <= size
            else f"truncated, its pixels end at byte {begin + (z + 1) * length}, the file at {size}",
            begin + z * length,
        )
        for z in range(count)
    )


def unstated_slices(
    name: str, dtype: np.dtype[Any], shape: tuple[int, int, int], begin: int, size: int
) -> tuple[Problem, ...]:
    """Report that the file holds more slices than its header says, with the parameters of `plain_slices`."""
    room = max(0, size - begin) // (shape[1] * shape[2] * dtype.itemsize)
    if room <= shape[0]:
        return ()
    found = (
        f"its header says {shape[0]} slices, but pixels of {room} are there; write the file again with all of its slices in the "
        "header, or cut off what follows them"
    )
    return (Problem(found, name),)


def read_plain(
    file: SliceFile, rows: slice, columns: slice, content: Path | None = None, begin: int | None = None
) -> NDArray[Any]:
    """Read some rows of a slice whose `place` is the byte at which it begins; cut the columns out of them.

    Parameters
    ----------
    file, rows, columns
        As in `Reader.read`.
    content
        File that holds the pixels, if it is not the slice's own.
    begin
        Byte at which the slice begins, if it is not `place`.

    Raises
    ------
    BadSlicesError
        If the file ends before, or the slice as a copy does that got its full size at once and was not finished.
    OSError
        If the disk or network fails.
    """
    width, path = file.shape[1], content or file.path
    count = (rows.stop - rows.start) * width
    start = (file.place if begin is None else begin) + rows.start * width * file.dtype.itemsize
    if locations.is_remote(path):
        piece = locations.read_range(path, start, count * file.dtype.itemsize)
        values = np.frombuffer(piece[: len(piece) - len(piece) % file.dtype.itemsize], file.dtype)
    else:
        values = np.fromfile(path, file.dtype, count, offset=start)
    if values.size != count:
        raise BadSlicesError(
            f"{file.name}: truncated, {values.nbytes} of {count * file.dtype.itemsize} bytes of pixels are there"
        )
    values = values.reshape(-1, width)
    if content is None and values.shape == file.shape and (copied := _copied_bytes(values, start)):
        raise BadSlicesError(
            f"{file.name}: truncated, nothing but zeros from byte {copied} of the file on, in the middle of a row: its copy was "
            "not finished; copy it again"
        )
    return values[:, columns]


def _copied_bytes(values: NDArray[Any], start: int) -> int:
    """Return the byte of the file at which a copy of the slice (Y, X) ended that left zeros behind; 0 if it shows no such end.

    Copies end at a whole block, somewhere in a row: what an alignment pads with zeros does not.
    """
    if values[-1].any():
        return 0
    filled = np.flatnonzero(values.any(axis=1))
    if not filled.size or len(values) - 1 - filled[-1] < FEWEST_EMPTY_ROWS:
        return 0
    row, width = int(filled[-1]), values.shape[1]
    column = int(np.flatnonzero(values[row])[-1])
    end = start + (row * width + column + 1) * values.itemsize
    block = -(-end // BLOCK_BYTES) * BLOCK_BYTES
    in_a_row = column + 1 < width and row > 0 and bool(values[row - 1, column + 1 :].any())
    return block if in_a_row and block - end <= ZERO_BYTES else 0
