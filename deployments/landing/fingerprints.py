"""Whether an acquisition that landed again is the same one: a fingerprint of its content, whatever the times of its files."""

import hashlib
from pathlib import Path

from spherovem_core.ingest.source_digest import manifest_digest

END_BYTES = 64 * 1024
SAMPLE_BYTES = 4 * 1024
# Any run of changed bytes as long as this is seen for certain.
SAMPLE_EVERY = 4 * 1024 * 1024


def content_fingerprint(source: Path) -> str:
    """Fingerprint an acquisition by what is in its files.

    Of each slice file and of ``acquisition.json`` enter the name, the size, the first and last 64 KiB and 4 KiB in every
    4 MiB between. Unlike the fingerprint under which stages are cached, it leaves the files' times out: a copy made
    twice is one acquisition. A smaller change of the same size in the middle of a large file is not seen.

    Parameters
    ----------
    source
        A folder of TIFF files, or one TIFF file.

    Returns
    -------
    str
        sha256 in hexadecimal.

    Raises
    ------
    NoSlicesError
        If there is no TIFF file.
    OSError
        If a file cannot be read.
    """
    return manifest_digest(source, _sampled)


def _sampled(path: Path) -> list[str | int]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        places = [(0, END_BYTES)]
        places += [(place, SAMPLE_BYTES) for place in range(SAMPLE_EVERY, size - END_BYTES, SAMPLE_EVERY)]
        places.append((max(0, size - END_BYTES), END_BYTES))
        for place, count in places:
            file.seek(place)
            digest.update(file.read(count))
    return [path.name, size, digest.hexdigest()]
