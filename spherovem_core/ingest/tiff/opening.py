"""TIFF files opened on disk or by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tifffile import TiffFile

from spherovem_core.ingest import locations


@contextmanager
def open_tiff(path: Path) -> Iterator[TiffFile]:
    """Open a TIFF file for the duration of the context.

    Raises
    ------
    tifffile.TiffFileError
        If it is no TIFF file.
    OSError
        If the disk or network fails.
    """
    if not locations.is_remote(path):
        with TiffFile(path) as tif:
            yield tif
        return
    with locations.open_binary(path) as stream, TiffFile(stream, name=path.name) as tif:
        yield tif
