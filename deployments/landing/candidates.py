"""Which entries of a landing folder may be acquisitions."""

import os
import re
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from spherovem_core.overrides import explain
from spherovem_core.references import Acquisition


@dataclass(frozen=True)
class Candidate:
    """An entry of a landing folder that may be an acquisition.

    Attributes
    ----------
    landing
        The landing folder.
    path
        The entry: a folder, or a TIFF file.
    name
        Name of its results folder: the folder's, or the file's without its suffix.
    """

    landing: Path
    path: Path
    name: str

    @property
    def key(self) -> str:
        """Its place, as text that any document can hold."""
        return as_text(self.path)

    def acquisition(self, results_root: Path) -> Acquisition:
        """What the flow is told.

        Raises
        ------
        ValueError
            If no results folder can have this name.
        """
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in self.name):
            raise ValueError(
                f"the name {as_text(Path(self.name))!r} holds control characters or bytes that are no UTF-8: rename it"
            )
        try:
            return Acquisition(name=self.name, source=self.path, results_root=results_root)
        except ValidationError as error:
            raise ValueError(f"{explain(error, Acquisition)}: rename it") from error


def find_candidates(landing: Path) -> list[Candidate]:
    """List folders and TIFF files, hidden ones and thumbnails left out, in the order of their names.

    Raises
    ------
    OSError
        If the landing folder is missing or cannot be read.
    """
    from spherovem_core.ingest.source_files import is_slice_file

    found = []
    with os.scandir(landing) as entries:
        for entry in entries:
            path = landing / entry.name
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                found.append(Candidate(landing, path, entry.name))
            elif is_slice_file(path):
                found.append(Candidate(landing, path, path.stem))
    return sorted(found, key=lambda candidate: candidate.path.name)


def as_text(path: Path) -> str:
    """Write a path such that bytes of it that are no UTF-8 stay visible."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def folder_name(name: str, place: str) -> str:
    """Make a name that any file system takes and that no other place shares."""
    plain = re.sub(r"[^\w .+-]", "_", name)[:120]
    return f"{plain}@{sha256(place.encode()).hexdigest()[:12]}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
