"""Tables of spherovem, opened by other Parquet readers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from spherovem_core.store import Layout, write_table
from spherovem_core.store.tables import column_unit

FRAME = pd.DataFrame(
    {
        "label": np.array([1, 70_001, 4_294_967_295], np.uint32),
        "bbox_z0": np.array([0, 1, 2], np.int64),
        "volume_um3": [0.5, np.nan, 1e-9],
        "mean_curvature_mean_per_um": [1.5, -2.0, 0.0],
        "in_nucleus": [True, False, True],
        "shape_note": ["", "fewer than 64 voxels", "µ"],
    }
)
UNITS = {"bbox_z0": "voxel", "volume_um3": "µm³", "mean_curvature_mean_per_um": "1/µm"}
HISTORY = [{"stage": "shape", "step": "shape_cells", "seconds": 1.0}]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = Layout(tmp_path_factory.mktemp("results") / "spheroid 7")
    write_table(layout, "tables/cells.parquet", FRAME, "digest", HISTORY)
    return layout.path("tables/cells.parquet")


def test_pandas_reads_all_values(table: Path) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(table), FRAME, check_dtype=False)
    assert pd.read_parquet(table)["label"].dtype == np.uint32


def test_pyarrow_reads_the_units_of_the_fields(table: Path) -> None:
    schema = pq.read_schema(table)
    assert {field.name: field.metadata[b"unit"].decode() for field in schema} == {
        name: UNITS.get(name, "") for name in FRAME.columns
    }
    dataset = pyarrow.dataset.dataset(table)
    assert dataset.schema.field("volume_um3").metadata == {b"unit": "µm³".encode()}
    assert schema.field("label").type == pa.uint32()


def test_polars_reads_all_values(table: Path) -> None:
    found = polars.read_parquet(table)
    assert found.columns == list(FRAME.columns)
    assert found["label"].to_list() == FRAME["label"].tolist()
    assert found["label"].dtype == polars.UInt32
    assert found["in_nucleus"].dtype == polars.Boolean
    assert found["shape_note"].to_list() == FRAME["shape_note"].tolist()
    np.testing.assert_array_equal(found["volume_um3"].to_numpy(), FRAME["volume_um3"])
    lazy = polars.scan_parquet(table).filter(polars.col("volume_um3") > 0.1).select("label").collect()
    assert lazy["label"].to_list() == [1]


def test_the_metadata_of_the_table_hold_all_units(table: Path) -> None:
    metadata = polars.read_parquet_metadata(table)
    assert json.loads(metadata["units"]) == UNITS
    assert json.loads(metadata["spherovem"]) == {"fingerprint": "digest", "history": HISTORY}
    # R's arrow reads any key that begins with r as its own attributes (apache/arrow issue 50163).
    assert not [key for key in metadata if key.startswith("r")]


def test_every_reader_of_parquet_knows_the_types(table: Path) -> None:
    """R's arrow, DuckDB and Julia need plain types of Parquet, one row group and a common codec."""
    file = pq.ParquetFile(table)
    physical = {file.schema.column(i).physical_type for i in range(len(file.schema.names))}
    assert physical <= {"INT32", "INT64", "DOUBLE", "BOOLEAN", "BYTE_ARRAY"}
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.metadata.format_version >= "2.4"


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("gaussian_curvature_std_per_um2", "1/µm²"),
        ("nanoparticle_density_per_um3", "1/µm³"),
        ("distance_to_nucleus_um", "µm"),
        ("shift_y_px", "px"),
        ("rotation_deg", "°"),
        ("sphericity", ""),
        ("voxel_count", ""),
    ],
)
def test_the_unit_follows_from_the_name(column: str, unit: str) -> None:
    assert column_unit(column) == unit
