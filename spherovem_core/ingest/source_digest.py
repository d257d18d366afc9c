"""The digest of an acquisition's files: of their content, independent of times and folder."""

import hashlib
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from spherovem_core.ingest.sidecars import find_sidecars
from spherovem_core.ingest.source_files import FILE_THREADS, description_path, find_source_files
from spherovem_core.references import canonical_json
from spherovem_core.utils.digests import file_digest


def source_digest(source: Path, known: MutableMapping[str, Any] | None = None) -> str:
    """Compute the digest of an acquisition's files from their content.

    Parameters
    ----------
    source
        A folder of slice files, or one multi-page file.
    known
        Digests of files from an earlier process, by file name, each with the size and the times that the file had. A file
        that still has them is not read again, nor is one that this process has read. The digests of this call are
        written into it.

    Returns
    -------
    str
        sha256 in hexadecimal, over name, size and content of every slice file, of the files beside them that state something
        about them, and of ``acquisition.json``. The folder's
        path and the files' times do not enter: an acquisition that was moved, copied or touched keeps its digest.

    Raises
    ------
    NoSlicesError
        If the source does not exist or holds no slice file.
    OSError
        If a file cannot be read.
    """
    files = {} if known is None else known

    def entry(path: Path) -> list[str | int]:
        state = path.stat()
        # The time of the last change also shows an edit after which the modification time was set back.
        seen = {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "ctime_ns": state.st_ctime_ns}
        earlier = files.get(path.name, {})
        if any(earlier.get(key) != value for key, value in seen.items()):
            digest = _file_digest(str(path.absolute()), *seen.values())
            files[path.name] = earlier = {**seen, "digest": digest}
        return [path.name, state.st_size, earlier["digest"]]

    return manifest_digest(source, entry)


# The checks of a run ask more than once for files of up to 500 GB; an entry takes some 300 bytes.
@lru_cache(maxsize=2**17)
def _file_digest(path: str, size: int, mtime_ns: int, ctime_ns: int) -> str:
    """Compute the digest of a file once per process, as long as its size and times stay the same."""
    return file_digest(Path(path))


def manifest_digest(source: Path, entry: Callable[[Path], list[str | int]], *, sidecars: bool = True) -> str:
    """Compute the sha256 over the entries of all slice files, their sidecars, and ``acquisition.json`` if it is there.

    Parameters
    ----------
    source
        A folder of slice files, or one multi-page file.
    entry
        Describes one file in a list of texts and numbers; called from several threads.
    sidecars
        Include the files beside the slices that state something about them.
    """
    paths = list(find_source_files(source).paths)
    if sidecars:
        paths += find_sidecars(source, paths).paths
    description = description_path(source)
    if description.is_file():
        paths.append(description)
    with ThreadPoolExecutor(FILE_THREADS) as threads:
        entries = list(threads.map(entry, paths))
    return hashlib.sha256(canonical_json(entries).encode()).hexdigest()
