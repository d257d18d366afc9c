"""Markers of arrays, tables and documents, rewritten under today's digests; each file whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spherovem_core.migration.history import Digests, is_known
from spherovem_core.migration.renames import ARTIFACTS, COLUMNS, TABLES, rename_groups
from spherovem_core.store.files import read_json, write_atomically, write_json
from spherovem_core.store.layout import Layout
from spherovem_core.store.nodes import ATTRIBUTE


def rewrite_array(place: Path, digests: Digests) -> bool:
    """Rewrite the marker of one level of an array; return whether it is kept."""
    node = read_json(place / "zarr.json")
    marker = (node or {}).get("attributes", {}).get(ATTRIBUTE)
    if node is None or not isinstance(marker, dict) or not marker.get("complete"):
        return False
    if is_migratable(marker, digests):
        marker |= _converted(marker, digests)
        write_json(place / "zarr.json", node)
    return True


def rewrite_table(layout: Layout, path: str, digests: Digests) -> bool:
    """Rewrite the marker of a table, rename its columns, move it to its place of today; return whether it is kept."""
    place = layout.path(path)
    try:
        table = pq.read_table(place)
    except (OSError, pa.ArrowInvalid):
        return False
    metadata = dict(table.schema.metadata or {})
    marker = json.loads(metadata.get(b"spherovem", b"{}"))
    if is_migratable(marker, digests):
        metadata[b"spherovem"] = json.dumps(_converted(marker, digests)).encode()
        for old, new in COLUMNS.items():
            metadata = {
                key: value.replace(f'"{old}"'.encode(), f'"{new}"'.encode())
                for key, value in metadata.items()
            }
        names = [COLUMNS.get(name, name) for name in table.column_names]
        renamed = table.rename_columns(names).replace_schema_metadata(metadata)
        write_atomically(place, lambda fresh: pq.write_table(renamed, fresh, compression="zstd"))
    if path in TABLES:
        place.replace(layout.path(TABLES[path]))
    return True


def rewrite_document(place: Path, digests: Digests) -> None:
    """Rewrite a JSON document: its digest, history, and in the provenance stages, artifacts and parameters."""
    document = read_json(place)
    if document is None or not is_migratable(document, digests):
        return
    document |= _converted(document, digests)
    if "artifacts" in document:
        document["parameters"] = rename_groups(document["parameters"])
        document["stages"] = [
            digests.convert(entry) for entry in document.get("stages", []) if is_known(entry)
        ]
        document["artifacts"] = {
            ARTIFACTS.get(name, name): {
                **reference,
                "digest": digests.new.get(reference["digest"], reference["digest"]),
                "path": TABLES.get(reference["path"], reference["path"]),
            }
            for name, reference in document["artifacts"].items()
        }
    write_json(place, document)


def is_migratable(marker: Mapping[str, Any], digests: Digests) -> bool:
    """Return whether today's digest of an output is known, and the entry of its own step, where it has one, is sound."""
    history = marker.get("history")
    return marker.get("fingerprint") in digests.new and (not history or is_known(history[-1]))


def _converted(marker: Mapping[str, Any], digests: Digests) -> dict[str, Any]:
    return {
        "fingerprint": digests.new[marker["fingerprint"]],
        "history": [digests.convert(entry) for entry in marker.get("history", []) if is_known(entry)],
    }
