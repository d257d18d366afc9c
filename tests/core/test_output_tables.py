"""Final tables, joined from the tables of the stages."""

import doctest

import numpy as np
import pandas as pd
import pytest

from spherovem_core.output import join_tables, tables


def stage_tables() -> dict[str, dict[str, pd.DataFrame] | pd.DataFrame]:
    """Make tables of two cells, one nucleus, three particles and three slices."""
    return {
        "shape": {
            "cells": pd.DataFrame({"label": [1, 2], "volume_um3": [80.0, 95.0]}),
            "nuclei": pd.DataFrame({"label": [1], "volume_um3": [21.0]}),
        },
        "spatial": {
            "cells": pd.DataFrame({"label": [2], "nanoparticle_count": [3]}),
            "nuclei": pd.DataFrame({"label": [1], "parent_cell": np.array([2], np.uint32)}),
            "nanoparticles": pd.DataFrame({"label": [1, 2, 3], "parent_cell": [2, 2, 0]}),
        },
        "ingest": pd.DataFrame({"z": [0, 1, 2], "file": ["a", "b", "c"]}),
        "denoising": pd.DataFrame({"z": [0, 1, 2], "residual_std": [1.0, 2.0, 3.0]}),
        "registration": pd.DataFrame({"z": [2, 0, 1], "shift_y_px": [0.3, 0.1, 0.2]}),
    }


def test_objects_are_joined_by_label_and_slices_by_z() -> None:
    joined = join_tables(**stage_tables())  # type: ignore[arg-type]
    assert list(joined) == ["cells", "nuclei", "nanoparticles", "slices"]
    assert joined["nuclei"].to_dict("list") == {"label": [1], "volume_um3": [21.0], "parent_cell": [2]}
    assert joined["nuclei"]["parent_cell"].dtype == np.uint32
    assert joined["slices"].to_dict("list") == {
        "z": [0, 1, 2],
        "file": ["a", "b", "c"],
        "residual_std": [1.0, 2.0, 3.0],
        "shift_y_px": [0.1, 0.2, 0.3],
    }


def test_a_label_without_spatial_relations_keeps_its_shape() -> None:
    cells = join_tables(**stage_tables())["cells"]  # type: ignore[arg-type]
    assert cells["volume_um3"].tolist() == [80.0, 95.0]
    assert cells["nanoparticle_count"].isna().tolist() == [True, False]


def test_a_label_twice_is_an_error() -> None:
    given = stage_tables()
    given["spatial"]["cells"] = pd.DataFrame({"label": [2, 2], "nanoparticle_count": [3, 4]})
    with pytest.raises(pd.errors.MergeError, match="not a one-to-one merge"):
        join_tables(**given)  # type: ignore[arg-type]


def test_the_example_in_the_documentation_runs() -> None:
    found = doctest.testmod(tables)
    assert found.attempted >= 8
    assert found.failed == 0
