"""Databars, dust and detector patterns that the motion of single pairs does not show."""

import itertools

import numpy as np
import pytest
from elastic_scenes import bend_stack
from numpy.typing import NDArray
from registration_scenes import Stack, make_stack
from scipy import ndimage

from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import register_stack
from spherovem_core.registration.affine import IDENTITY, compose, invert, rms_displacement
from spherovem_core.registration.hidden_areas import find_hidden_areas
from spherovem_core.registration.pair_jobs import register_pairs

SHAPE = (144, 160)
COUNT = 14
BAR = 20


@pytest.fixture(scope="module")
def quiet() -> Stack:
    """Slices that move by a fraction of a pixel."""
    return make_stack(COUNT, SHAPE, seed=5, shift_px=0.6)


def with_databar(stack: Stack) -> NDArray[np.uint8]:
    """Cover the lowest rows by coarse marks, so that a motion of a pixel hardly changes the bar."""
    marks = np.random.default_rng(2).random((BAR // 5, SHAPE[1] // 8)) < 0.4
    slices = stack.slices.copy()
    slices[:, -BAR:] = 255 * np.kron(marks, np.ones((5, 8)))
    return slices


def with_resin(stack: Stack, fraction: float, seed: int) -> NDArray[np.float64]:
    """Show resin without features in the columns from the right, with its own noise in each slice."""
    slices = stack.slices.astype(np.float64)
    start = round((1.0 - fraction) * SHAPE[1])
    noise = np.random.default_rng(seed).normal(0.0, 8.0, (COUNT, SHAPE[0], SHAPE[1] - start))
    slices[:, :, start:] = 170.0 + noise
    return slices


def hidden(slices: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    parameters, execution, good = RegistrationParameters(), Execution(), list(range(len(slices)))
    results = register_pairs(slices, list(itertools.pairwise(good)), parameters, execution, {})
    return find_hidden_areas(slices, results, good, parameters, execution)


def steps_px(slices: NDArray[np.uint8], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Register as users do, and return the error of each slice against the one before it."""
    shown = compose(invert(truth), register_stack(slices).transforms)
    step = shown[1:] - shown[:-1]
    return rms_displacement(step - np.median(step, axis=0), SHAPE)


def test_a_databar_is_found_where_slices_move_by_less_than_a_pixel(quiet: Stack) -> None:
    found = hidden(with_databar(quiet))
    assert found is not None
    assert found[-BAR + 4 :].mean() > 0.9
    assert found[: -2 * BAR].mean() < 0.02


def test_a_databar_does_not_hold_the_slices(quiet: Stack) -> None:
    slices = with_databar(quiet)
    assert steps_px(slices, quiet.truth).max() < steps_px(quiet.slices, quiet.truth).max() + 0.15
    table = register_stack(slices).table
    assert (table["fixed_fraction"][1:] > 0.08).all()
    assert (table["uncertainty_px"][1:] < 0.4).all()


def test_a_databar_pulls_neither_the_misfit_nor_local_fields() -> None:
    tissue = bend_stack(8, (SHAPE[0] + 24, SHAPE[1] + 24), 0.0, seed=3).slices
    moves = np.rint(np.random.default_rng(1).normal(0.0, 3.0, (len(tissue), 2))).astype(int) + 12
    slices = np.stack(
        [image[y : y + SHAPE[0], x : x + SHAPE[1]] for image, (y, x) in zip(tissue, moves, strict=True)]
    )
    slices[:, -BAR:] = 255 * np.kron(np.arange(4 * 20).reshape(4, 20) % 3 == 0, np.ones((5, 8)))
    alignment = register_stack(slices, RegistrationParameters(refinement="elastic"))
    assert (alignment.table["fixed_fraction"][1:] > 0.08).all()
    assert alignment.table["misfit_deviation_px"].max() < 0.1
    assert alignment.fields is not None
    assert not alignment.fields.nodes.any()


def test_nothing_is_hidden_in_tissue_and_in_a_stack_that_does_not_move(quiet: Stack) -> None:
    assert hidden(quiet.slices) is None
    noise = np.random.default_rng(1).normal(0.0, 8.0, (COUNT, *SHAPE))
    still = np.clip(np.rint(quiet.slices[0] + noise), 0, 255).astype(np.uint8)
    assert hidden(still) is None
    assert steps_px(still, np.repeat(IDENTITY[None], COUNT, 0)).max() < 0.1


def test_dust_in_resin_is_hidden() -> None:
    stack = make_stack(COUNT, SHAPE, seed=6, shift_px=1.5)
    slices = with_resin(stack, 0.6, 9)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for row, column, radius in ((20, 90, 5), (60, 130, 7), (110, 80, 6), (120, 140, 4), (90, 105, 5)):
        slices[:, np.hypot(y - row, x - column) < radius] = 30.0
    dusty = np.clip(np.rint(slices), 0, 255).astype(np.uint8)
    clean = np.clip(np.rint(with_resin(stack, 0.6, 9)), 0, 255).astype(np.uint8)
    found = hidden(dusty)
    assert found is not None
    assert all(found[row, column] for row, column in ((20, 90), (60, 130), (110, 80), (120, 140), (90, 105)))
    assert np.median(steps_px(dusty, stack.truth)) < np.median(steps_px(clean, stack.truth)) + 0.15


def test_a_detector_pattern_over_resin_is_measured_until_the_maps_settle() -> None:
    stack = make_stack(COUNT, SHAPE, seed=7, shift_px=1.5)
    pattern = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 0.6)
    plain = with_resin(stack, 0.6, 4)
    patterned = np.clip(np.rint(plain + 8.0 * pattern / pattern.std()), 0, 255).astype(np.uint8)
    clean = np.clip(np.rint(plain), 0, 255).astype(np.uint8)
    assert np.median(steps_px(patterned, stack.truth)) < np.median(steps_px(clean, stack.truth)) + 0.3
