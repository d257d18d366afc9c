"""Differences between a results folder and `spherovem_core.schema`."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import zarr

from spherovem_core.schema import arrays, files, tables
from spherovem_core.store.columns import Column
from spherovem_core.workflow import ArrayOutput, TableOutput

PARQUET_TYPES = {"double": "float64", "large_string": "string"}


def differences(folder: Path) -> list[str]:
    """List all differences of a finished results folder in words."""
    return [*_arrays(folder), *_tables(folder), *_files(folder)]


def _arrays(folder: Path) -> Iterator[str]:
    volume = folder / "volume.zarr"
    written = {path.parents[1].relative_to(volume).as_posix() for path in volume.rglob("0/zarr.json")}
    described = {array.group: array for array in arrays()}
    for name in sorted(written ^ set(described)):
        yield f"array {name}: {'not described' if name in written else 'not written'}"
    for name in sorted(written & set(described)):
        yield from _array(volume / name, described[name])


def _array(group: Path, described: ArrayOutput) -> Iterator[str]:
    array = zarr.open_array(group / "0", mode="r")
    if array.dtype.name not in described.types:
        yield f"array {described.group}: {array.dtype.name}, described as {described.types}"
    axes = " ".join(map(str, array.metadata.dimension_names))
    if axes != described.axes:
        yield f"array {described.group}: axes {axes}, described as {described.axes}"


def _tables(folder: Path) -> Iterator[str]:
    written = {path.relative_to(folder).as_posix() for path in (folder / "tables").glob("*.parquet")}
    described = {table.path: table for table in tables()}
    for path in sorted(written - set(described)):
        yield f"table {path}: not described"
    for path, table in described.items():
        if (folder / path).is_file():
            yield from _table(folder / path, table)
        else:
            yield f"table {path}: not written"


def _table(file: Path, described: TableOutput) -> Iterator[str]:
    columns: dict[str, Column] = {column.name: column for column in described.columns}
    fields = {field.name: field for field in pq.read_schema(file)}
    for name in sorted(set(fields) ^ set(columns)):
        yield f"{described.path}: column {name} {'not described' if name in fields else 'not written'}"
    if set(fields) == set(columns) and list(fields) != list(columns):
        yield f"{described.path}: columns in another order"
    for name in sorted(set(fields) & set(columns)):
        written = PARQUET_TYPES.get(str(fields[name].type), str(fields[name].type))
        if written != columns[name].type:
            yield f"{described.path}: column {name} is {written}, described as {columns[name].type}"
        unit = fields[name].metadata[b"unit"].decode()
        if unit != columns[name].unit:
            yield f"{described.path}: column {name} in {unit!r}, described in {columns[name].unit!r}"


def _files(folder: Path) -> Iterator[str]:
    patterns = {path.rstrip("/") for entry in files() for path in entry.path.split(", ")}
    known = {path for pattern in patterns for path in folder.glob(pattern)}
    for path in sorted(folder.iterdir()):
        inside = [path, *(path.iterdir() if path.name == "models" else ())]
        for entry in inside[1:] or inside:
            if entry not in known and entry.name not in ("volume.zarr", "tables"):
                yield f"{entry.relative_to(folder)}: not described"
