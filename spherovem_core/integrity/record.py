"""Records of results that an older version wrote without any."""

from pathlib import Path
from typing import Any

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.integrity.targets import artifact_path, held
from spherovem_core.registry import pipeline_of_results
from spherovem_core.store.array_check import record_files
from spherovem_core.store.arrays import complete_array
from spherovem_core.store.checksums import FileState
from spherovem_core.store.file_records import FileRecord, read_record, save_record
from spherovem_core.store.layout import Layout, array_path
from spherovem_core.store.nodes import essentials, marker_of, read_node, shard_grid
from spherovem_core.workflow import ArrayOutput, Output, Pipeline, TableOutput
from spherovem_core.workflow.artifacts import artifact_marker, open_pyramid


def record_results(folder: Path, pipeline: Pipeline | None = None) -> list[str]:
    """Record finished results without a record as they are, and return their paths.

    Whether they were changed before cannot be told. Arrays are read once.

    Raises
    ------
    ChangedArtifactError
        If a result that has a record was changed.
    StoreNotWritableError
        If a run holds the folder, or it cannot be written.
    """
    layout = Layout(folder.absolute())
    pipeline = pipeline or pipeline_of_results(layout.folder)
    with held(layout):
        return [
            artifact_path(output)
            for step in pipeline.steps
            for output in (*step.outputs, *step.kept)
            if (
                _record_array(layout, output)
                if isinstance(output, ArrayOutput)
                else _record_file(layout, output)
            )
        ]


def _record_array(layout: Layout, output: ArrayOutput) -> bool:
    try:
        stored = open_pyramid(layout, output.group)
    except IncompleteArtifactError:
        return False
    if "content" in stored.details:
        return False
    contents: list[str] = []
    # The finest level last: it counts for all.
    for level in range(len(stored.details.get("level_factors", [None])))[::-1]:
        place = layout.path(array_path(output.group, level))
        node = read_node(place) or {}
        record = record_files(place, shard_grid(node))
        record.save(place)
        marker: dict[str, Any] = {**(marker_of(node) or {}), "content": record.content(essentials(node))}
        if level == 0:
            marker["levels"] = contents[::-1]
        complete_array(place, marker)
        contents.append(marker["content"])
    return True


def _record_file(layout: Layout, output: Output) -> bool:
    place = layout.path(output.path)
    if read_record(layout, output.path) is not None or not place.is_file():
        return False
    save_record(layout, output.path, FileRecord(FileState.of(place), None, kept_of(layout, output)))
    return True


def kept_of(layout: Layout, output: Output) -> dict[str, Any]:
    """Return what the record of a file keeps of it."""
    from spherovem_core.store.tables import kept_of_table

    marker = artifact_marker(layout, output)
    if marker is None:
        return {}
    if isinstance(output, TableOutput):
        import pyarrow.parquet as pq

        return kept_of_table(pq.read_schema(layout.path(output.path)), marker)
    return {
        "marker": {name: marker[name] for name in ("fingerprint", "history", "sources") if name in marker}
    }
