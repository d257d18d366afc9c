"""Finished outputs on disk: arrays, tables, documents and files, found by their digest."""

from collections.abc import Mapping, Sequence
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
from spherovem_core.workflow.outputs import ArrayOutput, DocumentOutput, Output, TableOutput

AUTOMATIC_DIGEST = "automatic"
"""Name of the digest of the automatic labels among the details of corrected ones."""

NO_SPACING = (0.0, 0.0, 0.0)


def find_artifact(layout: Layout, output: Output, digest: str) -> ArtifactRef | None:
    """Return the reference to the complete artifact of this digest, or None.

    An array counts with all levels of its pyramid. A document carries its digest under ``fingerprint``. Any other file has none
    and only has to exist.
    """
    match output:
        case ArrayOutput():
            return _find_pyramid(layout, output.group, digest)
        case TableOutput():
            return find_table(layout, output.path, digest)
        case DocumentOutput():
            document = read_json(layout.path(output.path))
            sound = document is not None and document.get("fingerprint") == digest
        case _:
            sound = layout.path(output.path).is_file()
    return file_reference(layout, output.path, digest) if sound else None


def find_newest(layout: Layout, outputs: Sequence[Output]) -> ArtifactRef | None:
    """Return the reference to the first output if all are complete under the digest that the first one carries.

    Of corrected labels, outputs that corrections do not change carry the digest of the automatic labels.
    """
    digest = stored_digest(layout, outputs[0])
    if digest is None:
        return None
    digests = (digest, *automatic_digests(layout, outputs[0]))
    found = [
        next(filter(None, (find_artifact(layout, output, own) for own in digests)), None)
        for output in outputs
    ]
    return None if None in found else found[0]


def automatic_digests(layout: Layout, output: Output) -> tuple[str, ...]:
    """Return the digest of the automatic labels from which a complete array was corrected, if it was."""
    if not isinstance(output, ArrayOutput):
        return ()
    kept = open_array(layout, output.group).details.get(AUTOMATIC_DIGEST)
    return () if kept is None else (str(kept),)


def stored_digest(layout: Layout, output: Output) -> str | None:
    """Return the digest that a complete output carries; None where it is not complete."""
    match output:
        case ArrayOutput():
            try:
                return open_array(layout, output.group).digest
            except IncompleteArtifactError:
                return None
        case TableOutput():
            return table_digest(layout, output.path)
        case _:
            document = read_json(layout.path(output.path))
            return None if document is None else document.get("fingerprint")


def artifact_history(layout: Layout, output: Output) -> list[dict[str, Any]]:
    """Return the history of a complete array, table or document, the newest entry last."""
    match output:
        case ArrayOutput():
            return open_array(layout, output.group).history
        case TableOutput():
            return table_history(layout, output.path)
        case _:
            return list((read_json(layout.path(output.path)) or {}).get("history", []))


def file_reference(layout: Layout, path: str, digest: str) -> ArtifactRef:
    """Refer to a file that is neither array nor table."""
    return ArtifactRef(
        store=str(layout.folder), path=path, shape=(), dtype="file", spacing_nm=NO_SPACING, digest=digest
    )


def write_document(layout: Layout, path: str, document: Mapping[str, Any], digest: str) -> ArtifactRef:
    """Write a JSON document with its digest."""
    write_json(layout.path(path), {"fingerprint": digest, **document})
    return file_reference(layout, path, digest)


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
