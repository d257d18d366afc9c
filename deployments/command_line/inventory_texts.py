"""Sources, arrays and tables as text for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.command_line.acquisition_tables import format_minute, format_percent
from deployments.command_line.text_tables import readable_bytes, text_table
from spherovem_core.utils.progress_rate import readable_seconds

if TYPE_CHECKING:
    from spherovem_core.store.inventory import ArrayInventory
    from spherovem_core.store.table_inventory import TableInventory

DETAILS_OF_A_LEVEL = ("spacing_nm", "level_factors")
LONGEST_VALUE = 100


def source_text(document: Mapping[str, Any]) -> str:
    """List the facts of a source, given as a JSON document."""
    metadata = document["metadata"]
    facts = [
        ("files", f"{document['files']}, {readable_bytes(document['bytes'])}"),
        ("slices", "{} to {}".format(*document["slice_numbers"])),
        ("shape", f"{format_extents(document['shape'])} voxels (z y x), {document['dtype']}"),
        (
            "voxel size",
            "not found" if document["spacing_nm"] is None else format_spacing(document["spacing_nm"]),
        ),
        ("found in", document["spacing_origin"] or "-"),
    ]
    if document["spacing_nm"] is not None:
        extent = [n * side / 1000 for n, side in zip(document["shape"], document["spacing_nm"], strict=True)]
        facts.append(("extent", f"{' x '.join(f'{length:.3g}' for length in extent)} µm"))
    compression = metadata["compression"].replace("none", "no")
    facts += [
        (
            "container",
            f"{metadata['container']}, {compression} compression, {metadata['bits']} bits",
        ),
        ("metadata", metadata["metadata"]),
        ("databar", _databar(metadata)),
    ]
    if source_type := metadata.get("source_dtype"):
        facts.append(("values", f"{source_type}, stored as {document['dtype']} under one scale and offset"))
    if excluded := metadata.get("excluded"):
        facts.append(("excluded", "; ".join(f"{each['slices']}: {each['reason']}" for each in excluded)))
    faults = [f"  - {fault}" for fault in document["faults"]]
    facts.append(("faults", str(len(faults)) if faults else "none"))
    lines = [f"source {document['path']}", "", *(f"{name:<12}{value}" for name, value in facts), *faults]
    return "\n".join(lines)


def _databar(metadata: Mapping[str, Any]) -> str:
    """Say how many rows are cut off as the databar, and whether the pixels or the metadata tell."""
    found = ", found in the pixels" if metadata.get("databar_origin") == "pixels" else ""
    lowest = [f"{metadata['databar_rows']} rows{found}"] if metadata["databar_rows"] else []
    highest = [f"{top} rows at the top"] if (top := metadata.get("databar_top_rows")) else []
    return ", ".join([*lowest, *highest]) or "none"


def arrays_table(arrays: "Sequence[ArrayInventory]") -> str:
    """List arrays, one per line, and sum up their size on disk."""
    rows = [
        [
            array.group,
            format_extents(array.levels[0].shape),
            array.levels[0].dtype,
            _numbers(array.levels[0].spacing_nm),
            str(len(array.levels)),
            readable_bytes(array.bytes_on_disk),
            f"{array.state} {format_percent(array.fraction)}".rstrip(),
        ]
        for array in arrays
    ]
    titles = ["ARRAY", "SHAPE", "TYPE", "VOXEL (NM)", "LEVELS", "ON DISK", "STATE"]
    total = sum(array.bytes_on_disk for array in arrays)
    return f"{text_table(titles, rows, right=(4, 5))}\n\n{readable_bytes(total)} in arrays" if rows else ""


def tables_table(tables: "Sequence[TableInventory]") -> str:
    """List tables, one per line."""
    rows = [
        [each.path, str(each.rows), str(len(each.columns)), readable_bytes(each.bytes_on_disk)]
        for each in tables
    ]
    return text_table(["TABLE", "ROWS", "COLUMNS", "ON DISK"], rows, right=(1, 2, 3)) if rows else ""


def array_text(array: "ArrayInventory") -> str:
    """Describe one array with its levels, details and history."""
    first = array.levels[0]
    rows = [
        [
            level.path,
            format_extents(level.shape),
            _numbers(level.spacing_nm),
            format_extents(level.chunks),
            format_extents(level.shards),
            str(level.files),
            str(level.missing_files),
            readable_bytes(level.bytes_on_disk),
        ]
        for level in array.levels
    ]
    titles = ["LEVEL", "SHAPE", "VOXEL (NM)", "CHUNK", "FILE HOLDS", "FILES", "MISSING", "ON DISK"]
    facts = [
        f"array {array.group}",
        f"{first.dtype}, {', '.join(first.codecs)}; {array.state} {format_percent(array.fraction)}".rstrip(),
    ]
    details = [
        f"{name}: {shorten(value)}" for name, value in array.details.items() if name not in DETAILS_OF_A_LEVEL
    ]
    parts = ["\n".join(facts), text_table(titles, rows, right=(5, 6, 7)), "\n".join(details)]
    return "\n\n".join([*(part for part in parts if part), *history_tables(array.history)])


def table_text(path: Path, table: "TableInventory") -> str:
    """Describe one table with its columns and history."""
    rows = [[column.name, column.type, column.unit] for column in table.columns]
    head = f"table {path}\n\n{table.rows} rows, {readable_bytes(table.bytes_on_disk)}"
    return "\n\n".join([head, text_table(["COLUMN", "TYPE", "UNIT"], rows), *history_tables(table.history)])


def history_tables(history: Sequence[Any]) -> Iterator[str]:
    """List the steps that led to an artifact, as a table; none for an artifact without history."""
    rows = [
        [
            entry.get("step", entry["stage"]).replace("_", " "),
            str(entry["version"]),
            entry["device"],
            readable_seconds(entry["seconds"]),
            readable_bytes(entry["peak_memory_bytes"]),
            format_minute(entry["finished"]),
        ]
        for entry in history
    ]
    if rows:
        titles = ["STEP", "VERSION", "DEVICE", "TIME", "PEAK MEMORY", "FINISHED"]
        yield text_table(titles, rows, right=(3, 4))


def format_extents(shape: Sequence[int]) -> str:
    """Format extents, such as ``12 x 80 x 70``."""
    return " x ".join(map(str, shape))


def format_spacing(spacing_nm: Sequence[float]) -> str:
    """Format a voxel size with unit and axes."""
    return f"{_numbers(spacing_nm)} nm (z y x)"


def shorten(value: Any) -> str:
    """Format a value, cut to what fits a line."""
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _numbers(values: Sequence[float] | None) -> str:
    return " x ".join(f"{value:g}" for value in values or ())
