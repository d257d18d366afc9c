"""Intervals of the size of cells and nuclei: closed forms, coverage of shifted and blurred balls, and places in the tables."""

import numpy as np
import pandas as pd
import pytest

from spherovem_core.output.object_intervals import SHIFT_COLUMNS, area_interval, with_object_intervals
from spherovem_core.review.boundary_shift import boundary_unit_um, shift_interval_um
from spherovem_core.shape import measure_labels
from spherovem_core.store.columns import NUCLEUS_COLUMNS
from spherovem_core.store.tables import column_unit

SPACING = (80.0, 50.0, 50.0)
RADIUS_NM = 1500.0


def ball(radius_nm: float, centre: tuple[float, float, float]) -> np.ndarray:
    axes = [np.arange(n) * s for n, s in zip((48, 76, 76), SPACING, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    squares = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
    return (squares <= radius_nm**2).astype(np.uint32)


def shifts(low: float, high: float) -> pd.DataFrame:
    return pd.DataFrame({"label": [1], SHIFT_COLUMNS[0]: [low], SHIFT_COLUMNS[1]: [high]})


def test_the_interval_of_a_ball_is_that_of_larger_and_smaller_balls() -> None:
    table = measure_labels(ball(RADIUS_NM, (1900.0, 1875.0, 1875.0)), SPACING)
    found = with_object_intervals(table, shifts(-0.04, 0.06), "cells").iloc[0]
    # Steiner's formula to first order: the second order is 3 % of the change for shifts of 3 % of the radius.
    for end, radius in (("low", 1.44), ("high", 1.54)):
        truth = 4 / 3 * np.pi * radius**3
        assert found[f"volume_{end}_um3"] == pytest.approx(truth, rel=0.01)
        assert found[f"equivalent_diameter_{end}_um"] == pytest.approx(2 * radius, rel=0.004)
    assert found["volume_low_um3"] < found["volume_um3"] < found["volume_high_um3"]
    assert found["surface_area_low_um2"] < 4 * np.pi * 1.44**2 * 1.01
    assert found["surface_area_high_um2"] > 4 * np.pi * 1.54**2 * 0.99


def test_volumes_of_shifted_balls_are_covered_as_often_as_their_shifts() -> None:
    """Surfaces placed by a normal distribution: the interval of the volume holds the truth in 95 % of them."""
    rng = np.random.default_rng(0)
    scale, truth, held = 40.0, 4 / 3 * np.pi * (RADIUS_NM / 1000) ** 3, []
    limit = 1.959964 * scale / 1000
    for shift in rng.normal(0, scale, 60):
        centre = tuple(1900.0 + rng.uniform(-40, 40, 3))
        table = measure_labels(ball(RADIUS_NM + shift, centre), SPACING)
        row = with_object_intervals(table, shifts(-limit, limit), "cells").iloc[0]
        held.append(row["volume_low_um3"] <= truth <= row["volume_high_um3"])
    # Three standard errors of 60 draws; the draws beyond the limits are known.
    assert np.mean(held) == pytest.approx(0.95, abs=0.085)


def test_area_errors_of_shift_and_form_add_as_independent_ones() -> None:
    one = np.array([1.0])
    low, high = area_interval(10 * one, one, -0.04 * one, 0.03 * one, (-0.06, 0.06))
    assert low[0] == pytest.approx(10 * (1 - np.hypot(0.06, 0.06)))
    assert high[0] == pytest.approx(10 * (1 + np.hypot(0.08, 0.06)))


def test_a_blurred_boundary_has_a_wider_interval() -> None:
    sharp = shift_interval_um("nuclei", 100.0, SPACING, (120.0, 120.0, 120.0))
    blurred = shift_interval_um("nuclei", 30.0, SPACING, (120.0, 120.0, 120.0))
    assert sharp[0] <= 0 <= sharp[1]
    assert blurred[1] - blurred[0] > 1.2 * (sharp[1] - sharp[0])


def test_intervals_scale_with_the_voxels() -> None:
    small = shift_interval_um("cells", 40.0, (60.0,) * 3, (60.0,) * 3)
    large = shift_interval_um("cells", 10.0, (240.0,) * 3, (240.0,) * 3)
    assert large == pytest.approx([4 * end for end in small])
    assert boundary_unit_um((240.0, 50.0, 50.0), (120.0,) * 3) == pytest.approx(0.12 * 2 ** (1 / 3))


def test_without_flows_there_is_no_interval() -> None:
    assert np.isnan(shift_interval_um("cells", float("nan"), SPACING, SPACING)).all()
    table = measure_labels(ball(RADIUS_NM, (1900.0, 1875.0, 1875.0)), SPACING)
    found = with_object_intervals(table, pd.DataFrame({"label": [1]}), "nuclei")
    assert found["volume_low_um3"].isna().all()
    assert found["surface_area_high_um2"].isna().all()


def test_columns_are_in_the_order_of_the_schema_with_their_units() -> None:
    table = measure_labels(ball(RADIUS_NM, (1900.0, 1875.0, 1875.0)), SPACING).assign(
        corrected=False, excluded=False
    )
    found = list(with_object_intervals(table, shifts(-0.01, 0.01), "nuclei").columns)
    added = [name for name in found if name not in table]
    order = [column.name for column in NUCLEUS_COLUMNS]
    assert added == [name for name in order if name in added]
    assert found[-2:] == ["corrected", "excluded"]
    assert {name: column_unit(name) for name in added if "volume" in name} == {
        "volume_low_um3": "µm³",
        "volume_high_um3": "µm³",
    }
