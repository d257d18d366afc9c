"""What an acquisition's files look like from outside: names, sizes, times, permissions."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deployments.landing.candidates import Candidate, as_text
from spherovem_core.ingest.readers import reader_for
from spherovem_core.ingest.source_files import DESCRIPTION, description_path
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
    seen = _Seen(candidate.landing)
    sentinel: tuple[int, int] | None = None
    if candidate.path.is_symlink() and not stays_inside(candidate.path, candidate.landing):
        seen.problems.append(_link_problem(candidate.path.name))
    elif _is_directory(candidate.path):
        sentinel = _identity(candidate.path / sentinel_name)
        seen.look_into(candidate.path, apart_from=sentinel_name)
        seen.problems += _unfinished_copies([entry[0] for entry in seen.entries])
    else:
        sentinel = _identity(candidate.path.with_name(f"{candidate.path.name}.{sentinel_name}"))
        for path in (candidate.path, description_path(candidate.path)):
            seen.look_at(path.name, path)
    entries, problems = sorted(seen.entries), sorted(seen.problems)
    signature = sha256(canonical_json([entries, problems]).encode()).hexdigest()
    return Survey(signature, not entries and not problems, sentinel, tuple(problems))


class _Seen:
    """Files and problems found so far."""

    def __init__(self, landing: Path) -> None:
        self.entries: list[FileEntry] = []
        self.problems: list[str] = []
        self._landing = landing

    def look_into(self, folder: Path, apart_from: str = "", inside: str = "", depth: int = 0) -> None:
        """Look at every file and link of a folder and its subfolders, without following links to folders."""
        try:
            with os.scandir(folder) as found:
                files = list(found)
        except FileNotFoundError:
            return
        except OSError as error:
            self._unreadable(folder.name, error)
            return
        for file in files:
            name = inside + file.name
            if not file.is_dir(follow_symlinks=False):
                if name != apart_from:
                    self.look_at(name, file)
            elif depth < MAX_DEPTH:
                self.look_into(Path(file.path), apart_from, f"{name}/", depth + 1)

    def look_at(self, name: str, file: "os.DirEntry[str] | Path") -> None:
        """Look at one file; a link to a file counts as the file it leads to."""
        try:
            state = file.stat(follow_symlinks=False)
            if stat.S_ISLNK(state.st_mode):
                if not stays_inside(Path(file), self._landing):
                    if matters(name):
                        self.problems.append(_link_problem(name))
                    return
                state = file.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            self._unreadable(name, error)
            return
        if stat.S_ISREG(state.st_mode):
            self.entries.append(
                (_text(name), state.st_size, state.st_mtime_ns, state.st_mode, state.st_uid, state.st_gid)
            )

    def _unreadable(self, name: str, error: OSError) -> None:
        self.problems.append(f"{_text(name)} cannot be read ({error.strerror}); give read permission")


def matters(name: str) -> bool:
    """Whether a file is part of what is processed, by its name."""
    return reader_for(Path(name)) is not None or Path(name).name == DESCRIPTION


def stays_inside(path: Path, landing: Path) -> bool:
    """Whether a link leads to something below the landing folder."""
    try:
        target, root = path.resolve(strict=True), landing.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target != root and target.is_relative_to(root)


def _unfinished_copies(names: list[str]) -> Iterator[str]:
    """Files that a copy tool would have renamed had it come to the end."""
    there = {name for name in names if "/" not in name}
    for name in sorted(there):
        rsync = RSYNC.fullmatch(name)
        final = (
            rsync["name"]
            if rsync
            else next((name.removesuffix(end) for end in PROVISIONAL_SUFFIXES if name.endswith(end)), None)
        )
        if final is not None and reader_for(Path(final)) is not None and final not in there:
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
        f"{_text(name)} is a symbolic link that leads out of the landing folder and is not followed; "
        "copy what it points to"
    )


def _text(name: str) -> str:
    return name if name.isascii() else as_text(Path(name))
