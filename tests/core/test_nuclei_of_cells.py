"""Volume, ratio and offset of the nuclei of a cell."""

import numpy as np
import pandas as pd
import pytest

from spherovem_core.output.nuclei_of_cells import COLUMNS, with_nuclei


def objects(**columns: object) -> pd.DataFrame:
    count = len(columns["label"])  # type: ignore[arg-type]
    zeros = {f"centroid_{axis}_um": np.zeros(count) for axis in "zyx"}
    return pd.DataFrame({**zeros, **columns})


def cells() -> pd.DataFrame:
    return objects(
        label=[1, 4, 9], volume_um3=[100.0, 50.0, 8.0], centroid_z_um=[1.0, 0.0, 0.0], corrected=[False] * 3
    )


def test_nuclei_of_a_cell_are_taken_together() -> None:
    nuclei = objects(
        label=[1, 2, 3, 4],
        parent_cell=[1, 1, 0, 4],
        volume_um3=[10.0, 30.0, 5.0, 20.0],
        centroid_z_um=[1.0, 1.0, 9.0, 0.0],
        centroid_y_um=[4.0, 0.0, 9.0, 0.0],
        centroid_x_um=[0.0, 0.0, 9.0, 2.5],
        excluded=[False] * 4,
    )
    found = with_nuclei(cells(), nuclei)
    assert list(found.columns[-4:]) == [*COLUMNS, "corrected"]
    np.testing.assert_allclose(found["nuclear_volume_um3"], [40, 20, np.nan])
    np.testing.assert_allclose(found["nucleus_to_cytoplasm_ratio"], [40 / 60, 20 / 30, np.nan])
    np.testing.assert_allclose(found["nucleus_offset_um"], [1.0, 2.5, np.nan])


def test_excluded_nuclei_do_not_count() -> None:
    nuclei = objects(label=[1, 2], parent_cell=[1, 1], volume_um3=[10.0, 30.0], excluded=[False, True])
    found = with_nuclei(cells(), nuclei)
    assert found["nuclear_volume_um3"].iloc[0] == pytest.approx(10)


@pytest.mark.parametrize("count", [0, 1])
def test_tables_without_rows_keep_their_columns(count: int) -> None:
    none = objects(
        label=np.zeros(0, np.uint32),
        parent_cell=np.zeros(0, np.uint32),
        volume_um3=np.zeros(0),
        excluded=np.zeros(0, bool),
    )
    found = with_nuclei(cells().head(count), none)
    assert len(found) == count
    assert found[list(COLUMNS)].isna().all(axis=None)


def test_nucleus_that_fills_its_cell_has_no_ratio() -> None:
    nuclei = objects(label=[1], parent_cell=[9], volume_um3=[8.0], excluded=[False])
    found = with_nuclei(cells(), nuclei)
    assert np.isnan(found["nucleus_to_cytoplasm_ratio"].iloc[2])
    assert found["nuclear_volume_um3"].iloc[2] == 8
