"""Thumbnails among the files of a folder: small images that programs put beside the slices."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from spherovem_core.ingest import locations

_WORD = "thumb"
# A thumbnail of half the width and height has a quarter of the pixels.
_LARGEST = 0.25


def is_thumbnail(path: Path) -> bool:
    """Return whether a file that stands alone is named as a thumbnail; a sample may be a thumb."""
    stem = path.stem.lower()
    return "thumbnail" in stem or stem in (_WORD, "thumbs")


def without_thumbnails(paths: Sequence[Path]) -> list[Path]:
    """Leave out files with ``thumb`` in their name that are smaller than a quarter of the others."""
    others = [path for path in paths if _WORD not in path.name.lower()]
    if not others or len(others) == len(paths):
        return list(paths)
    limit = _LARGEST * median(locations.sizes_of(others))
    kept = set(others)
    return [path for path in paths if path in kept or locations.size_of(path) >= limit]
