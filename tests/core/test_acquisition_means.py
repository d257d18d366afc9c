"""Means over the objects of an acquisition: weights at the border, intervals and their coverage."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spherovem_core.output.acquisition_means import (
    acquisition_means,
    border_weights,
    largest_fraction,
    weighted_mean,
)

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from _sampled_objects import window_of_objects

SHAPE = (20, 40, 60)


def boxes(*rows: tuple[int, ...]) -> pd.DataFrame:
    names = [f"bbox_{axis}{end}" for end in (0, 1) for axis in "zyx"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(label=np.arange(len(rows)) + 1, volume_um3=np.arange(len(rows)) + 1.0)


def test_weights_are_the_inverse_probability_to_be_whole() -> None:
    # A box of l voxels fits in at L - 2 - l + 1 places without a touch, of L - 2 places of its first voxel.
    table = boxes((1, 1, 1, 2, 2, 2), (5, 5, 5, 14, 24, 34), (0, 5, 5, 4, 9, 9), (5, 5, 30, 9, 9, 60))
    expected = [1.0, (18 / 10) * (38 / 20) * (58 / 30), 0.0, 0.0]
    assert border_weights(table, SHAPE) == pytest.approx(expected)
    assert largest_fraction(table, SHAPE) == pytest.approx(30 / 60)


def test_the_mean_is_unbiased_where_that_of_whole_objects_is_not() -> None:
    """Small objects (1 µm³) of side 4 and large ones (10 µm³) of side 20, as many of each: the mean is 5.5 µm³."""
    rng = np.random.default_rng(0)
    shape = (40, 60, 80)
    large = rng.random(100_000) < 0.5
    sides = np.where(large, 20, 4)[:, None] * np.ones(3, int)
    low = np.floor(rng.random((len(large), 3)) * (np.array(shape) + 40) - 20).astype(int)
    high = low + sides
    seen = ((high > 0) & (low < np.array(shape))).all(axis=1)
    clipped = np.column_stack([np.maximum(low, 0), np.minimum(high, shape)])[seen]
    table = boxes(*map(tuple, clipped)).assign(volume_um3=np.where(large, 10.0, 1.0)[seen])
    weights = border_weights(table, shape)
    whole = weights > 0
    assert table["volume_um3"][whole].mean() < 4.5
    assert np.average(table["volume_um3"], weights=weights) == pytest.approx(5.5, abs=0.1)


def test_intervals_of_means_hold_the_truth() -> None:
    """100 windows; 95 % of the intervals should hold the truth, and less than 88 do with a probability of 0.003."""
    held = []
    for repeat in range(100):
        table, truth = window_of_objects(np.random.default_rng([repeat, 8]), 0.15, (120, 200, 200))
        row = acquisition_means({"cells": table}, {"cells": (120, 200, 200)}).iloc[0]
        held.append(row["mean_low"] <= truth <= row["mean_high"])
    assert np.mean(held) >= 0.88


def test_few_or_equal_objects_have_no_made_up_interval() -> None:
    assert np.isnan(weighted_mean(np.array([]), np.array([]))).all()
    mean, low, high = weighted_mean(np.array([1.0, 3.0]), np.array([1.0, 3.0]))
    assert mean == 2.5
    assert np.isnan([low, high]).all()
    for values in (np.full(9, 2.0), np.array([0, 0, 0, 0, 0, 0, 1.0, 3.0])):
        mean, low, high = weighted_mean(values, np.ones(len(values)))
        assert mean == values.mean()
        assert np.isnan([low, high]).all()


def test_intervals_of_rare_particles_hold_the_truth_or_are_unknown() -> None:
    """0.2 particles in each of 8 and 30 cells: the resampled interval held 0.2 in less than half of the samples of 8."""
    rng, held = np.random.default_rng(4), []
    for cells in np.repeat([8, 30], 60):
        rows = [(2, 2, 2, 5, 5, 5)] * cells
        table = boxes(*rows).assign(nanoparticle_count=rng.poisson(0.2, cells))
        shapes = {"cells": SHAPE, "nanoparticles": SHAPE}
        found = acquisition_means({"cells": table}, shapes).set_index("quantity").loc["nanoparticle_count"]
        known = np.isfinite(found["mean_low"])
        assert known == ("most objects have the same value" not in found["note"])
        if known:
            held.append(0 <= found["mean_low"] <= 0.2 <= found["mean_high"])
    assert len(held) > 20
    assert np.mean(held) >= 0.88


def test_very_many_objects_have_the_normal_interval_that_resampling_tends_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(1).lognormal(0, 0.5, 3000)
    resampled = weighted_mean(values, np.ones(3000))
    monkeypatch.setattr("spherovem_core.output.acquisition_means.MOST_RESAMPLED", 1000)
    error = values.std(ddof=1) / np.sqrt(3000)
    found = weighted_mean(values, np.ones(3000))
    assert found == pytest.approx([values.mean() + n * error for n in (0, -1.96, 1.96)], rel=1e-4)
    assert found == pytest.approx(resampled, abs=0.2 * error)


def test_a_kind_that_was_not_given_has_no_means() -> None:
    table = boxes(*[(2, 2, n, 5, 8, n + 5) for n in range(1, 9)])
    table = table.assign(nanoparticle_count=0, nucleus_offset_um=np.nan, distance_to_nucleus_um=np.nan)
    tables = {"cells": table, "nuclei": table[:0], "nanoparticles": table[:0]}
    assert acquisition_means(tables, {"cells": SHAPE})["quantity"].tolist() == ["volume_um3"]
    given = acquisition_means(tables, {"cells": SHAPE, "nanoparticles": SHAPE})
    assert given["quantity"].tolist() == ["volume_um3", "nanoparticle_count", "volume_um3"]


def test_each_kind_and_quantity_has_a_row_with_unit_and_reason() -> None:
    table = boxes(*[(2, 2, n, 5, 8, n + 5) for n in range(1, 9)], (0, 0, 0, 3, 3, 3))
    table = table.assign(sphericity=[0.5] * 8 + [np.nan])
    found = acquisition_means({"cells": table, "nuclei": table[:3]}, {"cells": SHAPE, "nuclei": SHAPE})
    rows = found.set_index(["kind", "quantity"])
    assert rows.loc[("cells", "volume_um3"), "unit"] == "µm³"
    assert rows.loc[("cells", "volume_um3"), ["whole_objects", "cut_objects"]].tolist() == [8, 1]
    assert rows.loc[("cells", "sphericity"), "mean"] == 0.5
    assert rows.loc[("nuclei", "volume_um3"), "note"].startswith("fewer than 5 whole")
    assert np.isnan(rows.loc[("nuclei", "volume_um3"), "mean_low"])


def test_objects_as_long_as_the_volume_are_noted() -> None:
    table = boxes(*[(2, 2, 5 + n, 5, 8, 45 + n) for n in range(8)])
    row = acquisition_means({"cells": table}, {"cells": SHAPE}).iloc[0]
    assert row["note"].startswith("an object is more than half as long as the volume")
