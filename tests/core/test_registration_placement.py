"""Misfit of slices as placed: planted errors, leans, bad neighbours, warnings."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from registration_scenes import RecordingSource, Stack, make_stack

from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import (
    depth_similarity,
    largest_common_rectangle,
    placed_pairs,
    register_stack,
)
from spherovem_core.registration.affine import compose, rms_displacement, rotation_matrix, shift_matrix
from spherovem_core.registration.depth_similarity import LAGS_PX, measure_depth
from spherovem_core.registration.misfit import Misfits, misfit_columns
from spherovem_core.registration.pairs import prepare_slices
from spherovem_core.registration.placed_pairs import PlacedPair, placed_correlation
from spherovem_core.registration.placement_chapter import placement_facts, placement_warnings
from spherovem_core.registration.placement_jobs import PlacementMeasurement, measure_placement

Maps = NDArray[np.float64]


@pytest.fixture(scope="module")
def stack() -> Stack:
    return make_stack(count=8, shape=(128, 144))


def measure(
    slices: NDArray[np.uint8], transforms: Maps, good: Sequence[int] | None = None
) -> PlacementMeasurement:
    crop = largest_common_rectangle(transforms, slices.shape[1:])
    numbers = range(slices.shape[0]) if good is None else good
    return measure_placement(slices, transforms, crop, numbers, RegistrationParameters(), Execution(), {})


def moved(truth: Maps, error: Maps, wrong: Sequence[int]) -> Maps:
    """Place the wrong slices so that their content lies displaced by `error` in the reference frame."""
    return np.stack(
        [
            compose(m, np.linalg.inv(np.vstack([error, [0, 0, 1]]))[:2]) if z in wrong else m
            for z, m in enumerate(truth)
        ]
    )


@pytest.mark.parametrize("px", [0.5, 3.0, 20.0])
def test_misplaced_slice_has_the_planted_misfit(stack: Stack, px: float) -> None:
    error = shift_matrix(0.8 * px, -0.6 * px)
    measured = measure(stack.slices, moved(stack.truth, error, [4]))
    table = misfit_columns(measured.pairs, range(8), 8, 50, stack.shape)
    np.testing.assert_allclose(table["misfit_y_px"][4:6], [0.8 * px, -0.8 * px], atol=0.1)
    np.testing.assert_allclose(table["misfit_x_px"][4:6], [-0.6 * px, 0.6 * px], atol=0.1)
    np.testing.assert_allclose(table["misfit_px"][4:6], px, atol=0.15)
    others = [1, 2, 3, 6, 7]
    assert table["misfit_px"][others].max() < 0.2
    # The correlation falls where slices do not fit, and stays where they do.
    assert table["similarity_after"][4:6].max() < table["similarity_after"][others].min()


def test_turn_from_mid_stack_on_shows_at_one_slice(stack: Stack) -> None:
    turn = rotation_matrix(2.0, stack.shape)
    measured = measure(stack.slices, moved(stack.truth, turn, range(4, 8)))
    found = Misfits.of(measured.pairs, 8, 50)
    expected = rms_displacement(turn - np.eye(2, 3), stack.shape)
    sizes = rms_displacement(found.residual - np.eye(2, 3), stack.shape)
    assert sizes[4] == pytest.approx(expected, rel=0.1)
    assert np.delete(sizes, [0, 4]).max() < 0.3


def test_slice_after_a_damaged_one_is_compared_with_the_one_before_it(stack: Stack) -> None:
    slices = stack.slices.copy()
    slices[4] = np.random.default_rng(0).integers(100, 140, stack.shape)
    measured = measure(slices, moved(stack.truth, shift_matrix(4.0, 0.0), range(5, 8)))
    table = misfit_columns(measured.pairs, range(8), 8, 50, stack.shape)
    assert np.isnan(table["misfit_px"][4])
    assert table["misfit_steps"][5] == 2
    assert table["misfit_y_px"][5] == pytest.approx(4.0, abs=0.2)


def test_filled_slices_are_left_out_of_all_comparisons(stack: Stack) -> None:
    slices = stack.slices.copy()
    slices[3] = 0
    measured = measure(slices, stack.truth, good=[0, 1, 2, 4, 5, 6, 7])
    assert sorted(measured.pairs) == [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6), (6, 7)]
    table = misfit_columns(measured.pairs, [0, 1, 2, 4, 5, 6, 7], 8, 50, stack.shape)
    assert np.isnan(table["similarity_after"][[0, 3]]).all()
    assert table["misfit_steps"][4] == 2
    assert table["misfit_px"][4] < 0.2


def residuals(shifts: Sequence[float]) -> dict[tuple[int, int], PlacedPair]:
    return {(z, z + 1): PlacedPair(0.9, shift_matrix(px, 0.0), 0.05, True, "") for z, px in enumerate(shifts)}


def test_lean_is_stated_and_is_no_deviation() -> None:
    shifts = np.full(60, 1.5)
    shifts[30] += 5.0
    table = pd.DataFrame(misfit_columns(residuals(shifts), range(61), 61, 50, (100, 120)))
    table = table.assign(z=range(61), used=True)
    np.testing.assert_allclose(table["lean_y_px"][1:], 1.5, atol=0.05)
    assert table["misfit_deviation_px"][31] == pytest.approx(5.0, abs=0.1)
    assert table["misfit_deviation_px"].drop(31).max() < 0.1
    facts = dict(placement_facts(table))
    assert "slice 31" in facts["Misfit of neighbours as placed, without the lean"]
    assert placement_warnings(table) == ["slices that do not fit the ones before them as placed: 31 (5.0 px)"]


def test_changing_lean_is_warned_of() -> None:
    """A jump that was spread over 60 slices looks like a lean that begins and ends."""
    shifts = np.zeros(180)
    shifts[60:120] = 1.7
    table = pd.DataFrame(misfit_columns(residuals(shifts), range(181), 181, 50, (100, 120)))
    [warning] = placement_warnings(table.assign(z=range(181), used=True))
    assert "the lean of the image changes by 1." in warning


def test_slice_that_fits_no_other_is_named() -> None:
    pairs = residuals([0.0] * 8)
    pairs[3, 4] = PlacedPair(0.0, np.eye(2, 3), 9.0, False, "similarity 0.00 is below 0.2")
    table = pd.DataFrame(misfit_columns(pairs, range(9), 9, 50, (100, 120))).assign(z=range(9), used=True)
    assert placement_warnings(table) == ["slices whose fit as placed could not be measured: 4"]


def test_killed_measurement_resumes_with_the_same_table(stack: Stack) -> None:
    ledger: dict[str, object] = {}
    whole = register_stack(stack.slices, ledger=ledger)
    half = {key: value for key, value in ledger.items() if key not in ("placed 3 2", "placed 6 5")}
    assert len(half) == len(ledger) - 2
    assert register_stack(stack.slices, ledger=half).table.equals(whole.table)


def test_slices_are_read_one_at_a_time(stack: Stack) -> None:
    source = RecordingSource(stack.slices)
    measure(source, stack.truth)  # type: ignore[arg-type]
    assert source.largest_read == stack.slices[0].size


def test_compiled_sums_agree_with_torch(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = RegistrationParameters()
    fixed, moving = (prepare_slices(stack.slices[z][None], parameters, "cpu") for z in (2, 3))
    motion = compose(shift_matrix(6.4, -3.2), rotation_matrix(1.0, (128, 144)))
    images = [level[0].image[0].contiguous() for level in (fixed, moving)]

    def measured() -> list[float]:
        depth = measure_depth(images[0], {1: images[1], 2: images[0]})
        lags = [value for value in depth["lags_y"] + depth["lags_x"] if value is not None]
        return [placed_correlation(fixed[0], moving[0], motion), *lags]

    compiled = measured()
    for module in (placed_pairs, depth_similarity):
        monkeypatch.setattr(module, "compiled_for", lambda image: False)
    np.testing.assert_allclose(compiled, measured(), atol=2e-5)
    a, b = images[0].numpy()[:, : 144 - 5], images[1].numpy()[:, 5:]
    forth = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    a, b = images[0].numpy()[:, 5:], images[1].numpy()[:, : 144 - 5]
    back = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert measure_depth(images[0], {1: images[1]})["lags_x"][LAGS_PX.index(5)] == pytest.approx(
        0.5 * (forth + back), abs=2e-5
    )
