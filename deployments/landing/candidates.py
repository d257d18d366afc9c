"""Entries of a landing folder that may be acquisitions."""

import os
import re
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from spherovem_core.overrides import explain
from spherovem_core.references import Acquisition
from spherovem_core.urls import is_remote, url_of


@dataclass(frozen=True)
class Candidate:
    """An entry of a landing folder that may be an acquisition.

    Attributes
    ----------
    landing
        The landing folder.
    path
        The entry: a folder, or a file of slices.
    name
        Name of its results folder: the folder's name, or that of a file or volume without its suffix.
    """

    landing: Path
    path: Path
    name: str

    @property
    def key(self) -> str:
        """Its path as text that any document can hold."""
        return url_of(self.path) or printable_path(self.path)

    def to_acquisition(self, results_root: Path) -> Acquisition:
        """Describe the acquisition as the flow takes it.

        Raises
        ------
        ValueError
            If the name cannot be that of a results folder.
        """
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in self.name):
            raise ValueError(
                f"the name {printable_path(Path(self.name))!r} holds control characters or bytes that are not UTF-8: "
                "rename it"
            )
        try:
            return Acquisition(name=self.name, source=self.path, results_root=results_root)
        except ValidationError as error:
            raise ValueError(f"{explain(error, Acquisition)}: rename it") from error


def find_candidates(landing: Path) -> list[Candidate]:
    """List folders and files of slices by name, without hidden ones and thumbnails.

    Raises
    ------
    OSError
        If the landing folder is missing or cannot be read.
    """
    if is_remote(landing):
        return _candidates_in_bucket(landing)
    found = []
    with os.scandir(landing) as entries:
        for entry in entries:
            path = landing / entry.name
            if not entry.name.startswith(".") and (_is_folder(entry) or _may_be_slices(path)):
                found.append(Candidate(landing, path, _name_of(path)))
    return sorted(found, key=lambda candidate: candidate.path.name)


def _may_be_slices(path: Path) -> bool:
    """Return whether a file holds slices; one that breaks its reader is a candidate, so that its check rejects it."""
    from spherovem_core.ingest.source_files import is_slice_file

    try:
        return is_slice_file(path)
    except OSError:
        raise
    except Exception:
        return True


def _name_of(path: Path) -> str:
    """Return the name of an acquisition; the whole name of a file or folder that breaks its reader."""
    from spherovem_core.ingest.source_files import acquisition_name

    try:
        return acquisition_name(path)
    except OSError:
        raise
    except Exception:
        return path.name


def _candidates_in_bucket(landing: Path) -> list[Candidate]:
    """List prefixes and objects below a URL as folders and files of slices."""
    from spherovem_core.ingest import locations

    files, folders = locations.children(landing)
    found = [path for path in (*files, *folders) if not path.name.startswith(".")]
    found = [path for path in found if path in folders or _may_be_slices(path)]
    return sorted(
        (Candidate(landing, path, _name_of(path)) for path in found),
        key=lambda candidate: candidate.path.name,
    )


def printable_path(path: Path) -> str:
    """Write a path as text in which bytes that are not UTF-8 stay visible."""
    return printable(os.fspath(path))


def printable(text: str) -> str:
    """Write text with names of files such that it can be encoded: bytes of names that are not UTF-8 stay visible."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def unique_folder_name(name: str, place: str) -> str:
    """Return a folder name that every file system accepts and that no other place has."""
    plain = re.sub(r"[^\w .+-]", "_", name)[:120]
    return f"{plain}@{sha256(place.encode()).hexdigest()[:12]}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
