"""The digest of an acquisition's files: of their content, independent of times and folder."""

import hashlib
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from spherovem_core.ingest import locations
from spherovem_core.ingest.sidecars import find_sidecars
from spherovem_core.ingest.source_files import FILE_THREADS, description_path, find_source_files
from spherovem_core.references import canonical_json
from spherovem_core.utils.digests import file_digest

_PIECE = 2**22


def source_digest(source: Path, known: MutableMapping[str, Any] | None = None) -> str:
    """Compute the digest of an acquisition's files from their content.

    Parameters
    ----------
    source
        A folder of slice files, one file of several slices or a folder that is one volume, as `find_source_files` takes it.
    known
        Digests of files from an earlier process, by file name, each with the size and the times that the file had. A file
        that still has them is not read again, nor is one that this process has read. The digests of this call are
        written into it.

    Returns
    -------
    str
        sha256 in hexadecimal, over name, size and content of every slice file, of every file of a folder that is one volume, of
        the files beside them that state something about them, and of ``acquisition.json``. The folder's path and the files'
        times do not enter: an acquisition that was moved, copied or touched keeps its digest. For objects that a URL names,
        the server's ETag stands for the content, or else the time of modification: they are not read twice, and a copy in
        another bucket may count as another source.

    Raises
    ------
    NoSlicesError
        If the source does not exist or holds no slice file.
    OSError
        If a file cannot be read.
    """
    files = {} if known is None else known

    def entry(name: str, path: Path) -> list[str | int]:
        if locations.is_remote(path):
            seen_there = locations.state_of(path)
            return [name, seen_there.size, seen_there.mark or _remote_digest(path)]
        state = path.stat()
        # The time of the last change also shows an edit after which the modification time was set back.
        seen = {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "ctime_ns": state.st_ctime_ns}
        earlier = files.get(name, {})
        if any(earlier.get(key) != value for key, value in seen.items()):
            digest = _file_digest(str(path.absolute()), *seen.values())
            files[name] = earlier = {**seen, "digest": digest}
        return [name, state.st_size, earlier["digest"]]

    return manifest_digest(source, entry)


# The checks of a run ask more than once for files of up to 500 GB; an entry takes some 300 bytes.
@lru_cache(maxsize=2**17)
def _file_digest(path: str, size: int, mtime_ns: int, ctime_ns: int) -> str:
    """Compute the digest of a file once per process, as long as its size and times stay the same."""
    return file_digest(Path(path))


def _remote_digest(path: Path) -> str:
    """Digest the content of an object whose server states neither ETag nor time."""
    digest = hashlib.sha256()
    with locations.open_binary(path) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def manifest_digest(
    source: Path, entry: Callable[[str, Path], list[str | int]], *, sidecars: bool = True
) -> str:
    """Compute the sha256 over the entries of all slice files, their sidecars, and ``acquisition.json`` if it is there.

    Parameters
    ----------
    source
        A folder of slice files, one file of several slices or a folder that is one volume, as `find_source_files` takes it.
    entry
        Describes one file, of which it takes name and path, in a list of texts and numbers, its name first; called from several
        threads. Files of a folder that is one volume are named by their path inside.
    sidecars
        Include the files beside the slices that state something about them.
    """
    files = find_source_files(source)
    members = files.members()
    if sidecars:
        members += [(path.name, path) for path in find_sidecars(source, files.paths).paths]
    description = description_path(source)
    if locations.is_file(description) and description not in [path for _, path in members]:
        members.append((description.name, description))
    with ThreadPoolExecutor(FILE_THREADS) as threads:
        entries = list(threads.map(entry, *zip(*members, strict=True)))
    return hashlib.sha256(canonical_json(entries).encode()).hexdigest()
