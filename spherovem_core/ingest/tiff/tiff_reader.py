"""TIFF as a source of slices."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spherovem_core.ingest.reader import FileReport, SliceFile
from spherovem_core.ingest.tiff.inspection import inspect_file
from spherovem_core.ingest.tiff.pixels import read_part

SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8"})


class TiffReader:
    """Reader of TIFF, BigTIFF, OME-TIFF and ImageJ's TIFF, with one or several pages."""

    name = "TIFF"
    suffixes = (".tif", ".tiff")

    def can_read(self, path: Path) -> bool:
        """Return whether a file is named as a TIFF."""
        return path.suffix.lower() in SUFFIXES

    def inspect(self, path: Path) -> FileReport:
        """Read the directories of a file; see `inspect_file`."""
        return inspect_file(path)

    def read(self, file: SliceFile, rows: slice, columns: slice) -> NDArray[Any]:
        """Read some rows and columns of a page; see `read_part`."""
        return read_part(file, rows, columns)
