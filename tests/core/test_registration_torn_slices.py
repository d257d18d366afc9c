"""Slices that are torn or folded: neither part gives the motion of the slice, and nothing may follow one of them in silence."""

import numpy as np
import pytest
from registration_scenes import Stack, make_stack

from spherovem_core.registration import register_pair, register_stack
from spherovem_core.registration.affine import compose, invert, rms_displacement

SHAPE = (160, 176)


@pytest.fixture(scope="module")
def stack() -> Stack:
    return make_stack(9, SHAPE, seed=4, shift_px=1.0)


def torn(stack: Stack, z: int, columns: int, shift: tuple[int, int]) -> np.ndarray:
    slices = stack.slices.copy()
    slices[z, :, columns:] = np.roll(slices[z], shift, (0, 1))[:, columns:]
    return slices


@pytest.mark.parametrize("shift", [(9, 14), (0, -18), (6, 0)])
def test_a_torn_slice_is_not_trusted_and_is_placed_between_its_neighbours(
    stack: Stack, shift: tuple[int, int]
) -> None:
    slices = torn(stack, 4, SHAPE[1] // 2, shift)
    alignment = register_stack(slices)
    table = alignment.table
    assert table["trusted"].tolist() == [True] * 4 + [False] * 2 + [True] * 3
    assert table["reason"][4].startswith("torn or folded")
    shown = compose(invert(stack.truth), alignment.transforms)
    off = rms_displacement(shown[1:-1] - 0.5 * (shown[:-2] + shown[2:]), SHAPE)
    # The jitter of the slice itself, whose place nothing tells.
    assert off.max() < 3.5
    assert off[[0, 1, 5, 6]].max() < 0.5


def test_a_small_flap_and_a_charged_half_leave_the_motion_trusted(stack: Stack) -> None:
    flap = torn(stack, 4, SHAPE[1] * 7 // 8, (9, 14))
    assert register_pair(flap[3], flap[4]).trusted
    charged = stack.slices.copy()
    charged[4, :, SHAPE[1] // 2 :] = 240
    assert register_pair(charged[3], charged[4]).trusted


def test_an_undamaged_stack_is_trusted(stack: Stack) -> None:
    assert register_stack(stack.slices).table["trusted"].all()
