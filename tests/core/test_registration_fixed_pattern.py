"""Pattern of a detector that stays in the frame of all slices."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from registration_scenes import Stack, make_stack
from scipy import ndimage

from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import Alignment, register_stack
from spherovem_core.registration.affine import IDENTITY
from spherovem_core.registration.fixed_pattern import measure_fixed_pattern
from spherovem_core.registration.pair_jobs import register_pairs
from spherovem_core.synthetic.misplacement import measure_misplacement

SHAPE = (120, 136)
COUNT = 18
PARAMETERS = RegistrationParameters(drift="links", deformation_trend_slices=0, link_distances=(1, 2))


@pytest.fixture(scope="module")
def stack() -> Stack:
    return make_stack(COUNT, SHAPE, seed=3)


def pattern(sd: float) -> NDArray[np.float64]:
    noise = ndimage.gaussian_filter(np.random.default_rng(8).normal(size=SHAPE), 1.5)
    return sd * noise / noise.std()


def with_pattern(stack: Stack, sd: float) -> Stack:
    return Stack(np.clip(np.rint(stack.slices + pattern(sd)), 0, 255).astype(np.uint8), stack.truth)


def total_px(alignment: Alignment, stack: Stack) -> float:
    return measure_misplacement(alignment.transforms, stack.truth, stack.shape).total_px


def measured(stack: Stack) -> NDArray[np.float32] | None:
    good, execution = list(range(len(stack.slices))), Execution()
    pairs = list(itertools.pairwise(good))
    results = register_pairs(stack.slices, pairs, PARAMETERS, execution, {})
    return measure_fixed_pattern(stack.slices, results, good, PARAMETERS, execution)


def test_a_pattern_is_measured_and_does_not_pull_the_slices(stack: Stack) -> None:
    patterned = with_pattern(stack, 10.0)
    found = measured(patterned)
    assert found is not None
    assert np.corrcoef(found.ravel(), pattern(1.0).ravel())[0, 1] > 0.8
    alignment = register_stack(patterned.slices, PARAMETERS)
    plain = total_px(register_stack(stack.slices, PARAMETERS), stack)
    assert total_px(alignment, patterned) < plain + 0.2
    assert (alignment.table["fixed_pattern_grey"] > 6.0).all()


def test_a_pattern_stronger_than_the_tissue_does_not_hide_the_motion(stack: Stack) -> None:
    patterned = with_pattern(stack, 20.0)
    alignment = register_stack(patterned.slices, PARAMETERS)
    plain = total_px(register_stack(stack.slices, PARAMETERS), stack)
    assert total_px(alignment, patterned) < plain + 0.3


def test_jitter_without_a_pattern_gives_none(stack: Stack) -> None:
    assert measured(stack) is None
    assert (register_stack(stack.slices[:6], PARAMETERS).table["fixed_pattern_grey"] == 0.0).all()


def test_tissue_that_does_not_move_is_no_pattern(stack: Stack) -> None:
    rng = np.random.default_rng(1)
    still = stack.slices[0] + rng.normal(0.0, 8.0, (COUNT, *SHAPE))
    quiet = Stack(np.clip(np.rint(still), 0, 255).astype(np.uint8), np.repeat(IDENTITY[None], COUNT, 0))
    assert measured(quiet) is None
    assert total_px(register_stack(quiet.slices, PARAMETERS), quiet) < 0.1


def test_threads_and_a_resumed_ledger_give_the_same_maps(stack: Stack) -> None:
    slices = with_pattern(stack, 10.0).slices
    ledger: dict[str, Any] = {}
    alone = register_stack(slices, PARAMETERS, ledger=ledger)
    half = {key: ledger[key] for key in list(ledger)[: len(ledger) // 2]}
    with ThreadPoolExecutor(2) as pool:
        resumed = register_stack(slices, PARAMETERS, Execution(executor=pool, workers=2), ledger=half)
    np.testing.assert_array_equal(resumed.transforms, alone.transforms)
    assert half.keys() == ledger.keys()
