"""What an acquisition's files look like from outside: names, sizes, times, permissions."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deployments.landing.candidates import Candidate, as_text
from spherovem_core.ingest.sources import SUFFIXES, description_path
from spherovem_core.references import canonical_json

# Files so deep change the outcome of nothing, and a folder may hold a million of them.
MAX_DEPTH = 3
PROVISIONAL_SUFFIXES = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".!sync")
# rsync writes .NAME.XXXXXX and renames it when it is whole.
RSYNC = re.compile(r"\.(?P<name>.+)\.\w{6}")

FileEntry = tuple[str, int, int, int, int, int]


@dataclass(frozen=True)
class Survey:
    """One look at an acquisition.

    Attributes
    ----------
    signature
        Changes whenever a file comes, goes, grows, is written or gets other permissions; the sentinel does not count.
    is_empty
        Whether there is nothing: no file and no problem.
    sentinel
        Time and number of the sentinel file; None where there is none.
    problems
        What stands in the way of reading it, each with what to do.
    """

    signature: str
    is_empty: bool
    sentinel: tuple[int, int] | None
    problems: tuple[str, ...]


def take_survey(candidate: Candidate, sentinel_name: str) -> Survey:
    """Look at every file of a candidate without opening any."""
    entries: list[FileEntry] = []
    problems: list[str] = []
    sentinel: tuple[int, int] | None = None
    if candidate.path.is_symlink() and not stays_inside(candidate.path, candidate.landing):
        problems.append(_link_problem(candidate.path.name))
    elif _is_directory(candidate.path):
        mark = candidate.path / sentinel_name
        sentinel = _identity(mark)
        for path in _walk(candidate.path, problems):
            if path != mark:
                _look_at(path, candidate, entries, problems)
        problems += _unfinished_copies([entry[0] for entry in entries])
    else:
        sentinel = _identity(candidate.path.with_name(f"{candidate.path.name}.{sentinel_name}"))
        _look_at(candidate.path, candidate, entries, problems)
        if (description := description_path(candidate.path)).is_file():
            _look_at(description, candidate, entries, problems)
    entries.sort()
    problems.sort()
    signature = sha256(canonical_json([entries, problems]).encode()).hexdigest()
    return Survey(signature, not entries and not problems, sentinel, tuple(problems))


def stays_inside(path: Path, landing: Path) -> bool:
    """Whether a link leads to something below the landing folder."""
    try:
        target, root = path.resolve(strict=True), landing.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target != root and target.is_relative_to(root)


def _walk(folder: Path, problems: list[str], depth: int = 0) -> Iterator[Path]:
    """Give every file and link, folder by folder, without following links to folders."""
    try:
        with os.scandir(folder) as entries:
            found = [(folder / entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{folder.name} cannot be read ({error.strerror}); give read permission")
        return
    for path, is_folder in found:
        if not is_folder:
            yield path
        elif depth < MAX_DEPTH:
            yield from _walk(path, problems, depth + 1)


def _look_at(path: Path, candidate: Candidate, entries: list[FileEntry], problems: list[str]) -> None:
    try:
        state = path.lstat()
        if stat.S_ISLNK(state.st_mode):
            if not stays_inside(path, candidate.landing):
                if path.suffix.lower() in SUFFIXES or path == description_path(candidate.path):
                    problems.append(_link_problem(path.name))
                return
            state = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{as_text(Path(path.name))} cannot be read ({error.strerror}); give read permission")
        return
    if stat.S_ISREG(state.st_mode):
        name = as_text(path.relative_to(candidate.path.parent))
        entries.append((name, state.st_size, state.st_mtime_ns, state.st_mode, state.st_uid, state.st_gid))


def _unfinished_copies(names: list[str]) -> Iterator[str]:
    """Files that a copy tool would have renamed had it come to the end."""
    there = {Path(name).name for name in names}
    for name in sorted(there):
        rsync = RSYNC.fullmatch(name)
        final = (
            rsync["name"]
            if rsync
            else next((name.removesuffix(end) for end in PROVISIONAL_SUFFIXES if name.endswith(end)), None)
        )
        if final is not None and Path(final).suffix.lower() in SUFFIXES and final not in there:
            yield f"{name} is the beginning of {final}: its copy did not end; copy it again"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.lstat()
    except OSError:
        return None
    return (state.st_mtime_ns, state.st_ino) if stat.S_ISREG(state.st_mode) else None


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _link_problem(name: str) -> str:
    return (
        f"{as_text(Path(name))} is a symbolic link that leads out of the landing folder and is not followed; "
        "copy what it points to"
    )
