"""The inventory of tables: columns, rows, size and history, from the footers of the Parquet files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.store.layout import Layout


@dataclass(frozen=True)
class TableColumn:
    """Column of a table as its file describes it."""

    name: str
    type: str
    unit: str


@dataclass(frozen=True)
class TableInventory:
    """Inventory of a Parquet table.

    Attributes
    ----------
    path
        Path in the results folder, or as given.
    fingerprint
        None if no step of spherovem wrote it.
    """

    path: str
    rows: int
    bytes_on_disk: int
    fingerprint: str | None
    columns: tuple[TableColumn, ...]
    history: Sequence[Mapping[str, Any]] = ()

    def document(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


def tables_inventory(layout: Layout) -> list[TableInventory]:
    """Describe every table of a results folder, in the order of their paths."""
    paths = sorted(layout.tables.rglob("*.parquet"))
    return [table_inventory(path, path.relative_to(layout.folder).as_posix()) for path in paths]


def table_inventory(path: Path, name: str | None = None) -> TableInventory:
    """Describe a Parquet table from its footer.

    Raises
    ------
    IncompleteArtifactError
        If it is no whole Parquet file.
    """
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise IncompleteArtifactError(
            f"{path} is no whole Parquet file ({error}); write or copy it again"
        ) from error
    schema = metadata.schema.to_arrow_schema()
    marker = json.loads((schema.metadata or {}).get(b"spherovem", b"{}"))
    columns = tuple(
        TableColumn(each.name, str(each.type), (each.metadata or {}).get(b"unit", b"").decode())
        for each in schema
    )
    return TableInventory(
        name or str(path),
        metadata.num_rows,
        path.stat().st_size,
        marker.get("fingerprint"),
        columns,
        marker.get("history", ()),
    )
