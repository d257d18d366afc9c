"""Tables and small files, written whole or not at all; a table carries the digest of its step."""

import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.references import ArtifactRef
from spherovem_core.store.layout import Layout

UNIT_SUFFIXES = (
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


def column_unit(column: str) -> str:
    """Return the unit of a table column by the end of its name; empty for a pure number."""
    if column.startswith("bbox_"):
        return "voxel"
    return next((unit for suffix, unit in UNIT_SUFFIXES if column.endswith(suffix)), "")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then move it into place; a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write(fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def write_table(
    layout: Layout,
    path: str,
    frame: pd.DataFrame,
    digest: str,
    history: Sequence[Mapping[str, Any]] = (),
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
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    fields = [field.with_metadata({"unit": column_unit(field.name)}) for field in table.schema]
    marker = {"fingerprint": digest, "history": [dict(entry) for entry in history]}
    units = {field.name: unit for field in table.schema if (unit := column_unit(field.name))}
    metadata = {
        **(table.schema.metadata or {}),
        b"spherovem": json.dumps(marker).encode(),
        b"units": json.dumps(units, ensure_ascii=False).encode(),
    }
    table = table.cast(pa.schema(fields, metadata=metadata))
    write_atomically(layout.path(path), lambda fresh: pq.write_table(table, fresh, compression="zstd"))
    return _table_reference(layout, path, frame.shape, digest)


def read_table(layout: Layout, path: str, *, digest: str | None = None) -> pd.DataFrame:
    """Read a table.

    Raises
    ------
    IncompleteArtifactError
        If it is absent or carries another digest than `digest`.
    """
    found = table_digest(layout, path)
    if found is None or (digest is not None and found != digest):
        state = "is not there" if found is None else "was computed under other inputs or parameters"
        raise IncompleteArtifactError(f"{layout.path(path)} {state}; run the acquisition again to compute it")
    frame: pd.DataFrame = pq.read_table(layout.path(path)).to_pandas()
    return frame


def table_digest(layout: Layout, path: str) -> str | None:
    """Return the digest of a table on disk, or None if there is no readable one."""
    marker = table_marker(layout.path(path))
    return None if marker is None else str(marker["fingerprint"])


def table_history(layout: Layout, path: str) -> list[dict[str, Any]]:
    """Return the history entries of a table, the newest last; empty if there is no table."""
    marker = table_marker(layout.path(path))
    return [] if marker is None else list(marker["history"])


def find_table(layout: Layout, path: str, digest: str) -> ArtifactRef | None:
    """Return a reference to the table of this digest, or None."""
    if table_digest(layout, path) != digest:
        return None
    metadata = pq.read_metadata(layout.path(path))
    return _table_reference(layout, path, (metadata.num_rows, metadata.num_columns), digest)


def table_marker(path: Path) -> dict[str, Any] | None:
    """Read ``fingerprint`` and ``history`` from a table's metadata; return None if there is no readable table."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    text = metadata.get(b"spherovem")
    return None if text is None else json.loads(text)


def _table_reference(layout: Layout, path: str, shape: tuple[int, int], digest: str) -> ArtifactRef:
    return ArtifactRef(
        store=str(layout.folder),
        path=path,
        shape=shape,
        dtype="table",
        spacing_nm=(0.0, 0.0, 0.0),
        digest=digest,
    )


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON document whole or not at all."""
    text = json.dumps(value, indent=2, sort_keys=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""

    def write(fresh: Path) -> None:
        fresh.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON document; return None if there is no readable one."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None
