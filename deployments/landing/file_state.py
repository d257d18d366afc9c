"""State of an acquisition's files: names, sizes, times, permissions; no file is opened."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deployments.landing.candidates import Candidate, printable_path
from spherovem_core.errors import RemoteAccessError, RemoteSourceError
from spherovem_core.ingest import locations
from spherovem_core.ingest.readers import folder_reader_for, reader_for
from spherovem_core.ingest.source_files import DESCRIPTION, description_path
from spherovem_core.ingest.unread_files import final_name
from spherovem_core.references import canonical_json
from spherovem_core.urls import is_remote

# Deeper files change no outcome, unless the folder is a volume, and a folder may hold a million of them.
MAX_DEPTH = 3

FileEntry = tuple[str, int, int, int, int, int]


@dataclass(frozen=True)
class CandidateState:
    """State of all files of an acquisition at one scan.

    Attributes
    ----------
    signature
        Changes whenever a file is added, removed, resized, written or gets other permissions; the sentinel does not count.
    is_empty
        True if there is no file and no problem.
    sentinel
        Modification time and inode of the sentinel file, or what tells a sentinel object from another; None if there is none.
    problems
        Reasons why files cannot be read, each with the remedy.
    """

    signature: str
    is_empty: bool
    sentinel: tuple[int, int] | None
    problems: tuple[str, ...]


def read_file_state(candidate: Candidate, sentinel_name: str) -> CandidateState:
    """Read the state of every file of a candidate; of an object, its size and ETag.

    A candidate that breaks the listing of its files, such as folders nested a thousand deep, has this as its problem.

    Raises
    ------
    OSError
        If a bucket cannot be listed.
    """
    try:
        if is_remote(candidate.path):
            return _state_of_objects(candidate, sentinel_name)
        return _state_of_files(candidate, sentinel_name)
    except (OSError, RemoteAccessError, RemoteSourceError):
        raise
    except Exception as error:
        problem = f"its files cannot be listed ({type(error).__name__}: {error!s:.200}); repair or remove it"
        identity = _file_identity_of_any(candidate.path)
        signature = sha256(canonical_json([str(identity), problem]).encode()).hexdigest()
        return CandidateState(signature, False, None, (problem,))


def _state_of_files(candidate: Candidate, sentinel_name: str) -> CandidateState:
    listing = _Listing(candidate.landing)
    sentinel: tuple[int, int] | None = None
    if candidate.path.is_symlink() and not is_inside(candidate.path, candidate.landing):
        listing.problems.append(_link_problem(candidate.path.name))
    elif _is_directory(candidate.path):
        sentinel = _file_identity(candidate.path / sentinel_name)
        listing.add_folder(candidate.path, apart_from=sentinel_name)
        listing.problems += _abandoned_copies([entry[0] for entry in listing.entries])
    else:
        sentinel = _file_identity(candidate.path.with_name(f"{candidate.path.name}.{sentinel_name}"))
        for path in (candidate.path, description_path(candidate.path)):
            listing.add_file(path.name, path)
    entries, problems = sorted(listing.entries), sorted(listing.problems)
    signature = sha256(canonical_json([entries, problems]).encode()).hexdigest()
    return CandidateState(signature, not entries and not problems, sentinel, tuple(problems))


def _state_of_objects(candidate: Candidate, sentinel_name: str) -> CandidateState:
    """Read size and ETag of the objects of a candidate: an object is there when its upload is complete."""
    paths, beside = [candidate.path], [description_path(candidate.path)]
    if locations.is_folder(candidate.path):
        marker = candidate.path / sentinel_name
        paths = list(locations.files_below(candidate.path))
    else:
        marker = candidate.path.with_name(f"{candidate.path.name}.{sentinel_name}")
        beside.append(marker)
    paths += [path for path in beside if path not in paths and locations.is_file(path)]
    sentinel = None
    entries = []
    for path, state in zip(paths, locations.states_of(paths), strict=True):
        if path != marker:
            entries.append((path.relative_to(candidate.landing).as_posix(), state.size, state.mark))
        else:
            sentinel = (state.size, int(sha256(state.mark.encode()).hexdigest()[:12], 16))
    signature = sha256(canonical_json(sorted(entries)).encode()).hexdigest()
    return CandidateState(signature, not entries, sentinel, ())


class _Listing:
    """Files and problems of one candidate."""

    def __init__(self, landing: Path) -> None:
        self.entries: list[FileEntry] = []
        self.problems: list[str] = []
        self._landing = landing

    def add_folder(
        self, folder: Path, apart_from: str = "", inside: str = "", depth: int = 0, *, in_volume: bool = False
    ) -> None:
        """Add every file and link of a folder and its subfolders; follow no links to folders.

        In a folder that is a volume, such as a zarr group, every file counts, however deep.
        """
        in_volume = in_volume or folder_reader_for(folder) is not None
        try:
            with os.scandir(folder) as found:
                files = list(found)
        except FileNotFoundError:
            return
        except OSError as error:
            self._add_unreadable(folder.name, error)
            return
        for file in files:
            name = inside + file.name
            if not file.is_dir(follow_symlinks=False):
                if name != apart_from:
                    self.add_file(name, file, in_volume=in_volume)
            elif depth < MAX_DEPTH or in_volume:
                self.add_folder(Path(file.path), apart_from, f"{name}/", depth + 1, in_volume=in_volume)

    def add_file(self, name: str, file: "os.DirEntry[str] | Path", *, in_volume: bool = False) -> None:
        """Add one file; a link to a file counts as its target."""
        try:
            state = file.stat(follow_symlinks=False)
            if stat.S_ISLNK(state.st_mode):
                if not is_inside(Path(file), self._landing):
                    if in_volume or is_part_of_acquisition(name):
                        self.problems.append(_link_problem(name))
                    return
                state = file.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            self._add_unreadable(name, error)
            return
        if stat.S_ISREG(state.st_mode):
            self.entries.append(
                (_text(name), state.st_size, state.st_mtime_ns, state.st_mode, state.st_uid, state.st_gid)
            )

    def _add_unreadable(self, name: str, error: OSError) -> None:
        self.problems.append(f"{_text(name)} cannot be read ({error.strerror}); give read permission")


def is_part_of_acquisition(name: str) -> bool:
    """Return whether a file of this name is a slice or the description."""
    return reader_for(Path(name)) is not None or Path(name).name == DESCRIPTION


def is_inside(path: Path, landing: Path) -> bool:
    """Return whether a link leads to something below the landing folder."""
    try:
        target, root = path.resolve(strict=True), landing.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target != root and target.is_relative_to(root)


def _abandoned_copies(names: list[str]) -> Iterator[str]:
    """Describe files with a provisional name, which a copy tool renames at the end of the copy."""
    there = {name for name in names if "/" not in name}
    for name in sorted(there):
        final = final_name(name)
        if final is not None and reader_for(Path(final)) is not None and final not in there:
            yield f"{name} is an incomplete copy of {final}: copy it again"


def _file_identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.lstat()
    except OSError:
        return None
    return (state.st_mtime_ns, state.st_ino) if stat.S_ISREG(state.st_mode) else None


def _file_identity_of_any(path: Path) -> tuple[int, int] | None:
    try:
        state = path.lstat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ino


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _link_problem(name: str) -> str:
    return (
        f"{_text(name)} is a symbolic link that leads out of the landing folder and is not followed; "
        "copy its target instead"
    )


def _text(name: str) -> str:
    return name if name.isascii() else printable_path(Path(name))
