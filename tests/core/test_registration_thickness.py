"""Thickness of slices: planted distances, attenuated slices, gaps, mean thickness, warnings."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import Rectangle
from spherovem_core.registration.placement_jobs import measure_placement
from spherovem_core.registration.thickness import estimate_thickness, relative_to_trend
from spherovem_core.registration.thickness_chapter import (
    mean_thickness_nm,
    thickness_facts,
    thickness_warnings,
)
from spherovem_core.registration.thickness_columns import thickness_columns
from spherovem_core.registration.thickness_links import DepthLinks, smooth_along_stack

SPACING_NM = (50.0, 10.0, 12.0)


def uneven(count: int, seed: int, spread: float = 0.2) -> NDArray[np.float64]:
    return np.clip(1.0 + spread * np.random.default_rng(seed).standard_normal(count - 1), 0.5, 1.6)


def exact_links(
    distances: NDArray[np.float64], attenuation: NDArray[np.float64] | None = None, chance: float = 0.002
) -> DepthLinks:
    """Make links whose logarithms follow a power law, with a little chance in every group of tiles."""
    rng = np.random.default_rng(0)
    position = np.concatenate([[0.0], np.cumsum(distances)])
    count = len(position)
    a = np.concatenate([np.arange(count - d) for d in (1, 2, 3)])
    b = np.concatenate([np.arange(d, count) for d in (1, 2, 3)])
    lower = np.zeros(count) if attenuation is None else attenuation
    logs = lower[a] + lower[b] - 0.3 * (position[b] - position[a]) ** 1.4
    replicates = np.exp(logs + chance * rng.standard_normal((12, len(a))))
    return DepthLinks(a, b, np.exp(logs), replicates)


def test_planted_distances_are_found_exactly_from_exact_similarities() -> None:
    distances = uneven(40, seed=1)
    found = estimate_thickness(exact_links(distances), [1] * 39)
    np.testing.assert_allclose(found.relative, relative_to_trend(distances), atol=0.01)
    assert np.median(found.uncertainty) < 0.05


def test_a_slice_that_is_unlike_all_others_is_not_taken_for_a_thick_one() -> None:
    distances, attenuation = uneven(40, seed=2), np.zeros(40)
    attenuation[[10, 25]] = -0.5
    found = estimate_thickness(exact_links(distances, attenuation), [1] * 39)
    np.testing.assert_allclose(found.relative, relative_to_trend(distances), atol=0.05)
    np.testing.assert_allclose(found.attenuation[[10, 25]], -0.5, atol=0.05)


def test_beside_a_slice_without_content_thickness_is_stated_as_uncertain() -> None:
    distances, attenuation = uneven(40, seed=2), np.zeros(40)
    attenuation[10] = -4.0
    found = estimate_thickness(exact_links(distances, attenuation), [1] * 39)
    error = np.abs(found.relative - relative_to_trend(distances))
    assert found.uncertainty[[9, 10]].min() > 0.5
    assert np.delete(error, [9, 10]).max() < 0.05


def test_attenuation_that_differs_from_slice_to_slice_is_told_from_thickness() -> None:
    distances = uneven(60, seed=3)
    attenuation = 0.05 * np.random.default_rng(4).standard_normal(60)
    error = estimate_thickness(exact_links(distances, attenuation), [1] * 59).relative - relative_to_trend(
        distances
    )
    # Taken for thickness, it would be an error of 0.07 / (1.4 * 0.3) = 17 %.
    assert error.std() < 0.03


def test_gaps_of_left_out_slices_count_as_several() -> None:
    distances = uneven(40, seed=5, spread=0.1)
    distances[20] = 2.0
    nominal = [1] * 39
    nominal[20] = 2
    found = estimate_thickness(exact_links(distances), nominal)
    assert found.relative[20] == pytest.approx(1.0, abs=0.05)


def test_few_slices_equal_ones_and_unlike_ones_have_no_thickness() -> None:
    few = estimate_thickness(exact_links(np.ones(6)), [1] * 6)
    assert np.isnan(few.relative).all()
    same = exact_links(np.full(30, 1e-3))
    assert np.isnan(estimate_thickness(same, [1] * 30).relative).all()
    unlike = exact_links(np.full(30, 6.0))
    assert np.isnan(estimate_thickness(unlike, [1] * 30).relative).all()


def test_smooth_along_stack_keeps_lines_and_ignores_an_outlier() -> None:
    line = 0.3 * np.arange(50.0)
    spiked = line.copy()
    spiked[20] += 100.0
    np.testing.assert_allclose(smooth_along_stack(line), line, atol=1e-6)
    np.testing.assert_allclose(smooth_along_stack(spiked), line, atol=0.5)


def cut_texture(planes_px: NDArray[np.float64], side: int = 160) -> NDArray[np.uint8]:
    """Cut an isotropic texture of structures about 6 px wide at planes."""
    rng = np.random.default_rng(7)
    size = int(planes_px[-1]) + 12
    field = ndimage.gaussian_filter(rng.standard_normal((size, side, side + 16), dtype=np.float32), 4.0)
    spline = ndimage.spline_filter(field / field.std(), 3, output=np.float32)
    y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in field.shape[1:]), indexing="ij")
    slices = [
        ndimage.map_coordinates(spline, [np.full_like(y, 5.0 + z), y, x], order=3, prefilter=False)
        for z in planes_px
    ]
    noise = rng.normal(0.0, 4.0, (len(slices), *y.shape))
    return np.clip(128 + 45 * np.sin(2.0 * np.stack(slices)) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cut() -> tuple[NDArray[np.float64], pd.DataFrame]:
    distances = 1.5 * uneven(24, seed=8)
    slices = cut_texture(np.concatenate([[0.0], np.cumsum(distances)]))
    shape = (slices.shape[1], slices.shape[2])
    straight = np.repeat(np.eye(2, 3)[None], 24, 0)
    crop = Rectangle(0, shape[0], 0, shape[1])
    measured = measure_placement(slices, straight, crop, range(24), RegistrationParameters(), Execution(), {})
    return distances, pd.DataFrame({"z": range(24), **thickness_columns(measured.depth, range(24), 24)})


def test_uneven_slices_of_a_texture_are_measured(cut: tuple[NDArray[np.float64], pd.DataFrame]) -> None:
    distances, table = cut
    error = table["thickness_relative"].to_numpy()[1:] - relative_to_trend(distances)
    # The field is 40 structures across.
    assert error.std() < 0.08
    assert np.abs(error).max() < 0.25
    assert np.isnan(table["thickness_relative"][0])


def test_mean_thickness_is_found_from_similarity_in_the_plane(
    cut: tuple[NDArray[np.float64], pd.DataFrame],
) -> None:
    table = cut[1]
    assert table["thickness_mean_y_px"][0] == pytest.approx(1.5, rel=0.15)
    assert table["thickness_mean_x_px"][0] == pytest.approx(1.5, rel=0.15)
    assert mean_thickness_nm(table, (50.0, 10.0, 10.0)) == pytest.approx(15.0, rel=0.15)


def test_uneven_slices_and_a_wrong_spacing_are_warned_of(
    cut: tuple[NDArray[np.float64], pd.DataFrame],
) -> None:
    table = cut[1]
    assert [w for w in thickness_warnings(table, (15.0, 10.0, 10.0)) if "spacing" in w] == []
    [hint] = [w for w in thickness_warnings(table, SPACING_NM) if "spacing" in w]
    assert "not 50 nm" in hint
    wild = table.assign(thickness_relative=1.0 + 0.3 * (-1.0) ** table["z"], thickness_uncertainty=0.05)
    assert thickness_warnings(wild, (15.0, 10.0, 10.0))[0].startswith(
        "slices are cut unevenly: their thickness varies by 30%"
    )
    assert dict(thickness_facts(table, SPACING_NM))["Spread of the slice thickness"]


def test_without_enough_slices_the_columns_are_empty() -> None:
    records: dict[int, dict[str, Any]] = {z: {} for z in range(5)}
    columns = thickness_columns(records, range(5), 5)
    assert all(np.isnan(values).all() for values in columns.values())
    table = pd.DataFrame(columns).assign(z=range(5))
    assert thickness_warnings(table, SPACING_NM) == []
    assert dict(thickness_facts(table, SPACING_NM)) == {
        "Slice thickness": "not known; it takes 12 good slices whose similarity falls with distance"
    }
