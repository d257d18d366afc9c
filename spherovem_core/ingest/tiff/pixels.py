"""The pixels of one TIFF page: read as they are if uncompressed and in one piece, else decoded."""

import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from tifffile import TiffPage

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.plain_pixels import read_plain
from spherovem_core.ingest.reader import SliceFile
from spherovem_core.ingest.tiff.jpeg_segments import check_jpeg_segments
from spherovem_core.ingest.tiff.opening import open_tiff

# tifffile logs each fault of a damaged file; here every fault becomes a problem that names the file.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, SyntaxError, struct.error)
"""Errors that tifffile and the codecs raise on damaged files. 5000 damaged files gave ValueError, TypeError,
ZeroDivisionError and the codecs' errors, which are RuntimeErrors; damaged XML is a SyntaxError."""


@dataclass(frozen=True)
class PagePlace:
    """Position of a page in its file.

    Attributes
    ----------
    directory_offset
        Byte at which the page's directory begins.
    data_offset
        Byte at which the pixels begin if they lie uncompressed in one piece; None if they must be decoded.
    inverted
        True if 0 is stored for white.
    bits
        Bits per pixel: pixels of 12 bits reach from 0 to 4095 although their type is uint16.
    """

    directory_offset: int
    data_offset: int | None
    inverted: bool
    bits: int


def read_part(file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
    """Read some rows and columns of a page: of an uncompressed one only the rows, of others their strips or tiles.

    Raises
    ------
    BadSlicesError
        If the pixels are not all there or cannot be decoded.
    OSError
        If the disk or network fails.
    """
    place: PagePlace = file.place
    if place.data_offset is not None:
        values = read_plain(file, rows, columns, begin=place.data_offset)
    elif (rows, columns) == tuple(slice(0, side) for side in file.shape):
        values = _decode(file)
    else:
        values = _decode_window(file, rows, columns)
    return _invert(values, place.bits) if place.inverted else values


def _invert(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Turn values of which larger ones are darker into values of which larger ones are brighter."""
    if values.dtype.kind == "f":
        return np.asarray(np.negative(values))
    if values.dtype.kind == "u" and bits < 8 * values.dtype.itemsize:
        return np.asarray(values.dtype.type(2**bits - 1) - values)
    return np.asarray(np.bitwise_not(values))


def _decode(file: SliceFile) -> NDArray[Any]:
    values = _decoded(file, lambda page: page.asarray(maxworkers=1))
    if values.shape != file.shape:
        raise BadSlicesError(f"{file.name}: decoded to shape {values.shape}, its directory says {file.shape}")
    return values


def _decode_window(file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
    def cut(page: TiffPage) -> NDArray[Any]:
        with page.aszarr(maxworkers=1) as store:
            return np.asarray(zarr.open_array(store, mode="r")[rows, columns])

    return _decoded(file, cut)


def _decoded(file: SliceFile, decode: Callable[[TiffPage], Any]) -> NDArray[Any]:
    place: PagePlace = file.place
    try:
        with open_tiff(file.path) as tif:
            tif.filehandle.seek(place.directory_offset)
            page = TiffPage(tif, file.page or 0)
            check_jpeg_segments(page, tif.filehandle)
            return np.asarray(decode(page))
    except DAMAGE as error:
        raise BadSlicesError(f"{file.name}: cannot be decoded ({error})") from error
