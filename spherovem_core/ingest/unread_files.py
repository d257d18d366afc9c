"""Files beside the slices that are named as slices and are not read: unfinished copies, other formats, links to nowhere."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spherovem_core.ingest import locations
from spherovem_core.ingest.file_names import cut_name
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.readers import reader_for
from spherovem_core.ingest.source_files import SourceFiles

PROVISIONAL_SUFFIXES = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".!sync")
"""Endings that programs give a file until its copy is complete."""
# rsync writes .NAME.XXXXXX and renames it when the copy is complete.
_RSYNC = re.compile(r"\.(?P<name>.+)\.\w{6}")
_OUT_OF_FOLDER = "or move it out of the folder"

_Number = tuple[tuple[str, ...], tuple[str, ...]]


def unread_problems(source: Path, files: SourceFiles) -> Iterator[Problem]:
    """Report what is named as a slice of the stack, but has a number that none of the files has which are read.

    Without them a stack would end early, or start late, in silence. Files that state something about a slice have its name, and
    those of other series other words; both are passed over.

    Parameters
    ----------
    source
        Folder of the slices; another source has nothing beside it that belongs to it.
    files
        The files that are read.
    """
    if files.folder is not None or not locations.is_folder(source):
        return
    read = {path.name for path in files.files}
    beside, folders = locations.children(source)
    every = {path.name for path in beside}
    others = sorted(every - read)
    named_as_files = [path.name for path in folders if reader_for(path) is not None]
    links = [] if locations.is_remote(source) else _links_to_nowhere(source, every, folders)
    if others or named_as_files or links:
        yield from _named_as_slices(_Series(read), others, named_as_files, links, files.reader.name)


def _links_to_nowhere(source: Path, files: set[str], folders: Sequence[Path]) -> list[str]:
    return sorted({path.name for path in source.iterdir()} - files - {path.name for path in folders})


def _named_as_slices(
    series: "_Series", others: Sequence[str], folders: Sequence[str], links: Sequence[str], wanted: str
) -> Iterator[Problem]:
    for name in others:
        if (final := final_name(name)) is not None:
            if series.is_like(final):
                yield Problem(f"is an incomplete copy of a slice; copy it again, {_OUT_OF_FOLDER}", name)
        elif not name.startswith(".") and series.goes_on_with(name):
            found = f"is named like the slices, but there is no slice with its number in their format ({wanted}); add the slice"
            yield Problem(f"{found}, {_OUT_OF_FOLDER}", name)
    for name in folders:
        if series.goes_on_with(name):
            found = "is a folder named like the slices; expected a file: copy the slice again"
            yield Problem(f"{found}, {_OUT_OF_FOLDER}", name)
    for name in links:
        if series.is_like(name):
            found = "is a link to a file that is not there; copy the slice itself"
            yield Problem(f"{found}, {_OUT_OF_FOLDER}", name)


def final_name(name: str) -> str | None:
    """Return the name that a file will have when its copy is complete; None if it is no copy on its way."""
    for suffix in PROVISIONAL_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    rsync = _RSYNC.fullmatch(name)
    return rsync["name"] if rsync else None


class _Series:
    """The names of the slices, as fixed texts and numbers."""

    def __init__(self, names: Iterable[str]) -> None:
        self._numbers: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for name in names:
            texts, numbers = _cut(name)
            self._numbers.setdefault(texts, set()).add(numbers)
        self._columns = {
            texts: [_Column.of(column) for column in zip(*numbers, strict=True)]
            for texts, numbers in self._numbers.items()
        }

    def is_like(self, name: str) -> bool:
        """Return whether a name is that of a further slice, by its text."""
        texts, numbers = _cut(name)
        return bool(numbers) and texts in self._numbers and numbers not in self._numbers[texts]

    def goes_on_with(self, name: str) -> bool:
        """Return whether a name, with one ending or two, is that of a slice among the others or not far beyond them."""
        stem = Path(name).stem
        return any(self._is_near(each) for each in ((name, stem) if "." in stem else (name,)))

    def _is_near(self, name: str) -> bool:
        if not self.is_like(name):
            return False
        texts, numbers = _cut(name)
        return all(
            column.is_near(number) for number, column in zip(numbers, self._columns[texts], strict=True)
        )


@dataclass(frozen=True)
class _Column:
    """One number of each name."""

    there: frozenset[str]
    near: range

    @classmethod
    def of(cls, numbers: Sequence[str]) -> "_Column":
        """Make a column of the numbers of all names; those near reach as far beyond them as there are names."""
        values = [int(each) for each in numbers if each.lstrip("-").isdecimal()]
        counts = len(set(values)) > 1 and len(values) == len(numbers)
        near = range(min(values) - len(values), max(values) + len(values) + 1) if counts else range(0)
        return cls(frozenset(numbers), near)

    def is_near(self, number: str) -> bool:
        """Return whether a number is one of them or near; one that is the same in all names must be that one."""
        return number in self.there or (number.lstrip("-").isdecimal() and int(number) in self.near)


def _cut(name: str) -> _Number:
    """Cut a name into its texts in lower case and its numbers without zeros before them."""
    found = cut_name(name)
    return tuple(text.lower() for text in found.texts), tuple(_plain(number) for number in found.numbers)


def _plain(number: str) -> str:
    text = number.lstrip("+").replace("\u2212", "-")
    return str(int(text)) if text.lstrip("-").isdecimal() else text
