"""Ranking of unusual objects."""

import numpy as np
import pandas as pd
import pytest

from spherovem_core.report.outliers import DESCRIPTORS, rank_unusual


def cells(**changes: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.normal(10, 1, 30) for name in DESCRIPTORS})
    return table.assign(label=np.arange(100, 130), **changes)


def test_the_most_unusual_object_comes_first_with_its_descriptor() -> None:
    table = cells()
    table.loc[7, "sphericity"] = 1.0
    table.loc[12, "volume_um3"] = 40.0
    table.loc[20, "curvedness_mean_at_scale_per_um"] = np.nan
    ranked = rank_unusual(table)
    assert len(ranked) == 30
    assert ranked.loc[0, ["label", "descriptor", "above"]].tolist() == [112, "volume_um3", True]
    assert ranked.loc[1, ["label", "descriptor", "above"]].tolist() == [107, "sphericity", False]
    centred = table["sphericity"] - table["sphericity"].median()
    assert ranked.loc[1, "distance"] == pytest.approx(-centred[7] / (1.4826 * centred.abs().median()))
    assert ranked["distance"].is_monotonic_decreasing


def test_objects_without_descriptors_and_constant_descriptors_are_left_out() -> None:
    table = cells(sphericity=0.8)
    table.loc[:2, list(DESCRIPTORS)] = np.nan
    ranked = rank_unusual(table)
    assert len(ranked) == 27
    assert "sphericity" not in set(ranked["descriptor"])
    assert rank_unusual(table.head(6)).empty
    assert rank_unusual(table.head(0)).empty
