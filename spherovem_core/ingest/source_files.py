"""The files of an acquisition: its slice files in order, and its description."""

from dataclasses import dataclass
from pathlib import Path

from spherovem_core.errors import NoSlicesError
from spherovem_core.ingest.numbering import natural_key
from spherovem_core.ingest.reader import Reader
from spherovem_core.ingest.readers import READERS, format_names, reader_for, usual_suffixes
from spherovem_core.ingest.thumbnails import is_thumbnail, without_thumbnails

DESCRIPTION = "acquisition.json"
# Opening a file on network storage is latency, not work: more threads than cores.
FILE_THREADS = 8


@dataclass(frozen=True)
class SourceFiles:
    """The slice files of an acquisition.

    Attributes
    ----------
    reader
        Reader of all of them.
    paths
        In natural order of their names (``slice_9`` before ``slice_10``).
    """

    reader: Reader
    paths: tuple[Path, ...]


def find_source_files(source: Path) -> SourceFiles:
    """List the slice files of an acquisition.

    Hidden files (among them the ``._*`` of macOS) and thumbnails are left out; subfolders are not searched. In a folder
    with files of several formats, those of the first registered reader are the slices.

    Parameters
    ----------
    source
        A folder of slice files, or one file of a format that a reader knows.

    Raises
    ------
    NoSlicesError
        If the source does not exist or holds no file that a reader knows.
    """
    if not source.exists():
        raise NoSlicesError(
            f"{source} does not exist; expected a folder of slices, or one file of several ({format_names()})"
        )
    if not source.is_dir():
        reader = reader_for(source)
        if reader is None:
            raise NoSlicesError(
                f"{source} is not named as a file of a known format; expected a file ending in {usual_suffixes()}, "
                "or a folder of them"
            )
        return SourceFiles(reader, (source,))
    paths = [path for path in source.iterdir() if path.is_file() and not path.name.startswith(".")]
    for reader in READERS:
        own = without_thumbnails([path for path in paths if reader.can_read(path)])
        if own:
            return SourceFiles(reader, tuple(sorted(own, key=lambda path: natural_key(path.name))))
    raise NoSlicesError(f"{source}: {_found_in(source)}; expected slices ending in {usual_suffixes()}")


def description_path(source: Path) -> Path:
    """Return the path of the acquisition's description: in the folder, or beside the multi-page file."""
    return (source if source.is_dir() else source.parent) / DESCRIPTION


def is_slice_file(path: Path) -> bool:
    """Return whether a file is named as a slice or a stack: in a known format, neither hidden nor a thumbnail."""
    return reader_for(path) is not None and not path.name.startswith(".") and not is_thumbnail(path)


def _found_in(folder: Path) -> str:
    files = [path for path in folder.iterdir() if path.is_file()]
    deeper = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and any(is_slice_file(file) for file in path.iterdir())
    )
    found = (
        f"no slice of a known format among its {len(files)} files" if files else "the folder holds no file"
    )
    if deeper:
        found += f", but its subfolder {deeper[0]} has some: name that as the source"
    return found
