"""Jumps of position, scale, turn and shear: found, corrected in full, and told from jitter, drift and wild slices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from registration_scenes import make_stack

from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import register_stack
from spherovem_core.registration.affine import (
    Matrix,
    centre_shift,
    compose,
    invert,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
    slice_centre,
)
from spherovem_core.registration.alignment import treat_drift
from spherovem_core.registration.change_points import find_change_points
from spherovem_core.registration.drift import SlowChange
from spherovem_core.registration.jumps import Jumps
from spherovem_core.synthetic.misplacement import misplacements

SHAPE = (700, 1000)
JITTER_PX = 0.3


def about_centre(linear: NDArray[np.float64], shift: Sequence[float] = (0.0, 0.0)) -> Matrix:
    centre = slice_centre(SHAPE)
    return np.concatenate([linear, (centre - linear @ centre + np.asarray(shift))[:, None]], axis=1)


def stack(
    count: int, steps: Sequence[tuple[int, Matrix]] = (), jitter_px: float = JITTER_PX, seed: int = 0
) -> Matrix:
    """Make maps of ideal to slice coordinates: jitter, then the steps."""
    rng = np.random.default_rng(seed)
    maps = np.stack(
        [
            about_centre(np.eye(2) + rng.normal(0, 1e-3 * jitter_px, (2, 2)), rng.normal(0, jitter_px, 2))
            for _ in range(count)
        ]
    )
    for first, step in steps:
        maps[first:] = compose(step, maps[first:])
    return maps


def treat(
    truth: Matrix, lean_px: Sequence[float] = (0.0, 0.0), **parameters: Any
) -> tuple[Matrix, Jumps, SlowChange]:
    """Treat the maps that perfect pairs of leaning tissue would give."""
    count, reference = len(truth), len(truth) // 2
    lean = np.stack([shift_matrix(*(np.asarray(lean_px) * z)) for z in range(count)])
    seen = compose(truth, lean)
    solved = compose(seen, invert(seen[reference]))
    return treat_drift(solved, range(count), reference, RegistrationParameters(**parameters), SHAPE)


def worst(transforms: Matrix, truth: Matrix) -> float:
    return float(rms_displacement(misplacements(transforms, truth), SHAPE).max())


STEPS = {
    "shift": shift_matrix(30.0, -15.0),
    "small shift": shift_matrix(0.0, 5.0),
    "scale": about_centre(1.03 * np.eye(2)),
    "turn": rotation_matrix(-3.0, SHAPE),
    "shear": about_centre(np.array([[1.0, 0.02], [0.02, 1.0]])),
    "all": compose(rotation_matrix(5.0, SHAPE), about_centre(0.95 * np.eye(2), (80.0, 100.0))),
}


@pytest.mark.parametrize("drift", ["chain", "detrend"])
@pytest.mark.parametrize("first", [3, 20, 37])
@pytest.mark.parametrize("kind", STEPS)
def test_a_jump_anywhere_in_leaning_tissue_is_corrected_in_full(kind: str, first: int, drift: str) -> None:
    truth = stack(40, [(first, STEPS[kind])], jitter_px=0.0)
    lean = (0.0, 0.0) if drift == "chain" else (1.5, -0.7)
    transforms, jumps, _ = treat(truth, lean, drift=drift)
    assert worst(transforms, truth) < 0.05
    assert {*jumps.deformed, *jumps.shifted} == {first}


@pytest.mark.parametrize("kind", STEPS)
def test_a_jump_in_a_jittered_stack_leaves_hardly_more_than_jitter_does(kind: str) -> None:
    truth, plain = stack(60, [(25, STEPS[kind])]), stack(60)
    transforms, jumps, _ = treat(truth, (0.5, 0.0))
    assert 25 in {*jumps.deformed, *jumps.shifted}
    assert worst(transforms, truth) < worst(treat(plain, (0.5, 0.0))[0], plain) + 0.3


def test_several_jumps_are_stated_with_slice_and_size() -> None:
    steps = [(20, shift_matrix(12.0, 0.0)), (24, STEPS["scale"]), (50, shift_matrix(0.0, -25.0))]
    truth = stack(60, steps)
    transforms, jumps, _ = treat(truth)
    table = jumps.columns()
    assert jumps.shifted == (20, 50)
    assert jumps.deformed == (24,)
    assert table["jump_y_px"][20] == pytest.approx(12.0, abs=0.5)
    assert table["jump_x_px"][50] == pytest.approx(-25.0, abs=0.5)
    assert table["jump_scale"][24] == pytest.approx(0.03, abs=1e-3)
    assert np.flatnonzero(table["jump_y_px"]).tolist() == [20, 50]
    np.testing.assert_array_equal(table["jump_rotation_deg"], 0.0)
    assert worst(transforms, truth) < 0.6


def test_two_jumps_in_a_row_are_one_with_wild_slices_between() -> None:
    truth = stack(32, [(15, shift_matrix(25.0, 0.0)), (17, shift_matrix(0.0, -25.0))], jitter_px=3.0, seed=1)
    transforms, jumps, _ = treat(truth)
    assert jumps.shifted == (17,)
    assert np.flatnonzero(jumps.astray).tolist() == [15, 16]
    assert worst(transforms, truth) < 4.0


def test_the_scale_is_that_of_the_longest_run_and_the_voxel_size_is_right() -> None:
    """Deformation of the reference slice, in the shorter run or by jitter, does not change the size of the tissue."""
    truth = stack(50, [(30, STEPS["scale"])], jitter_px=3.0)
    for drift, reference in (("detrend", 25), ("links", 25), ("links", 40)):
        parameters = RegistrationParameters(drift=drift)  # type: ignore[arg-type]
        solved = compose(truth, invert(truth[reference]))
        transforms, jumps, _ = treat_drift(solved, range(50), reference, parameters, SHAPE)
        assert jumps.nominal == slice(0, 30)
        np.testing.assert_allclose(jumps.columns()["relative_scale"][[0, 49]], [1.0, 1.03], atol=2e-3)
        shown = np.linalg.det(compose(invert(truth), transforms)[:, :, :2])
        np.testing.assert_allclose(shown.mean(), 1.0, atol=2e-3)
        np.testing.assert_allclose(centre_shift(transforms[reference], SHAPE), 0.0, atol=1e-9)


@pytest.mark.parametrize("wild", [(12,), (12, 13), (1,), (38,)])
def test_wild_slices_are_corrected_and_are_no_jump(wild: tuple[int, ...]) -> None:
    truth = stack(40)
    for z in wild:
        truth[z] = compose(shift_matrix(35.0, -20.0 - z), compose(rotation_matrix(4.0, SHAPE), truth[z]))
    transforms, jumps, _ = treat(truth, (1.0, 0.0))
    assert jumps.shifted == jumps.deformed == ()
    assert worst(transforms, truth) < 0.5


@pytest.mark.parametrize("jitter_px", [0.0, 1.0])
def test_a_jump_beside_bad_slices_is_found_at_the_next_good_slice(jitter_px: float) -> None:
    truth = stack(40, [(20, STEPS["shift"])], jitter_px)
    solved = compose(truth, invert(truth[10]))
    good = [z for z in range(40) if z not in (19, 20, 21)]
    solved[19:22] = solved[18]
    _, jumps, _ = treat_drift(solved, good, 10, RegistrationParameters(), SHAPE)
    assert jumps.shifted == (22,)


@pytest.mark.parametrize(
    "kind", ["straight", "leaning", "random walk", "fast smooth drift", "heavy tails", "wild slices"]
)
def test_other_changes_are_no_jumps(kind: str) -> None:
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        count = (20, 40, 90)[seed % 3]
        z = np.arange(count)[:, None]
        values = rng.normal(0.0, 1.0, (count, 2))
        if kind == "leaning":
            values += z * rng.uniform(-3.0, 3.0, 2)
        elif kind == "random walk":
            values = 0.1 * values + np.cumsum(rng.normal(0.0, 0.5, (count, 2)), 0)
        elif kind == "fast smooth drift":
            values = 0.3 * values + 30.0 * np.sin(z / 10.0 + rng.uniform(0.0, 6.0, 2))
        elif kind == "heavy tails":
            values = rng.standard_t(3, (count, 2))
        elif kind == "wild slices":
            values[rng.integers(2, count - 2, 2)] += rng.normal(0.0, 40.0, (2, 2))
        found += len(find_change_points(values, np.arange(count), 0.5, 0.05).first) > 0
    assert found == 0


def test_most_jumps_of_five_times_the_jitter_are_found_in_short_stacks() -> None:
    """Second differences alone, which tell the noise of 24 values badly, show 8 of these 24."""
    found = 0
    for seed in range(24):
        rng = np.random.default_rng(seed)
        values = rng.normal(0.0, 1.0, (24, 2))
        first, angle = int(rng.integers(4, 21)), rng.uniform(0.0, 2.0 * np.pi)
        values[first:] += 5.0 * np.array([np.sin(angle), np.cos(angle)])
        steps = find_change_points(values, np.arange(24), 0.5, 0.05)
        found += steps.first.size == 1 and abs(int(steps.first[0]) - first) <= 1
    assert found >= 16


@pytest.mark.parametrize("count", [20, 24, 40])
@pytest.mark.parametrize("lean_px", [(0.0, 0.0), (0.3, 0.0), (2.0, -1.0), (3.0, 3.0)])
def test_a_lean_is_kept_in_stacks_from_20_slices_on(count: int, lean_px: tuple[float, float]) -> None:
    truth = stack(count, jitter_px=0.3)
    transforms, jumps, _ = treat(truth, lean_px)
    moved = centre_shift(compose(invert(truth), transforms), SHAPE)
    slope = np.polyfit(np.arange(count), moved, 1)[0]
    assert np.abs(slope).max() < 0.05
    assert not jumps.shifted


def test_jitter_alone_makes_no_lean_in_a_short_stack() -> None:
    tilts = []
    for seed in range(10):
        truth = stack(12, jitter_px=3.0, seed=seed)
        moved = centre_shift(compose(invert(truth), treat(truth)[0]), SHAPE)
        tilts.append(np.polyfit(np.arange(12), moved, 1)[0])
    # A line through jitter of 3 px on 12 slices has a slope of 0.25 px per slice.
    assert np.sqrt(np.mean(np.square(tilts))) < 0.2


@pytest.mark.parametrize("count", [3, 4, 5])
def test_few_slices_do_not_tell_their_lean_from_jitter(count: int) -> None:
    stated = [treat(stack(count, jitter_px=1.0, seed=seed))[2].lean_error_px for seed in range(30)]
    # Of jitter of 1 px; a line through three slices leaves one residual, which may be 0 by chance.
    known = 1.0 / np.sqrt(((np.arange(count) - (count - 1) / 2) ** 2).sum())
    assert np.median(stated) > known
    assert np.mean(np.array(stated) < 0.3 * known) < 0.1


def test_a_jump_in_images_is_corrected_and_stated() -> None:
    stack_of = make_stack(count=24, shape=(128, 144), shift_px=1.0, seed=4)
    slices = stack_of.slices.copy()
    slices[14:] = np.roll(slices[14:], (9, -14), axis=(1, 2))
    truth = stack_of.truth.copy()
    truth[14:] = compose(shift_matrix(9.0, -14.0), truth[14:])
    alignment = register_stack(slices, RegistrationParameters())
    table = alignment.table
    assert table.loc[(table["jump_y_px"] != 0) | (table["jump_x_px"] != 0), "z"].tolist() == [14]
    error = rms_displacement(misplacements(alignment.transforms, truth), stack_of.shape)
    assert error.max() < 1.5
