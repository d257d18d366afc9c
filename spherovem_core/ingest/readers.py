"""The registry of readers: the file formats that ingest accepts."""

from collections.abc import Sequence
from pathlib import Path

from spherovem_core.ingest.formats.digital_micrograph import DigitalMicrographReader
from spherovem_core.ingest.formats.hdf5 import Hdf5Reader
from spherovem_core.ingest.formats.jpeg2000 import Jpeg2000Reader
from spherovem_core.ingest.formats.mrc import MrcReader
from spherovem_core.ingest.formats.n5 import N5Reader
from spherovem_core.ingest.formats.nifti import NiftiReader
from spherovem_core.ingest.formats.png import PngReader
from spherovem_core.ingest.formats.precomputed import PrecomputedReader
from spherovem_core.ingest.formats.zarr_volumes import ZarrReader
from spherovem_core.ingest.reader import ContainerReader, Reader
from spherovem_core.ingest.tiff.tiff_reader import TiffReader

READERS: list[Reader] = [
    TiffReader(),
    MrcReader(),
    DigitalMicrographReader(),
    NiftiReader(),
    Hdf5Reader(),
    PngReader(),
    Jpeg2000Reader(),
]
"""Readers, tried in this order."""

FOLDER_READERS: list[ContainerReader] = [ZarrReader(), N5Reader(), PrecomputedReader()]
"""Readers of folders that are one volume, tried in this order."""


def reader_for(path: Path) -> Reader | None:
    """Return the first reader that can read a file, by its name; None if there is none."""
    return next((reader for reader in READERS if reader.can_read(path)), None)


def folder_reader_for(folder: Path) -> ContainerReader | None:
    """Return the reader of a folder that is one volume, such as a zarr group; None if it is another folder."""
    return next((reader for reader in FOLDER_READERS if reader.can_read_folder(folder)), None)


def format_names() -> str:
    """Return the names of all formats for a message, such as ``TIFF or MRC``."""
    return _in_words([reader.name for reader in (*READERS, *FOLDER_READERS)])


def usual_suffixes() -> str:
    """Return the usual endings of file names for a message, such as ``.tif or .tiff``."""
    return _in_words([suffix for reader in READERS for suffix in reader.suffixes])


def _in_words(names: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
