"""Schema of the results: columns and arrays."""

import numpy as np
import pyarrow as pa
import pytest
from schema_checks import PARQUET_TYPES, differences

from spherovem_core.schema import arrays, files, tables
from spherovem_core.shape import measure_labels
from spherovem_core.shape.descriptor_table import COLUMNS as SHAPE_COLUMNS
from spherovem_core.store.columns import CELL_COLUMNS, NUCLEUS_COLUMNS


@pytest.mark.parametrize("columns", [CELL_COLUMNS, NUCLEUS_COLUMNS])
def test_the_shape_columns_are_those_that_are_measured(columns) -> None:
    assert tuple(column.name for column in columns)[: len(SHAPE_COLUMNS)] == SHAPE_COLUMNS


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.path)
def test_columns_are_named_once_and_explained_in_a_sentence(table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert all(column.meaning.endswith(".") and "\n" not in column.meaning for column in table.columns)


def test_lengths_areas_and_volumes_have_units() -> None:
    units = {column.name: column.unit for table in tables() for column in table.columns}
    assert units["volume_um3"] == "µm³"
    assert units["gaussian_curvature_mean_per_um2"] == "1/µm²"
    assert units["bbox_z0"] == "voxel"
    assert units["sphericity"] == ""


def test_an_empty_folder_lacks_everything(tmp_path) -> None:
    found = differences(tmp_path)
    assert len(found) == len(arrays()) + len(tables())
    assert all(difference.endswith("not written") for difference in found)
    assert files()


@pytest.mark.parametrize("voxels", [0, 8], ids=["no label", "a label too small for a surface"])
def test_columns_have_their_types_where_there_is_nothing_to_measure(voxels: int) -> None:
    labels = np.zeros((6, 6, 6), np.uint32)
    labels.ravel()[:voxels] = 1
    table = pa.Table.from_pandas(measure_labels(labels, (50.0, 10.0, 10.0)), preserve_index=False)
    types = {field.name: PARQUET_TYPES.get(str(field.type), str(field.type)) for field in table.schema}
    assert types == {column.name: column.type for column in CELL_COLUMNS if column.name in SHAPE_COLUMNS}
