"""Places of acquisitions: files and folders on disk, and objects that a URL names."""

import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spherovem_core.ingest import remote
from spherovem_core.urls import absolute, is_remote, is_web, shown

__all__ = [
    "SourceFileState",
    "absolute",
    "children",
    "exists",
    "files_below",
    "folders_around",
    "has_file",
    "is_file",
    "is_folder",
    "is_remote",
    "is_web",
    "open_binary",
    "read_range",
    "shown",
    "size_of",
    "sizes_of",
    "state_of",
    "states_of",
]

_REQUESTS = 16

# Copies and desktops leave these; they are no part of an acquisition.
_NO_PART = (".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class SourceFileState:
    """State of a file, by which a later look recognises it.

    Attributes
    ----------
    size
        In bytes.
    mark
        Modification and change time in ns of a file on disk; ETag or time of an object, empty if the server states neither.
    """

    size: int
    mark: str


def exists(path: Path) -> bool:
    """Return whether a file, folder or object is there."""
    return remote.exists(path) if is_remote(path) else path.exists()


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, or a prefix of objects."""
    return remote.is_folder(path) if is_remote(path) else path.is_dir()


def is_file(path: Path) -> bool:
    """Return whether a path is a file or an object."""
    return remote.is_file(path) if is_remote(path) else path.is_file()


def has_file(folder: Path, *names: str) -> bool:
    """Return whether one of some files lies in a folder; a bucket is asked once."""
    if is_remote(folder) and not is_web(folder):
        return not {path.name for path in remote.files_in(folder)}.isdisjoint(names)
    return any(is_file(folder / name) for name in names)


def children(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the files and the folders in a folder, without looking deeper."""
    if is_remote(folder):
        return remote.children(folder)
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                folders.append(folder / entry.name)
            elif entry.is_file():
                files.append(folder / entry.name)
    return sorted(files), sorted(folders)


def folders_around(path: Path) -> list[Path]:
    """List the folders in which a path lies, the innermost first; those of a URL end at its bucket or server."""
    return [above for above in path.parents if is_remote(above) == is_remote(path)]


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file of a folder and its subfolders, without those that copies and desktops leave."""
    if is_remote(folder):
        yield from (path for path in remote.files_below(folder) if _is_part(path.name))
        return
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent) / name for name in sorted(names) if _is_part(name))


def _is_part(name: str) -> bool:
    return name not in _NO_PART and not name.startswith("._")


def state_of(path: Path) -> SourceFileState:
    """Return the size of a file and what tells it from an earlier one.

    Raises
    ------
    OSError
        If it is not there, or disk or network fail.
    """
    if is_remote(path):
        size, mark = remote.state_of(path)
        return SourceFileState(size, mark)
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise FileNotFoundError(f"{path} is no file")
    # The time of the last change also shows an edit after which the modification time was set back.
    return SourceFileState(state.st_size, f"{state.st_mtime_ns}:{state.st_ctime_ns}")


def states_of(paths: Sequence[Path]) -> list[SourceFileState]:
    """Return the states of several files; objects are asked for at the same time."""
    with ThreadPoolExecutor(_REQUESTS) as threads:
        return list(threads.map(state_of, paths))


def size_of(path: Path) -> int:
    """Return the size of a file in bytes."""
    return state_of(path).size if is_remote(path) else path.stat().st_size


def sizes_of(paths: Sequence[Path]) -> list[int]:
    """Return the sizes of several files in bytes; objects are asked for at the same time."""
    if not any(map(is_remote, paths)):
        # A thread costs more than the size of a file on disk.
        return [size_of(path) for path in paths]
    with ThreadPoolExecutor(_REQUESTS) as threads:
        return list(threads.map(size_of, paths))


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading; an object is read in ranges."""
    return remote.open_binary(path) if is_remote(path) else path.open("rb")


def read_range(path: Path, start: int, count: int) -> bytes:
    """Read some bytes of a file, fewer if it ends before."""
    if is_remote(path):
        return remote.read_range(path, start, count)
    with path.open("rb") as file:
        file.seek(start)
        return file.read(count)
