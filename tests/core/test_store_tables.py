"""Tables of the store: values, units and digest come back; a damaged table does not count."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.store import Layout, find_table, read_table, write_table
from spherovem_core.store.columns import Column, typed_rows


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "acquisition")


def test_values_units_and_digest_come_back(layout: Layout) -> None:
    frame = pd.DataFrame(
        {"label": [1], "volume_um3": [2.5], "bbox_z0": [0], "mean_curvature_mean_per_um": [0.1]}
    )
    reference = write_table(layout, "tables/cells.parquet", frame, "d")
    pd.testing.assert_frame_equal(read_table(layout, "tables/cells.parquet", digest="d"), frame)
    assert find_table(layout, "tables/cells.parquet", "d") == reference
    assert find_table(layout, "tables/cells.parquet", "e") is None
    schema = pq.read_schema(layout.tables / "cells.parquet")
    units = {field.name: field.metadata[b"unit"].decode() for field in schema}
    assert units == {
        "label": "",
        "volume_um3": "µm³",
        "bbox_z0": "voxel",
        "mean_curvature_mean_per_um": "1/µm",
    }
    with pytest.raises(IncompleteArtifactError, match="other inputs"):
        read_table(layout, "tables/cells.parquet", digest="e")
    assert [path.name for path in layout.tables.iterdir()] == ["cells.parquet"]


def test_a_damaged_table_does_not_count(layout: Layout) -> None:
    layout.tables.mkdir(parents=True)
    (layout.tables / "cells.parquet").write_bytes(b"PAR1 torn")
    assert find_table(layout, "tables/cells.parquet", "d") is None


def test_a_table_without_rows_has_the_types_of_its_columns(layout: Layout) -> None:
    """Without values a column of texts is one of nulls, which no program joins with the texts of another acquisition."""
    columns = (
        Column("label", "uint32", "."),
        Column("volume_um3", "float64", "."),
        Column("place", "string", "."),
    )
    empty = pd.DataFrame({"label": [], "volume_um3": [], "place": []}, dtype=object)
    write_table(layout, "tables/agglomerates.parquet", typed_rows(empty, columns), "d")
    schema = pq.read_schema(layout.tables / "agglomerates.parquet")
    assert [str(field.type).removeprefix("large_") for field in schema] == ["uint32", "double", "string"]
    full = pd.DataFrame({"label": [1]})
    assert typed_rows(full, columns) is full
