"""Files beside the slices that are named as slices and are not read: unfinished copies, other formats, links to nowhere."""

import re
from collections.abc import Iterator, Sequence
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
    series = _Series(sorted(read))
    beside, folders = locations.children(source)
    every = {path.name for path in beside}
    for name in sorted(every - read):
        if (final := final_name(name)) is not None:
            if series.is_like(final):
                yield Problem(f"is an incomplete copy of a slice; copy it again, {_OUT_OF_FOLDER}", name)
        elif not name.startswith(".") and series.goes_on_with(name):
            yield Problem(
                f"is named like the slices, but there is no slice with its number in their format ({files.reader.name}); add the "
                f"slice, {_OUT_OF_FOLDER}",
                name,
            )
    for name in sorted(path.name for path in folders if reader_for(path) is not None):
        if series.goes_on_with(name):
            yield Problem(
                f"is a folder named like the slices; expected a file: copy the slice again, {_OUT_OF_FOLDER}",
                name,
            )
    if not locations.is_remote(source):
        for name in sorted(
            {path.name for path in source.iterdir()} - every - {path.name for path in folders}
        ):
            if series.is_like(name):
                yield Problem(
                    f"is a link to a file that is not there; copy the slice itself, {_OUT_OF_FOLDER}", name
                )


def final_name(name: str) -> str | None:
    """Return the name that a file will have when its copy is complete; None if it is no copy on its way."""
    for suffix in PROVISIONAL_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    rsync = _RSYNC.fullmatch(name)
    return rsync["name"] if rsync else None


class _Series:
    """The names of the slices, as fixed texts and numbers."""

    def __init__(self, names: Sequence[str]) -> None:
        self.numbers: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for name in names:
            texts, numbers = _cut(name)
            self.numbers.setdefault(texts, set()).add(numbers)

    def is_like(self, name: str) -> bool:
        """Return whether a name is that of a further slice, by its text."""
        texts, numbers = _cut(name)
        return bool(numbers) and texts in self.numbers and numbers not in self.numbers[texts]

    def goes_on_with(self, name: str) -> bool:
        """Return whether a name, with one ending or two, is that of a slice among the others or not far beyond them."""
        stem = Path(name).stem
        return any(self._is_near(each) for each in ((name, stem) if "." in stem else (name,)))

    def _is_near(self, name: str) -> bool:
        texts, numbers = _cut(name)
        if not self.is_like(name):
            return False
        for number, column in zip(numbers, zip(*self.numbers[texts], strict=True), strict=True):
            if number in column:
                continue
            values = [int(each) for each in column if each.lstrip("-").isdecimal()]
            if len(set(column)) == 1 or len(values) < len(column) or not number.lstrip("-").isdecimal():
                return False
            if not min(values) - len(values) <= int(number) <= max(values) + len(values):
                return False
        return True


def _cut(name: str) -> _Number:
    """Cut a name into its texts in lower case and its numbers without zeros before them."""
    found = cut_name(name)
    return tuple(text.lower() for text in found.texts), tuple(_plain(number) for number in found.numbers)


def _plain(number: str) -> str:
    text = number.lstrip("+").replace("\u2212", "-")
    return str(int(text)) if text.lstrip("-").isdecimal() else text
