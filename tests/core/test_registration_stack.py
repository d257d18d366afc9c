"""Whole stacks: jitter, lean, bad and blank slices, wrong pairs, resuming."""

import json
from typing import Any

import numpy as np
import pytest
from registration_scenes import RecordingSource, Stack, make_stack

from spherovem_core.errors import RegistrationError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import (
    Alignment,
    register_stack,
)
from spherovem_core.registration.affine import (
    centre_shift,
    compose,
    invert,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
)
from spherovem_core.registration.drift import slow_change, slow_trend
from spherovem_core.registration.jumps import Jumps
from spherovem_core.registration.links import Links, solve_links
from spherovem_core.synthetic.misplacement import measure_misplacement, registration_residual

CHAIN = RegistrationParameters(drift="chain", deformation_trend_slices=0)
LINKS = RegistrationParameters(drift="links", deformation_trend_slices=0)
# With the same texture in every slice and noise of 8 grey values, the error per pair is 0.02 to 0.04 px at 160 x 192.
TOLERANCE_PX = 0.1


@pytest.fixture(scope="module")
def stack() -> Stack:
    return make_stack()


@pytest.fixture(scope="module")
def leaning() -> Stack:
    return make_stack(count=41, shape=(128, 144), lean_px=(-0.2, 0.5), shift_px=1.5, seed=1)


def align(stack: Stack, parameters: RegistrationParameters = LINKS, **options: Any) -> Alignment:
    return register_stack(stack.slices, parameters, options.pop("execution", Execution()), **options)


@pytest.mark.parametrize("parameters", [CHAIN, LINKS], ids=["chain", "links"])
def test_known_jitter_is_recovered(stack: Stack, parameters: RegistrationParameters) -> None:
    misplacement = measure_misplacement(align(stack, parameters).transforms, stack.truth, stack.shape)
    assert misplacement.step_px < TOLERANCE_PX
    assert misplacement.jitter_px < TOLERANCE_PX
    # Errors add up over a random walk of eleven steps.
    assert misplacement.total_px < 2 * TOLERANCE_PX


def test_the_centre_of_the_reference_stays_and_the_table_holds_all_shifts(stack: Stack) -> None:
    alignment = align(stack)
    table = alignment.table
    np.testing.assert_allclose(centre_shift(alignment.transforms[6], stack.shape), 0.0, atol=1e-6)
    assert list(table["z"]) == list(range(12))
    assert table["trusted"].all()
    assert table["used"].all()
    assert not table["bridged"].any()
    assert (table["similarity_after"][1:] > table["similarity_before"][1:]).all()
    assert np.isnan(table["similarity_after"][0])
    expected = centre_shift(compose(stack.truth, invert(stack.truth[6])), stack.shape)
    np.testing.assert_allclose(table[["shift_y_px", "shift_x_px"]], expected, atol=0.3)


def test_array_and_table_hold_maps_crop_similarities_and_verdicts(stack: Stack) -> None:
    slices = stack.slices.copy()
    slices[7] = 0
    alignment = align(Stack(slices, stack.truth))
    kept = json.loads(json.dumps(alignment.details(), allow_nan=False))
    np.testing.assert_array_equal(kept["transforms"], alignment.transforms)
    assert kept["crop"] == [alignment.crop[k] for k in (0, 2, 1, 3)]
    assert kept["similarity"][0] is None
    assert kept["similarity"][1] == alignment.table["similarity_after"][1]
    assert [z for z, trusted in enumerate(kept["trusted"]) if not trusted] == [7, 8]
    assert [z for z, reason in enumerate(kept["reason"]) if reason] == [7, 8]
    assert [z for z, bridged in enumerate(kept["bridged"]) if bridged] == [7, 8]
    rows = alignment.table[["map_yy", "map_yx", "map_y_px", "map_xy", "map_xx", "map_x_px"]].to_numpy()
    np.testing.assert_array_equal(rows.reshape(-1, 2, 3), alignment.transforms)
    corners = alignment.table[["crop_y0_px", "crop_y1_px", "crop_x0_px", "crop_x1_px"]]
    assert {tuple(row) for row in corners.to_numpy()} == {alignment.crop}


def test_the_first_slice_can_be_the_reference(stack: Stack) -> None:
    alignment = align(stack, LINKS.model_copy(update={"reference": "first"}))
    np.testing.assert_allclose(centre_shift(alignment.transforms[0], stack.shape), 0.0, atol=1e-6)


def test_default_parameters_leave_only_a_slow_deformation(stack: Stack) -> None:
    alignment = align(stack, RegistrationParameters())
    # A window of ten slices treats a tenth of white rotation and shear (0.5 px rms here) as trend.
    assert registration_residual(alignment.transforms, stack.truth, stack.shape) < 0.3


@pytest.mark.parametrize(
    ("parameters", "slope_px"),
    [(CHAIN, (-0.2, 0.5)), (LINKS, (-0.2, 0.5)), (RegistrationParameters(), (0.0, 0.0))],
    ids=["chain", "links", "detrend"],
)
def test_lean_is_removed_by_chain_and_links_and_kept_by_detrend(
    leaning: Stack, parameters: RegistrationParameters, slope_px: tuple[float, float]
) -> None:
    """The shift beyond jitter has the slope of the tissue if the lean is removed, and no slope if it is kept."""
    alignment = align(leaning, parameters)
    moved = centre_shift(alignment.transforms, leaning.shape) - centre_shift(leaning.truth, leaning.shape)
    slope = np.polyfit(np.arange(41), moved, 1)[0]
    # White jitter of 1.5 px on 41 slices has a slope of 0.02 px per slice itself, which is kept with the lean.
    np.testing.assert_allclose(slope, slope_px, atol=0.01 if parameters.drift != "detrend" else 0.04)
    misplaced = measure_misplacement(alignment.transforms, leaning.truth, leaning.shape)
    assert misplaced.jitter_px < TOLERANCE_PX
    if parameters.drift == "detrend":
        assert misplaced.total_px < 0.5
    drift = alignment.table[["drift_y_px", "drift_x_px"]].to_numpy()
    np.testing.assert_allclose(np.polyfit(np.arange(41), drift, 1)[0], (-0.2, 0.5), atol=0.04)


@pytest.mark.parametrize("drift", ["chain", "links", "detrend"])
@pytest.mark.parametrize("model", ["translation", "rigid", "similarity"])
def test_a_stack_stays_within_its_motion_model(leaning: Stack, model: str, drift: str) -> None:
    parameters = RegistrationParameters(model=model, drift=drift, trend_slices=20)  # type: ignore[arg-type]
    short = Stack(leaning.slices[:11], leaning.truth[:11])
    linear = align(short, parameters).transforms[:, :, :2]
    gram = np.swapaxes(linear, 1, 2) @ linear
    expected = {"translation": linear, "rigid": gram, "similarity": gram / gram[:, :1, :1]}[model]
    np.testing.assert_allclose(expected, np.broadcast_to(np.eye(2), linear.shape), atol=1e-9)


def test_bad_slices_are_left_out_and_placed_between_their_neighbours(stack: Stack) -> None:
    slices = stack.slices.copy()
    slices[[4, 5, 9]] = 0
    alignment = align(Stack(slices, stack.truth), bad_slices=[4, 5, 9])
    good = [0, 1, 2, 3, 6, 7, 8, 10, 11]
    residual = measure_misplacement(alignment.transforms[good], stack.truth[good], stack.shape)
    assert residual.total_px < 2 * TOLERANCE_PX
    between = 0.5 * (alignment.transforms[8] + alignment.transforms[10])
    np.testing.assert_allclose(alignment.transforms[9], between, atol=1e-3)
    assert list(alignment.table["z"][~alignment.table["used"]]) == [4, 5, 9]


@pytest.mark.parametrize("parameters", [CHAIN, LINKS], ids=["chain", "links"])
def test_a_damaged_slice_not_marked_bad_is_bridged_and_not_trusted(
    stack: Stack, parameters: RegistrationParameters
) -> None:
    slices = stack.slices.copy()
    slices[7] = np.random.default_rng(0).integers(100, 140, stack.shape)
    alignment = align(Stack(slices, stack.truth), parameters)
    others = [z for z in range(12) if z != 7]
    residual = measure_misplacement(alignment.transforms[others], stack.truth[others], stack.shape)
    assert residual.total_px < 2 * TOLERANCE_PX
    table = alignment.table
    assert list(table["z"][~table["trusted"]]) == [7, 8]
    assert list(table["z"][table["bridged"]]) == [7, 8]
    assert table["reason"][7] != ""


def test_shifts_of_25_px_are_corrected() -> None:
    far = make_stack(shift_px=25.0, seed=2)
    residual = measure_misplacement(align(far).transforms, far.truth, far.shape)
    assert residual.total_px < 2 * TOLERANCE_PX


def test_a_wrong_pair_does_not_change_the_solution() -> None:
    rng = np.random.default_rng(5)
    shape, count = (200, 260), 15
    truth = np.stack(
        [
            compose(rotation_matrix(rng.normal(), shape), shift_matrix(*rng.normal(0, 4, 2)))
            for _ in range(count)
        ]
    )
    pairs = np.array([(a, a + d) for d in (1, 2, 3) for a in range(count - d)])
    matrices = np.stack([compose(truth[b], invert(truth[a])) for a, b in pairs])
    matrices[5] = compose(shift_matrix(40.0, -25.0), matrices[5])
    # The spread of the wrong pair is ten times smaller than that of the others.
    spread = np.where(np.arange(len(pairs)) == 5, 0.05, 0.5)
    solved, weights = solve_links(Links(pairs[:, 0], pairs[:, 1], matrices, spread), count, 7, shape)
    expected = compose(truth, invert(truth[7]))
    assert float(rms_displacement(solved - expected, shape).max()) < 0.01
    assert weights[5] < 1e-3
    assert np.delete(weights, 5).min() > 0.99


def test_a_slice_without_links_is_placed_between_its_neighbours() -> None:
    pairs = np.array([(0, 1), (1, 3), (3, 4)])
    matrices = np.stack([shift_matrix(2.0, 0.0), shift_matrix(0.0, 6.0), shift_matrix(1.0, 1.0)])
    solved, _ = solve_links(Links(pairs[:, 0], pairs[:, 1], matrices, np.ones(3)), 5, 0, (100, 120))
    np.testing.assert_allclose(solved[:, :, 2], [[0, 0], [2, 0], [2, 3], [2, 6], [3, 7]], atol=1e-3)


def test_the_trend_of_a_straight_line_is_that_line_up_to_its_ends() -> None:
    line = np.stack([shift_matrix(0.5 * z, -0.2 * z) for z in range(30)])
    np.testing.assert_allclose(slow_trend(line, 12), line, atol=1e-9)
    np.testing.assert_allclose(slow_trend(line[:5], 12), line[:5], atol=1e-9)


def test_a_slow_change_of_deformation_keeps_the_shift_of_the_centre() -> None:
    shape = (90, 140)
    growing = np.stack(
        [compose(shift_matrix(z % 3, 0.0), rotation_matrix(0.3 * z, shape)) for z in range(25)]
    )
    none = np.zeros(25, dtype=bool)
    jumps = Jumps(np.repeat(np.eye(2, 3)[None], 25, 0), np.zeros((25, 2)), (), (), none, none, slice(0, 25))
    slow = slow_change(growing, shape, 50, 10, jumps, keep_position=False).maps
    left = compose(growing, invert(slow))
    np.testing.assert_allclose(centre_shift(left, shape), centre_shift(growing, shape), atol=1e-6)
    assert np.abs(left[:, :, :2] - np.eye(2)).max() < 5e-3


def test_a_killed_run_resumes_from_its_ledger_with_the_same_bits(stack: Stack) -> None:
    class KilledError(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done >= total // 2:
            raise KilledError

    whole = align(stack)
    ledger: dict[str, Any] = {}
    with pytest.raises(KilledError):
        align(stack, execution=Execution(progress=kill), ledger=ledger)
    before = dict(ledger)
    assert 0 < len(before) < 30
    resumed = align(stack, ledger=ledger)
    np.testing.assert_array_equal(resumed.transforms, whole.transforms)
    assert len(ledger) == 30 + 12  # pairs and slices compared as placed
    assert all(ledger[key] == record for key, record in before.items())


def test_a_finished_ledger_needs_no_slice(stack: Stack) -> None:
    ledger: dict[str, Any] = {}
    whole = align(stack, ledger=ledger)
    again = register_stack(np.zeros_like(stack.slices), LINKS, Execution(), ledger=ledger)
    np.testing.assert_array_equal(whole.transforms, again.transforms)


def test_slices_are_read_one_at_a_time(stack: Stack) -> None:
    source = RecordingSource(stack.slices)
    alignment = register_stack(source, CHAIN, Execution())
    assert source.largest_read == stack.slices[0].size
    np.testing.assert_array_equal(alignment.transforms, align(stack, CHAIN).transforms)


def test_progress_ends_at_the_total(stack: Stack) -> None:
    seen: list[tuple[int, int]] = []
    align(stack, CHAIN, execution=Execution(progress=lambda done, total: seen.append((done, total))))
    assert (11, 11) in seen  # pairs
    assert seen[-1] == (12, 12)  # slices compared as placed


def test_a_stack_of_one_slice_keeps_it_unchanged(stack: Stack) -> None:
    alignment = align(Stack(stack.slices[:1], stack.truth[:1]))
    np.testing.assert_allclose(alignment.transforms, np.eye(2, 3)[None], atol=1e-9)
    assert alignment.crop == (0, 160, 0, 192)


def test_no_good_slice_is_an_error_with_a_remedy(stack: Stack) -> None:
    with pytest.raises(RegistrationError, match="slices table"):
        align(stack, bad_slices=range(12))


def test_a_stack_without_matches_stays_in_place_and_is_not_trusted() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 90, 110)).astype(np.uint8)
    alignment = register_stack(noise, RegistrationParameters(), Execution())
    np.testing.assert_allclose(alignment.transforms, np.repeat(np.eye(2, 3)[None], 5, 0), atol=1e-9)
    assert list(alignment.table["trusted"]) == [True, False, False, False, False]
    assert (alignment.table["reason"][1:] != "").all()


def test_the_residual_ignores_a_common_map_and_measures_steps() -> None:
    shape, count = (50, 80), 21
    rng = np.random.default_rng(1)
    truth = np.stack([shift_matrix(*rng.normal(size=2)) for _ in range(count)])
    common = compose(rotation_matrix(8.0, shape), shift_matrix(5.0, -3.0))
    moved = compose(truth, common)
    assert registration_residual(moved, truth, shape) == pytest.approx(0.0, abs=1e-9)
    zigzag = np.stack([compose(truth[z], shift_matrix(0.0, 0.3 * (-1) ** z)) for z in range(count)])
    found = measure_misplacement(zigzag, truth, shape)
    assert found.step_px == pytest.approx(0.6)
    assert found.jitter_px == pytest.approx(0.6)
    assert found.drift_px < 0.1
    assert found.total_px == pytest.approx(0.3, rel=0.01)
