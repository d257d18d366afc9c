"""Digest of the acquired files: by their times in format 1, by their content today."""

import hashlib
from pathlib import Path

from spherovem_core.errors import NoSlicesError
from spherovem_core.ingest import source_digest
from spherovem_core.ingest.source_digest import manifest_digest

SAMPLE_BYTES = 64 * 1024


def digest_today(source: Path, old_digest: str, *, trust_source: bool) -> str | None:
    """Return today's digest of a source; None where it is away, or is not the one that was ingested.

    Parameters
    ----------
    old_digest
        Digest under which format 1 ingested it.
    trust_source
        Take the files for the ones that were ingested, although their times have changed, as they do when files are copied.
    """
    try:
        unchanged = trust_source or manifest_digest(source, _entry_of_format_1, sidecars=False) == old_digest
        return source_digest(source) if unchanged else None
    except (NoSlicesError, OSError):
        return None


def _entry_of_format_1(name: str, path: Path) -> list[str | int]:
    with path.open("rb") as file:
        sample = hashlib.sha256(file.read(SAMPLE_BYTES))
        size = file.seek(0, 2)
        file.seek(max(0, size - SAMPLE_BYTES))
        sample.update(file.read(SAMPLE_BYTES))
    return [name, size, path.stat().st_mtime_ns, sample.hexdigest()]
