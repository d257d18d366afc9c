"""Asking the store whether an artifact is there, whatever its sort."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.references import ArtifactRef
from spherovem_core.store import (
    Layout,
    find_array,
    find_table,
    open_array,
    read_json,
    table_digest,
    table_history,
    write_json,
)
from spherovem_core.store.layout import VOLUME

NO_SPACING = (0.0, 0.0, 0.0)


def find_artifact(layout: Layout, path: str, digest: str) -> ArtifactRef | None:
    """Reference to the complete artifact of this fingerprint, or None.

    An array counts with all levels of its pyramid. A JSON document carries its fingerprint under
    ``fingerprint``; any other file has none and only has to exist.
    """
    if _is_array(path):
        return _find_pyramid(layout, _group(path), digest)
    if path.endswith(".parquet"):
        return find_table(layout, path, digest)
    if path.endswith(".json"):
        document = read_json(layout.path(path))
        sound = document is not None and document.get("fingerprint") == digest
    else:
        sound = layout.path(path).is_file()
    return file_reference(layout, path, digest) if sound else None


def find_newest(layout: Layout, paths: Sequence[str]) -> ArtifactRef | None:
    """Reference to the first of a stage's outputs if all are complete under the fingerprint that the first one has."""
    digest = _array_digest(layout, paths[0]) if _is_array(paths[0]) else table_digest(layout, paths[0])
    if digest is None:
        return None
    found = [find_artifact(layout, path, digest) for path in paths]
    return None if None in found else found[0]


def artifact_history(layout: Layout, path: str) -> list[dict[str, Any]]:
    """History of a complete array or table, the newest entry last."""
    return open_array(layout, _group(path)).history if _is_array(path) else table_history(layout, path)


def _is_array(path: str) -> bool:
    return path.startswith(f"{VOLUME}/")


def _group(path: str) -> str:
    return path.removeprefix(f"{VOLUME}/").rpartition("/")[0]


def _array_digest(layout: Layout, path: str) -> str | None:
    try:
        return open_array(layout, _group(path)).digest
    except IncompleteArtifactError:
        return None


def file_reference(layout: Layout, path: str, digest: str) -> ArtifactRef:
    """Reference to a file that is neither array nor table."""
    return ArtifactRef(
        store=str(layout.folder), path=path, shape=(), dtype="file", spacing_nm=NO_SPACING, digest=digest
    )


def write_document(layout: Layout, path: Path, document: dict[str, Any], digest: str) -> ArtifactRef:
    """Write a JSON document with its fingerprint."""
    write_json(path, {"fingerprint": digest, **document})
    return file_reference(layout, str(path.relative_to(layout.folder)), digest)


def _find_pyramid(layout: Layout, group: str, digest: str) -> ArtifactRef | None:
    reference = find_array(layout, group, digest)
    if reference is None:
        return None
    try:
        levels = open_array(layout, group, digest=digest).details.get("level_factors", [None])
        for level in range(1, len(levels)):
            open_array(layout, group, level, digest=digest)
    except IncompleteArtifactError:
        return None
    return reference
