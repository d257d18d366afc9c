"""Finished outputs on disk: arrays, tables, documents and files, found by their digest."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.references import ArtifactRef
from spherovem_core.store import Layout, StoredArray, find_table, open_array, read_json
from spherovem_core.store.adoptions import effective_digest
from spherovem_core.store.changes import Change, changed_error
from spherovem_core.store.discarded import find_discarded
from spherovem_core.store.file_records import check_file, write_recorded
from spherovem_core.store.files import format_json
from spherovem_core.store.layout import VOLUME, array_path
from spherovem_core.store.markers import array_marker
from spherovem_core.store.reading import array_reference
from spherovem_core.store.tables import checked_marker, stored_content, table_marker
from spherovem_core.workflow.outputs import ArrayOutput, DocumentOutput, FileOutput, Output, TableOutput

AUTOMATIC_DIGEST = "automatic"
"""Name of the digest of the automatic labels among the details of corrected ones."""

NO_SPACING = (0.0, 0.0, 0.0)


def find_artifact(layout: Layout, output: Output, digest: str) -> ArtifactRef | None:
    """Return the reference to the complete artifact that was computed under this digest, or None.

    An array counts with all levels of its pyramid, or if it was discarded because all that is computed from it was complete. A
    document carries its digest under ``fingerprint``. Any other file has none and only has to exist.

    Raises
    ------
    ChangedArtifactError
        If there is an artifact which is not the one that was computed, under whatever digest.
    """
    match output:
        case ArrayOutput():
            return _find_pyramid(layout, output.group, digest)
        case TableOutput():
            return find_table(layout, output.path, digest)
        case DocumentOutput():
            document = read_document(layout, output)
            sound = document is not None and document.get("fingerprint") == digest
        case _:
            check_file(layout, output.path)
            sound = layout.path(output.path).is_file()
    return file_reference(layout, output.path, digest) if sound else None


def find_outputs(
    layout: Layout, outputs: Sequence[Output], digest: str, own: Sequence[str] | None = None
) -> ArtifactRef | None:
    """Return the reference to the first output of a step if all were computed under their digests, else None.

    The digest of the reference is the one under which others read the step: of an adopted change it is another than its own.

    Parameters
    ----------
    digest
        Digest of the step.
    own
        Digest of each output; None if all have that of the step.
    """
    digests = [digest] * len(outputs) if own is None else own
    found = [find_artifact(layout, output, each) for output, each in zip(outputs, digests, strict=True)]
    return _reference_for_others(layout, outputs, digest, found)


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
    return _reference_for_others(layout, outputs, digest, found)


def _reference_for_others(
    layout: Layout, outputs: Sequence[Output], digest: str, found: Sequence[ArtifactRef | None]
) -> ArtifactRef | None:
    """Return the first of the found outputs with the digest under which others read the step; None if one was not found."""
    if found[0] is None or None in found:
        return None
    return found[0].model_copy(update={"digest": digest_for_others(layout, outputs, digest)})


def digest_for_others(layout: Layout, outputs: Sequence[Output], own: str) -> str:
    """Return the digest under which others read the outputs of a step that was computed under `own`."""
    return effective_digest(own, [artifact_marker(layout, output) for output in outputs])


def replaced_source(layout: Layout, outputs: Sequence[Output]) -> str | None:
    """Return the path of a table or of labels that hold other values than when these outputs were computed from them.

    That happens without another digest: where a step is computed again on another device, or by other versions of libraries.
    """
    for output in outputs:
        sources = (artifact_marker(layout, output) or {}).get("sources")
        for path, content in (sources or {}).items():
            now = content_of(layout, path)
            if now is not None and now != content:
                return str(path)
    return None


def content_of(layout: Layout, path: str) -> str | None:
    """Return the content digest of a table or of the finest level of an array; None where it is not there or unknown.

    A discarded array has that which it had.
    """
    if path.endswith(".parquet"):
        return stored_content(layout, path)
    left = find_discarded(layout, path.removeprefix(f"{VOLUME}/").rpartition("/")[0])
    marker = array_marker(layout.path(path)) if left is None else left.marker
    content = (marker or {}).get("content")
    return None if content is None else str(content)


def check_unchanged(layout: Layout, outputs: Iterable[Output]) -> None:
    """Refuse artifacts that were changed after they were computed; absent and unfinished ones are passed over.

    Raises
    ------
    ChangedArtifactError
        The first that was changed.
    """
    for output in outputs:
        match output:
            case ArrayOutput():
                with suppress(IncompleteArtifactError):
                    open_pyramid(layout, output.group)
            case TableOutput():
                checked_marker(layout, output.path)
            case _:
                check_file(layout, output.path)


def automatic_digests(layout: Layout, output: Output) -> tuple[str, ...]:
    """Return the digest of the automatic labels from which a complete array was corrected, if it was."""
    if not isinstance(output, ArrayOutput):
        return ()
    kept = (artifact_marker(layout, output) or {}).get(AUTOMATIC_DIGEST)
    return () if kept is None else (str(kept),)


def stored_digest(layout: Layout, output: Output) -> str | None:
    """Return the digest under which a complete output was computed; None where it is not complete."""
    match output:
        case ArrayOutput():
            try:
                return open_array(layout, output.group).own_digest
            except IncompleteArtifactError:
                left = find_discarded(layout, output.group)
                return None if left is None else left.own_digest
        case TableOutput():
            marker = checked_marker(layout, output.path)
        case _:
            marker = read_document(layout, output)
    return None if marker is None else marker.get("fingerprint")


def artifact_marker(layout: Layout, output: Output) -> Mapping[str, Any] | None:
    """Return the marker of an output as it lies on disk, or as it was when the output was discarded; None where it has none."""
    match output:
        case ArrayOutput():
            left = find_discarded(layout, output.group)
            return array_marker(layout.path(output.path)) if left is None else left.marker
        case TableOutput():
            return table_marker(layout.path(output.path))
        case DocumentOutput():
            return read_json(layout.path(output.path))
        case _:
            return None


def artifact_history(layout: Layout, output: Output) -> list[dict[str, Any]]:
    """Return the history of a complete array, table or document, the newest entry last."""
    return list((artifact_marker(layout, output) or {}).get("history", []))


def last_entry(layout: Layout, output: Output, step: str) -> dict[str, Any] | None:
    """Return the newest entry of a step in the history of an output, before those of adoptions; None if there is none."""
    own = [entry for entry in artifact_history(layout, output) if entry.get("step") == step]
    return own[-1] if own else None


def read_document(layout: Layout, output: DocumentOutput | FileOutput) -> dict[str, Any] | None:
    """Read a document; None if there is no readable one.

    Raises
    ------
    ChangedArtifactError
        If it is not the one that was written.
    """
    check_file(layout, output.path)
    return read_json(layout.path(output.path))


def file_reference(layout: Layout, path: str, digest: str) -> ArtifactRef:
    """Refer to a file that is neither array nor table."""
    return ArtifactRef(
        store=str(layout.folder), path=path, shape=(), dtype="file", spacing_nm=NO_SPACING, digest=digest
    )


def write_document(layout: Layout, path: str, document: Mapping[str, Any], digest: str) -> ArtifactRef:
    """Write a JSON document with its digest."""
    marked = {"fingerprint": digest, **document}
    kept = {
        "marker": {name: marked[name] for name in ("fingerprint", "history", "sources") if name in marked}
    }
    write_file(layout, path, format_json(marked), kept)
    return file_reference(layout, path, digest)


def write_file(layout: Layout, path: str, text: str, kept: Mapping[str, Any] | None = None) -> None:
    """Write a text file of the results, and record what it holds."""

    def write(fresh: Path) -> None:
        fresh.write_text(text, encoding="utf-8")

    write_recorded(layout, path, write, kept)


def _find_pyramid(layout: Layout, group: str, digest: str) -> ArtifactRef | None:
    try:
        stored = open_pyramid(layout, group)
    except IncompleteArtifactError:
        left = find_discarded(layout, group)
        is_done = left is not None and not left.is_wanted and left.own_digest == digest
        return left.reference(layout) if left is not None and is_done else None
    return array_reference(layout, group, stored) if stored.own_digest == digest else None


def open_pyramid(layout: Layout, group: str) -> StoredArray:
    """Open the finest level of an image, after a look at all levels.

    Raises
    ------
    IncompleteArtifactError
        If a level is not complete, or was computed under another digest.
    ChangedArtifactError
        If a level is not the one that was computed.
    """
    stored = open_array(layout, group)
    contents = stored.details.get("levels", ())
    for level in range(1, len(stored.details.get("level_factors", [None]))):
        coarse = open_array(layout, group, level)
        path = array_path(group, level)
        if coarse.own_digest != stored.own_digest:
            raise IncompleteArtifactError(
                f"{layout.path(path)} was computed under other inputs than its finest level; "
                "run the acquisition again to compute it"
            )
        if contents and contents[level - 1] != coarse.details.get("content"):
            what = "is another level than the one that was computed from the finest"
            raise changed_error(layout, f"{VOLUME}/{group}", [Change(str(level), what)])
    return stored
