"""Adoption of tables, documents and the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spherovem_core.errors import ChangedArtifactError, ParameterError
from spherovem_core.integrity.adoption import Adopting, Adoption
from spherovem_core.references import canonical_json
from spherovem_core.store import Layout
from spherovem_core.store.adoptions import ADOPTED
from spherovem_core.store.checksums import FileState, new_checksum
from spherovem_core.store.file_records import FileRecord, adopt_file, find_change, read_record
from spherovem_core.store.files import format_json, read_json
from spherovem_core.store.table_content import table_content
from spherovem_core.store.tables import is_table, kept_of_table, save_table, table_marker, with_marker
from spherovem_core.workflow import DocumentOutput, FileOutput, Output, Step, TableOutput
from spherovem_core.workflow.artifacts import artifact_marker

OF_THE_STEP = ("fingerprint", "history", "sources", ADOPTED)
"""Fields of a document that its step keeps beside its content."""


def adopt_table(layout: Layout, step: Step[Any], output: TableOutput, making: Adopting) -> Adoption:
    """Adopt the values of a table, and put the digest, history and units back that another program left out.

    Raises
    ------
    ChangedArtifactError
        If it is no whole table, has lost a column, holds a column of a type that does not fit, or a label twice.
    """
    place, record = layout.path(output.path), _changed_record(layout, output)
    try:
        table = _read(place)
    except (OSError, pa.ArrowInvalid) as error:
        raise ChangedArtifactError(
            f"{place} cannot be adopted: it is no whole Parquet file ({error}); save it again, or discard it with --recompute"
        ) from error
    marker = _marker(layout, step, output, record)
    table = _with_types(place, table, {} if record is None else record.kept.get("columns", {}))
    adoption = making.adoption(str(marker.get("content", "")), table_content(table))
    marker = _adopted(marker, making, adoption) | {"content": adoption.after}
    table = with_marker(table.replace_schema_metadata(_without_index(table)), marker)
    adopt_file(
        layout, output.path, lambda fresh: save_table(table, fresh), kept_of_table(table.schema, marker)
    )
    return adoption


def adopt_document(layout: Layout, step: Step[Any], output: DocumentOutput, making: Adopting) -> Adoption:
    """Adopt a JSON document.

    Raises
    ------
    ChangedArtifactError
        If it is no JSON object.
    """
    place, record = layout.path(output.path), _changed_record(layout, output)
    document = read_json(place)
    if document is None:
        raise ChangedArtifactError(
            f"{place} cannot be adopted: it is no JSON object; write it again, or discard it with --recompute"
        )
    content = {name: value for name, value in document.items() if name not in OF_THE_STEP}
    after = new_checksum(canonical_json(content).encode()).hexdigest()
    adoption = making.adoption("" if record is None else record.state.checksum, after)
    marker = _adopted(_marker(layout, step, output, record), making, adoption)
    text = format_json({"fingerprint": marker["fingerprint"], **content, **marker})
    adopt_file(
        layout,
        output.path,
        lambda fresh: _write(fresh, text),
        {"marker": dict(marker), ADOPTED: adoption.marker},
    )
    return adoption


def adopt_report(layout: Layout, output: FileOutput, making: Adopting) -> Adoption:
    """Adopt a file of which nothing is known but its bytes."""
    record = _changed_record(layout, output)
    after = FileState.of(layout.path(output.path)).checksum
    adoption = making.adoption("" if record is None else record.state.checksum, after)
    adopt_file(layout, output.path, None, {ADOPTED: adoption.marker})
    return adoption


def _changed_record(layout: Layout, output: Output) -> FileRecord | None:
    """Return the record of a changed file; a table without a record is changed when another program wrote it."""
    place = layout.path(output.path)
    record = read_record(layout, output.path)
    if not place.is_file():
        raise ParameterError(f"{place} is not there; the next run computes it")
    foreign = isinstance(output, TableOutput) and is_table(place) and table_marker(place) is None
    if find_change(layout, output.path, read=True) is None and not foreign:
        raise ParameterError(f"{place} holds what was computed, and there is nothing to adopt")
    return record


def _marker(layout: Layout, step: Step[Any], output: Output, record: FileRecord | None) -> dict[str, Any]:
    """Return the marker that the file had: from its record, else that of another output of its step."""
    kept = None if record is None else record.kept.get("marker")
    others = (artifact_marker(layout, each) for each in step.outputs if each is not output)
    found = kept or next((marker for marker in others if marker and "fingerprint" in marker), None)
    if found is None:
        raise ChangedArtifactError(
            f"{layout.path(output.path)} cannot be adopted: nothing tells which step and parameters it came from; "
            "discard it with --recompute"
        )
    wanted = ("fingerprint", "history", "sources", "content") if kept else ("fingerprint", "history")
    return {name: found[name] for name in wanted if name in found}


def _adopted(marker: Mapping[str, Any], making: Adopting, adoption: Adoption) -> dict[str, Any]:
    entry = dict(making.entry(adoption, marker["fingerprint"]))
    return {**marker, "history": [*marker.get("history", ()), entry], ADOPTED: adoption.marker}


def _read(place: Path) -> pa.Table:
    """Read a table that pandas may have written: a named index is a column, a numbered one is left out."""
    frame = pq.read_table(place).to_pandas()
    named = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index() if named else frame.reset_index(drop=True)
    return pa.Table.from_pandas(pd.DataFrame(frame), preserve_index=False)


def _without_index(table: pa.Table) -> dict[bytes, bytes]:
    """Keep what pandas reads of a table, and nothing of another program."""
    return {key: value for key, value in (table.schema.metadata or {}).items() if key == b"pandas"}


def _with_types(place: Path, table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """Return the columns in the types that they had."""
    lost = [name for name in columns if name not in table.column_names]
    if lost:
        raise ChangedArtifactError(
            f"{place} cannot be adopted: it has lost the columns {', '.join(lost)}, which others read; add them, or discard it "
            "with --recompute"
        )
    fields = []
    for field in table.schema:
        kind = columns.get(field.name)
        fields.append(field if kind in (None, str(field.type)) else pa.field(field.name, _type(kind)))
    try:
        table = table.cast(pa.schema(fields))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ChangedArtifactError(
            f"{place} cannot be adopted: a column holds values of another type than it had ({error}); mend it, or discard it "
            "with --recompute"
        ) from error
    if "label" in table.column_names and "label" in columns:
        labels = table.column("label").to_pandas()
        if labels.duplicated().any() or labels.isna().any():
            raise ChangedArtifactError(
                f"{place} cannot be adopted: the column label holds a label twice or none at all; each row needs its own"
            )
    return table


def _type(name: str | None) -> pa.DataType:
    return pa.bool_() if name == "bool" else pa.type_for_alias(str(name))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
