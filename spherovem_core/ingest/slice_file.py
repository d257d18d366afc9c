"""One slice in its file: where its pixels lie, and reading them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from spherovem_core.errors import BadSlicesError

# tifffile logs each fault of a damaged file; here every fault becomes a problem that names the file.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class SliceFile:
    """Where one slice lies.

    Attributes
    ----------
    path
        Its TIFF file.
    page
        Its place among the images of a multi-page file; None in a file of its own.
    directory_offset
        Byte at which the page's directory begins.
    data_offset
        Byte at which its pixels begin, where they lie uncompressed in one piece; None where they must be decoded.
    dtype
        Type and byte order as stored.
    shape
        (rows, columns) as stored, databar included.
    inverted
        Whether 0 is stored for white.
    fault
        Why it cannot be read, empty where it can as far as its directory tells.
    """

    path: Path
    page: int | None = None
    directory_offset: int = 0
    data_offset: int | None = None
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))
    shape: tuple[int, int] = (0, 0)
    inverted: bool = False
    fault: str = ""

    @property
    def name(self) -> str:
        """File name, with the page (counted from 1) in a multi-page file."""
        return self.path.name if self.page is None else f"{self.path.name} page {self.page + 1}"


def read_pixels(file: SliceFile) -> NDArray[Any]:
    """Read one slice whole.

    Returns
    -------
    (rows, columns) ndarray of uint8 or uint16
        In native byte order, larger is brighter, databar included.

    Raises
    ------
    BadSlicesError
        If the data are not all there or cannot be decoded: a slice comes back whole or not at all.
    OSError
        If the disk or network fails.
    """
    rows, columns = file.shape
    return read_window(file, slice(0, rows), slice(0, columns))


def read_window(file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
    """Read some rows and columns of a slice: no more of an uncompressed file than the rows, of others their strips or tiles.

    Returns
    -------
    (rows, columns) ndarray of uint8 or uint16
        As `read_pixels` gives it.

    Raises
    ------
    BadSlicesError
        If the slice is not all there, as far as its directory tells, or what is read of it cannot be decoded.
    OSError
        If the disk or network fails.
    """
    if file.fault:
        raise BadSlicesError(f"{file.name}: {file.fault}")
    if file.data_offset is not None:
        values = _read_plain(file, file.data_offset, rows)[:, columns]
    elif (rows, columns) == tuple(slice(0, side) for side in file.shape):
        values = _decode(file)
    else:
        values = _decode_window(file, rows, columns)
    values = np.ascontiguousarray(values, file.dtype.newbyteorder("="))
    return np.bitwise_not(values) if file.inverted else values


def _read_plain(file: SliceFile, offset: int, rows: slice) -> NDArray[Any]:
    count, columns = rows.stop - rows.start, file.shape[1]
    start = offset + rows.start * columns * file.dtype.itemsize
    values = np.fromfile(file.path, file.dtype, count * columns, offset=start)
    if values.size != count * columns:
        raise BadSlicesError(
            f"{file.name}: truncated, {values.nbytes} of {count * columns * file.dtype.itemsize} bytes of pixels are there"
        )
    return values.reshape(count, columns)


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
    try:
        with TiffFile(file.path) as tif:
            tif.filehandle.seek(file.directory_offset)
            return np.asarray(decode(TiffPage(tif, file.page or 0)))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # every codec has its own family of errors
        raise BadSlicesError(f"{file.name}: cannot be decoded ({error})") from error
