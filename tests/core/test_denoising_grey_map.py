"""Map from grey values to 8 bits: linear as long as the tissue has enough levels, else with shoulders."""

import numpy as np
import pytest

from spherovem_core.denoising import GreyMap, choose_grey_map
from spherovem_core.denoising.intensities import to_uint8

RARE = choose_grey_map(800.0, 60_000.0, (1000.0, 1500.0))
RARE_DARK = choose_grey_map(-9_000.0, 10_000.0, (1000.0, 1500.0))


def test_a_tissue_with_enough_levels_is_mapped_linearly() -> None:
    found = choose_grey_map(50.0, 250.0, (80.0, 160.0))
    assert found.linear
    assert found == GreyMap(low=50, high=250, linear_low=50, linear_high=250)
    assert found.levels(np.float32([50, 150, 250])).tolist() == pytest.approx([0, 127.5, 255])


@pytest.mark.parametrize("grey_map", [RARE, RARE_DARK])
def test_rare_extremes_leave_the_tissue_six_bits(grey_map: GreyMap) -> None:
    tissue = np.linspace(1000, 1500, 501, dtype=np.float32)
    values, clipped = to_uint8(tissue, grey_map)
    assert np.unique(values).size >= 64
    assert clipped == 0
    steps = np.diff(grey_map.levels(tissue))
    np.testing.assert_allclose(steps, grey_map.slope, rtol=1e-3)


def test_particles_three_quarters_of_the_tissues_range_above_it_are_mapped_linearly() -> None:
    assert RARE.linear_high == pytest.approx(1500 + 0.75 * 500)
    assert RARE.linear_low == 800
    assert RARE_DARK.linear_low == pytest.approx(1000 - 0.75 * 500)


@pytest.mark.parametrize("grey_map", [RARE, RARE_DARK])
def test_the_map_is_monotone_smooth_and_reaches_both_ends(grey_map: GreyMap) -> None:
    values = np.linspace(grey_map.low, grey_map.high, 200_001).astype(np.float32)
    levels = grey_map.levels(values)
    assert (np.diff(levels) >= 0).all()
    assert levels[[0, -1]] == pytest.approx([0, 255], abs=0.1)
    at_knee = np.float32([grey_map.linear_high - 1, grey_map.linear_high, grey_map.linear_high + 1])
    below, above = np.diff(grey_map.levels(at_knee))
    assert above == pytest.approx(below, rel=0.05)


@pytest.mark.parametrize(
    "grey_map", [RARE, RARE_DARK, GreyMap(low=10, high=90, linear_low=10, linear_high=90)]
)
def test_the_inverse_returns_the_grey_values(grey_map: GreyMap) -> None:
    values = np.linspace(grey_map.low, grey_map.high, 1001).astype(np.float32)
    back = grey_map.values(grey_map.levels(values))
    np.testing.assert_allclose(back, values, atol=2e-3 * (grey_map.high - grey_map.low))
    within = (values >= grey_map.linear_low) & (values <= grey_map.linear_high)
    np.testing.assert_allclose(back[within], values[within], rtol=1e-4)


def test_a_side_that_fits_its_levels_belongs_to_the_linear_part() -> None:
    found = choose_grey_map(700.0, 60_000.0, (1000.0, 1500.0))
    assert (found.linear_low, found.level_low) == (700.0, 0.0)


def test_a_tissue_of_one_grey_value_is_mapped_linearly() -> None:
    assert choose_grey_map(0.0, 1.0, (0.5, 0.5)).linear


def test_values_outside_are_clipped_and_counted() -> None:
    values, clipped = to_uint8(np.float32([[0.0, 900.0, 70_000.0, 1200.0]]), RARE)
    assert values[0, 0] == 0
    assert values[0, 2] == 255
    assert clipped == 0.5


def test_a_map_survives_json() -> None:
    assert GreyMap.model_validate_json(RARE.model_dump_json()) == RARE
