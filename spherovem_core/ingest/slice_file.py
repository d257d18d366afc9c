"""One slice in its file: where its pixels lie, and reading them."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
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
    if file.fault:
        raise BadSlicesError(f"{file.name}: {file.fault}")
    values = _decode(file) if file.data_offset is None else _read_plain(file, file.data_offset)
    values = values.astype(file.dtype.newbyteorder("="), copy=False)
    return np.bitwise_not(values) if file.inverted else values


def _read_plain(file: SliceFile, offset: int) -> NDArray[Any]:
    rows, columns = file.shape
    values = np.fromfile(file.path, file.dtype, rows * columns, offset=offset)
    if values.size != rows * columns:
        raise BadSlicesError(
            f"{file.name}: truncated, {values.nbytes} of {rows * columns * file.dtype.itemsize} bytes of pixels are there"
        )
    return values.reshape(rows, columns)


def _decode(file: SliceFile) -> NDArray[Any]:
    try:
        with TiffFile(file.path) as tif:
            tif.filehandle.seek(file.directory_offset)
            values = TiffPage(tif, file.page or 0).asarray(maxworkers=1)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # every codec has its own family of errors
        raise BadSlicesError(f"{file.name}: cannot be decoded ({error})") from error
    if values.shape != file.shape:
        raise BadSlicesError(f"{file.name}: decoded to shape {values.shape}, its directory says {file.shape}")
    return np.asarray(values)
