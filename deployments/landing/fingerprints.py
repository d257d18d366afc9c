"""Fingerprint of an acquisition's content, to recognise one that landed before."""

import hashlib
from pathlib import Path

from spherovem_core.ingest import locations
from spherovem_core.ingest.source_digest import manifest_digest
from spherovem_core.urls import is_remote

END_BYTES = 64 * 1024
SAMPLE_BYTES = 4 * 1024
# A changed run of at least this many bytes is always seen.
SAMPLE_EVERY = 4 * 1024 * 1024


def content_fingerprint(source: Path) -> str:
    """Fingerprint an acquisition by samples of its files.

    The samples of each slice file and of ``acquisition.json`` are its name, its size, the first and last 64 KiB, and 4 KiB
    in every 4 MiB between. Times of files do not count: a copy is the same acquisition. A change of less than 4 MiB in the
    middle of a file that keeps its size can stay unseen. Of an object, its size and ETag stand for the content.

    Parameters
    ----------
    source
        A folder of slice files, one file of several slices or a folder that is one volume, as `find_source_files` takes it.

    Returns
    -------
    str
        sha256 in hexadecimal.

    Raises
    ------
    NoSlicesError
        If there is no slice file.
    OSError
        If a file cannot be read.
    """
    return manifest_digest(source, _sample_file)


def _sample_file(name: str, path: Path) -> list[str | int]:
    if is_remote(path):
        state = locations.state_of(path)
        return [name, state.size, state.mark]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        places = [(0, END_BYTES)]
        places += [(place, SAMPLE_BYTES) for place in range(SAMPLE_EVERY, size - END_BYTES, SAMPLE_EVERY)]
        places.append((max(0, size - END_BYTES), END_BYTES))
        for place, count in places:
            file.seek(place)
            digest.update(file.read(count))
    return [name, size, digest.hexdigest()]
