"""The digest of an acquisition's files: by their content, whatever their times and their folder."""

import hashlib
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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
        Digests of files from an earlier call, by file name, each with the size and the modification time that the file
        had. A file that still has both is not read again. The digests of this call are written into it.

    Returns
    -------
    str
        sha256 in hexadecimal, over name, size and content of every slice file and of ``acquisition.json``. The folder's
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
        seen = {"size": state.st_size, "mtime_ns": state.st_mtime_ns}
        earlier = files.get(path.name, {})
        if any(earlier.get(key) != value for key, value in seen.items()):
            files[path.name] = earlier = {**seen, "digest": file_digest(path)}
        return [path.name, state.st_size, earlier["digest"]]

    return manifest_digest(source, entry)


def manifest_digest(source: Path, entry: Callable[[Path], list[str | int]]) -> str:
    """Compute the sha256 over the entries of all slice files, and of ``acquisition.json`` if it is there.

    Parameters
    ----------
    source
        A folder of slice files, or one multi-page file.
    entry
        Describes one file in a list of texts and numbers; called from several threads.
    """
    paths = list(find_source_files(source).paths)
    description = description_path(source)
    if description.is_file():
        paths.append(description)
    with ThreadPoolExecutor(FILE_THREADS) as threads:
        entries = list(threads.map(entry, paths))
    return hashlib.sha256(canonical_json(entries).encode()).hexdigest()
