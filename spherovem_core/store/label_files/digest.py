"""Digest of the content of a label file: a copied, moved or touched file keeps it."""

import hashlib
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from spherovem_core.errors import LabelsError
from spherovem_core.store.label_files.opening import split_name
from spherovem_core.store.label_files.volume import EXPECTED
from spherovem_core.utils.digests import file_digest


def label_digest(name: str, known: MutableMapping[str, Any] | None = None) -> str:
    """Compute the digest of labels from the content of their files.

    Parameters
    ----------
    name
        As `open_label_volume` takes it. Of a folder, all files count by their relative names, of ``FILE.npz:NAME`` the file
        and the name.
    known
        Digests of earlier calls by name, with a digest of the sizes and times that the files had. Files that still have them
        are not read again. Labels whose files are gone have the digest that is known of them.

    Returns
    -------
    str
        sha256 in hexadecimal.

    Raises
    ------
    LabelsError
        If the labels do not exist, and nothing is known of them.
    """
    known = {} if known is None else known
    path, member = split_name(name)
    if not path.exists():
        if name in known:
            return str(known[name]["digest"])
        raise LabelsError(f"labels {path} do not exist; {EXPECTED}")
    files = list(_files(path))
    stamps = hashlib.sha256(repr([(relative, _stamp(file)) for relative, file in files]).encode()).hexdigest()
    if name in known and known[name]["stamps"] == stamps:
        return str(known[name]["digest"])
    content = hashlib.sha256((member or "").encode())
    for relative, file in files:
        content.update(f"{relative if path.is_dir() else ''}\n{file_digest(file)}\n".encode())
    known[name] = {"digest": content.hexdigest(), "stamps": stamps}
    return content.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield "", path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path).as_posix(), file


def _stamp(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]
