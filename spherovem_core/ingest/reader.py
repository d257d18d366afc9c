"""The protocol for readers of file formats, and the descriptions of files and slices that they return."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.voxel_size import VoxelSize

ACCEPTED_TYPES = tuple(
    np.dtype(kind)
    for kind in ("uint8", "uint16", "int8", "int16", "uint32", "int32", "float16", "float32", "float64")
)
"""Types of pixels; all but the first two are converted to uint16, see `spherovem_core.ingest.grey_scale`."""
WANTED = "expected slices of one channel of integers up to 32 bits or floats: export them as greyscale"
"""Remedy in the messages about pixels of another kind."""


def type_problems(dtype: np.dtype[Any], name: str) -> tuple[Problem, ...]:
    """Report a type of pixels that is not accepted; the remedy is the same in every format."""
    if dtype.newbyteorder("=") in ACCEPTED_TYPES:
        return ()
    return (Problem(f"pixels of type {dtype.newbyteorder('=')}; {WANTED}", name),)


@dataclass(frozen=True)
class SliceFile:
    """One slice in its file.

    Attributes
    ----------
    path
        File that holds the slice, or folder that is a volume.
    page
        Position among the images of the file, from 0; None in a file of one image.
    dtype
        Type and byte order as stored.
    shape
        (rows, columns) as stored, databar included.
    fault
        Reason why the slice cannot be read; empty if it can, as far as the file's header tells.
    place
        Position of the pixels in the file. Only the reader that made it uses it.
    orientation
        Where the metadata say that the first pixel belongs (TIFF tag 274): 1 at the top left. It is compared, not applied.
    """

    path: Path
    page: int | None = None
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))
    shape: tuple[int, int] = (0, 0)
    fault: str = ""
    place: Any = None
    orientation: int = 1

    @property
    def name(self) -> str:
        """File name, with the page (counted from 1) in a file of several images."""
        return self.path.name if self.page is None else f"{self.path.name} page {self.page + 1}"


@dataclass(frozen=True)
class FileReport:
    """Content of one file, as its header tells.

    Attributes
    ----------
    slices
        Slices in the order of the file. A file that cannot be opened counts as one slice with a fault.
    problems
        Problems that interpolation cannot repair: colour, an unaccepted type, several channels.
    declared_count
        Number of images that the file should hold by its metadata; 0 if they say nothing.
    broken_off
        True if the list of images refers to a further one that is not in the file.
    companions
        Names of the other files that hold the rest of the same stack, by the metadata.
    voxel_sizes
        Voxel sizes from the metadata, the most trusted first.
    changed_voxel_sizes
        Voxel sizes of pages, counted from 0, whose metadata state another one than those of the first.
    left_out
        Metadata whose voxel size does not count, since they speak of an image of another size; in words.
    untrusted_pixel
        Pixel size from metadata that most instruments leave wrong, such as the resolution tags of TIFF.
    databar_rows
        Height of the databar by the metadata.
    indices
        Slice numbers that the metadata give the pages; empty if the pages follow one another.
    times
        Time of acquisition of each page by the metadata, as text that sorts; empty if there is none.
    facts
        Facts for the history. ``container``, ``compression``, ``bits`` and ``metadata`` get a default if they are left out;
        others, such as the byte order, are optional.
    """

    path: Path
    slices: tuple[SliceFile, ...]
    problems: tuple[Problem, ...] = ()
    declared_count: int = 0
    broken_off: bool = False
    companions: tuple[str, ...] = ()
    voxel_sizes: tuple[VoxelSize, ...] = ()
    changed_voxel_sizes: tuple[tuple[int, VoxelSize], ...] = ()
    left_out: tuple[str, ...] = ()
    untrusted_pixel: VoxelSize | None = None
    databar_rows: int = 0
    indices: tuple[int, ...] = ()
    times: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def is_of_system(error: Exception) -> bool:
    """Return whether an error is one of disk or network, which has a number, and not one of a library about damaged data."""
    return isinstance(error, OSError) and (
        error.errno is not None or isinstance(error, ConnectionError | TimeoutError | PermissionError)
    )


def refused(path: Path, problems: Sequence[Problem]) -> FileReport:
    """Report a file that is whole but no stack of slices: it counts as one slice, which is not read."""
    return FileReport(path, (SliceFile(path, fault=problems[0].found),), tuple(problems))


class Reader(Protocol):
    """Source of slices in one file format.

    To add a format, write a class with these members in a module of its own and add an instance to
    `spherovem_core.ingest.readers.READERS`, or to `FOLDER_READERS` if a folder is one volume.
    ``tests/core/test_readers.py`` then tests it with a small sample that a function of ``tests/core/reader_samples.py`` writes.
    Readers are called from several threads.
    """

    @property
    def name(self) -> str:
        """Name of the format for messages, such as ``TIFF``."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Usual endings of file names for messages, such as ``.tif``."""

    def can_read(self, path: Path) -> bool:
        """Return whether a file is one of this format, by its name: it need not exist and is not opened."""

    def inspect(self, path: Path) -> FileReport:
        """Describe a file by its header, without reading pixels.

        A damaged file is a slice with a fault, not an error.

        Raises
        ------
        OSError
            If the disk or network fails.
        """

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read some rows and columns of a slice that has no fault, and little more of the file than these.

        Returns
        -------
        (rows, columns) ndarray of the slice's type, in any byte order
            Larger is brighter; the databar is part of the slice.

        Raises
        ------
        BadSlicesError
            If the data are not all there or cannot be decoded. Absent pixels are never zeros.
        OSError
            If the disk or network fails.
        """


@runtime_checkable
class ContainerReader(Reader, Protocol):
    """Reader of a format whose files or folders may hold several datasets.

    `inspect` takes the path of the file or folder, or that of a dataset inside (``stack.h5/volumes/raw``). Without one, the only
    dataset is taken; several are one problem that names them. Reports and slices carry the path of the file or folder.
    """

    def can_read_folder(self, folder: Path) -> bool:
        """Return whether a folder is one container of this format, such as a zarr group, and no folder of slices."""

    def filling_absent(self) -> "ContainerReader":
        """Return a reader that takes chunks which are not there for the fill value, instead of a fault."""


def read_pixels(reader: Reader, file: SliceFile) -> NDArray[Any]:
    """Read one slice whole, databar included; see `read_window`."""
    rows, columns = file.shape
    return read_window(reader, file, slice(0, rows), slice(0, columns))


def read_window(reader: Reader, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
    """Read some rows and columns of a slice.

    Returns
    -------
    (rows, columns) ndarray of the slice's type
        In native byte order; larger is brighter.

    Raises
    ------
    BadSlicesError
        If the slice has a fault, or the requested part cannot be decoded.
    OSError
        If the disk or network fails.
    """
    if file.fault:
        raise BadSlicesError(f"{file.name}: {file.fault}")
    values = reader.read(file, rows, columns)
    expected = (rows.stop - rows.start, columns.stop - columns.start)
    if values.shape != expected:
        raise BadSlicesError(
            f"{file.name}: the {reader.name} reader returned {values.shape} pixels, expected {expected}; copy the file again"
        )
    return np.ascontiguousarray(values, file.dtype.newbyteorder("="))
