"""Tables, written whole or not at all; each carries the digest of its step."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.references import ArtifactRef
from spherovem_core.store.adoptions import ADOPTED, effective_digest
from spherovem_core.store.changes import Change, changed_error
from spherovem_core.store.file_records import check_file, write_recorded
from spherovem_core.store.layout import Layout
from spherovem_core.store.table_content import table_content

UNIT_SUFFIXES = (
    ("_pg_per_um3", "pg/µm³"),
    ("_pg", "pg"),
    ("_per_um3", "1/µm³"),
    ("_per_um2", "1/µm²"),
    ("_per_um", "1/µm"),
    ("_um3", "µm³"),
    ("_um2", "µm²"),
    ("_um", "µm"),
    ("_nm3", "nm³"),
    ("_nm", "nm"),
    ("_px", "px"),
    ("_deg", "°"),
)


CONTENT = ("content", "sources")
"""Fields of a marker that stand in an entry of their own in a table's metadata."""


def column_unit(column: str) -> str:
    """Return the unit of a table column by the end of its name; empty for a pure number."""
    if column.startswith("bbox_"):
        return "voxel"
    return next((unit for suffix, unit in UNIT_SUFFIXES if column.endswith(suffix)), "")


def write_table(
    layout: Layout,
    path: str,
    frame: pd.DataFrame,
    digest: str,
    history: Sequence[Mapping[str, Any]] = (),
    sources: Mapping[str, str] | None = None,
) -> ArtifactRef:
    """Write a Parquet table with the unit of each column in its field's metadata.

    The metadata of the table hold all units as well, as a JSON object under ``units``: polars, and R's arrow before its
    version of 2026, read no metadata of fields.

    Parameters
    ----------
    path
        Relative to the acquisition's folder.
    frame
        One row per label or slice; its index is not written.
    digest
        Digest of the step that computed it.
    sources
        Content digests of the tables and labels that it was computed from, by their path.

    Raises
    ------
    ChangedArtifactError
        If it would replace a table that was changed by hand.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    marker = {
        "fingerprint": digest,
        "history": [dict(entry) for entry in history],
        "sources": dict(sources or {}),
        "content": table_content(table),
    }
    table = with_marker(table, marker)
    write_recorded(layout, path, lambda fresh: save_table(table, fresh), kept_of_table(table.schema, marker))
    return _table_reference(layout, path, frame.shape, digest)


def with_marker(table: pa.Table, marker: Mapping[str, Any]) -> pa.Table:
    """Return a table with the marker and the units of its columns in its metadata."""
    fields = [field.with_metadata({"unit": column_unit(field.name)}) for field in table.schema]
    units = {field.name: unit for field in table.schema if (unit := column_unit(field.name))}
    content = {name: marker[name] for name in CONTENT if name in marker}
    metadata = {
        **(table.schema.metadata or {}),
        b"spherovem": json.dumps({name: marker[name] for name in marker if name not in CONTENT}).encode(),
        b"spherovem_content": json.dumps(content).encode(),
        b"units": json.dumps(units, ensure_ascii=False).encode(),
    }
    return table.cast(pa.schema(fields, metadata=metadata))


def save_table(table: pa.Table, path: Path) -> None:
    """Write a table as all tables are written."""
    pq.write_table(table, path, compression="zstd")


def kept_of_table(schema: pa.Schema, marker: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the record of a table keeps: its marker, and the types of its columns."""
    adopted = {ADOPTED: marker[ADOPTED]} if ADOPTED in marker else {}
    return {
        "marker": dict(marker),
        "columns": {field.name: str(field.type) for field in schema},
        **adopted,
    }


def read_table(layout: Layout, path: str, *, digest: str | None = None) -> pd.DataFrame:
    """Read a table.

    Raises
    ------
    IncompleteArtifactError
        If it is absent or carries another digest than `digest`.
    ChangedArtifactError
        If it is not the one that was computed.
    """
    found = table_digest(layout, path)
    if found is None or (digest is not None and found != digest):
        state = "is not there" if found is None else "was computed under other inputs or parameters"
        raise IncompleteArtifactError(f"{layout.path(path)} {state}; run the acquisition again to compute it")
    frame: pd.DataFrame = pq.read_table(layout.path(path)).to_pandas()
    return frame


def table_digest(layout: Layout, path: str) -> str | None:
    """Return the digest under which others read a table, or None if there is no readable one.

    Raises
    ------
    ChangedArtifactError
        If it is not the one that was computed.
    """
    marker = checked_marker(layout, path)
    return None if marker is None else effective_digest(str(marker["fingerprint"]), [marker])


def checked_marker(layout: Layout, path: str) -> dict[str, Any] | None:
    """Return the marker of a table that is as it was written, or None if there is no readable one.

    Raises
    ------
    ChangedArtifactError
        If it is not the one that was computed.
    """
    check_file(layout, path)
    place = layout.path(path)
    marker = table_marker(place)
    if marker is None and is_table(place):
        what = "was written by another program: it holds no digest of a step"
        raise changed_error(layout, path, [Change("", what)])
    return marker


def table_history(layout: Layout, path: str) -> list[dict[str, Any]]:
    """Return the history entries of a table, the newest last; empty if there is no table."""
    marker = table_marker(layout.path(path))
    return [] if marker is None else list(marker["history"])


def find_table(layout: Layout, path: str, digest: str) -> ArtifactRef | None:
    """Return a reference to the table that was computed under this digest, or None.

    Raises
    ------
    ChangedArtifactError
        If there is a table which is not the one that was computed, under whatever digest.
    """
    marker = checked_marker(layout, path)
    if marker is None or marker["fingerprint"] != digest:
        return None
    metadata = pq.read_metadata(layout.path(path))
    shape = metadata.num_rows, metadata.num_columns
    return _table_reference(layout, path, shape, effective_digest(digest, [marker]))


def stored_content(layout: Layout, path: str) -> str | None:
    """Return the content digest of a table; None if there is no readable one. A table of an older version is read."""
    marker = table_marker(layout.path(path))
    if marker is None:
        return None
    return str(marker["content"]) if "content" in marker else table_content(pq.read_table(layout.path(path)))


def is_table(path: Path) -> bool:
    """Return whether a file is a readable Parquet table, of whatever program."""
    try:
        pq.read_schema(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


def table_marker(path: Path) -> dict[str, Any] | None:
    """Read the marker from a table's metadata; return None if there is no readable table.

    Beside ``fingerprint`` and ``history`` it has ``content``, the digest of the values, and ``sources``, those of the tables and
    labels that it was computed from; tables of older versions have neither.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    text = metadata.get(b"spherovem")
    return (
        None
        if text is None
        else {**json.loads(text), **json.loads(metadata.get(b"spherovem_content", b"{}"))}
    )


def _table_reference(layout: Layout, path: str, shape: tuple[int, int], digest: str) -> ArtifactRef:
    return ArtifactRef(
        store=str(layout.folder),
        path=path,
        shape=shape,
        dtype="table",
        spacing_nm=(0.0, 0.0, 0.0),
        digest=digest,
    )
