"""Tables as CSV, with the units and meanings of their columns."""

import csv
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from spherovem_core.store.columns import Column

ROWS_AT_A_TIME = 100_000
UNIT_COLUMNS = ("table", "column", "type", "unit", "meaning")


def write_csv(parquet: Path, path: Path) -> int:
    """Write a Parquet table as CSV, `ROWS_AT_A_TIME` rows at a time.

    Columns keep their names, which end in their unit. Missing values are empty. Numbers have as many digits as it takes
    to read the same value back.

    Returns
    -------
    int
        Number of rows.
    """
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file, pq.ParquetFile(parquet) as table:
        names = table.schema_arrow.names
        csv.writer(file, lineterminator="\n").writerow(names)
        for batch in table.iter_batches(ROWS_AT_A_TIME):
            batch.to_pandas().to_csv(file, header=False, index=False, lineterminator="\n")
            rows += batch.num_rows
    return rows


def write_units(tables: Mapping[str, Path], columns: Mapping[str, tuple[Column, ...]], path: Path) -> None:
    """Write a CSV with one row per column: its table, type, unit and meaning.

    Parameters
    ----------
    tables
        Parquet file of each table.
    columns
        Descriptions of the columns of each table.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(UNIT_COLUMNS)
        for name, parquet in tables.items():
            meanings = {column.name: column.meaning for column in columns.get(name, ())}
            for field in pq.read_schema(parquet):
                unit = (field.metadata or {}).get(b"unit", b"").decode()
                writer.writerow([name, field.name, str(field.type), unit, meanings.get(field.name, "")])
