"""Weights of pixels: what has weight 0 does not change the motion, and weights of 1 are no weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import IDENTITY, rms_displacement, shift_matrix
from spherovem_core.registration.normal_equations import PairEquations, Workspace
from spherovem_core.registration.pairs import PairResult, prepare_slices, register_prepared
from spherovem_core.registration.pyramid import join_pyramids, weigh_pyramid
from spherovem_core.synthetic.slice_pairs import Appearance, TextureScene, texture_pair

SHAPE = (200, 260)
PARAMETERS = RegistrationParameters()
TRUTH = np.array([[1.004, 0.006, 2.3], [-0.005, 0.997, -3.6]])
GOOD_COLUMNS = 130


@pytest.fixture(scope="module")
def pair() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return texture_pair(
        TextureScene((264, 324), seed=3), TRUTH, SHAPE, Appearance(change=0.0, noise=8.0), seed=1
    )


def with_wrong_half(image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Replace the right half by another texture, at the same place in every slice."""
    wrong = image.copy()
    other = TextureScene((264, 324), seed=seed).sample(
        IDENTITY, SHAPE, Appearance(change=0.0, noise=8.0), seed=seed
    )
    wrong[:, GOOD_COLUMNS:] = other[:, GOOD_COLUMNS:]
    return wrong


def half_weight(columns: int) -> torch.Tensor:
    weight = torch.ones((1, *SHAPE))
    weight[:, :, columns:] = 0.0
    return weight


def registered(slices: tuple[NDArray[np.uint8], ...], weight: torch.Tensor | None) -> PairResult:
    prepared = [prepare_slices(image[None], PARAMETERS, "cpu") for image in slices]
    if weight is not None:
        prepared = [weigh_pyramid(levels, weight) for levels in prepared]
    return register_prepared(prepared[0], prepared[1], PARAMETERS)[0]


def test_a_wrong_half_with_weight_0_does_not_change_the_motion(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    wrong = tuple(with_wrong_half(image, 7) for image in pair)
    # The kernel that smooths the coarsest level reaches 8 px of the slice.
    weighted = registered(wrong, half_weight(GOOD_COLUMNS - 8))
    left = np.s_[:, :GOOD_COLUMNS]
    error = rms_displacement(weighted.matrix - TRUTH, SHAPE)
    alone = registered((pair[0], pair[1]), half_weight(GOOD_COLUMNS - 8))
    # Both see the same half, but the mean and the contrast of the neighbourhoods beside it differ.
    assert rms_displacement(weighted.matrix - alone.matrix, SHAPE) < 0.03
    assert error < 0.3
    assert weighted.similarity > 0.9
    assert weighted.overlap > 0.95
    assert rms_displacement(registered(wrong, None).matrix - TRUTH, SHAPE) > 2.0
    assert wrong[0][left].tobytes() == pair[0][left].tobytes()


def test_pixels_of_weight_0_do_not_enter_a_single_bit() -> None:
    rng = np.random.default_rng(4)
    images = torch.from_numpy(rng.normal(size=(2, 1, *SHAPE)).astype(np.float32))
    results = []
    for seed in (0, 1):
        changed = images.clone()
        # The gradient of the fixed slice and the interpolation of the moving one reach 1 px further.
        changed[:, :, :, GOOD_COLUMNS + 3 :] = 9.0 * np.random.default_rng(seed).normal()
        weight = half_weight(GOOD_COLUMNS)
        equations = PairEquations(changed[0], changed[1], Workspace(changed[0]), weight, weight)
        normal = equations.evaluate(shift_matrix(0.4, 1.3)[None])
        results.append([normal.hessian, normal.gradient, normal.cost, equations.correlation(IDENTITY[None])])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [1.0, 0.5])
def test_equal_weights_give_the_motion_of_no_weights(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]], value: float
) -> None:
    plain, weighted = registered(pair, None), registered(pair, torch.full((1, *SHAPE), value))
    # Interpolated weights of 1 are 1 to the last bits.
    # Weights of a half scale every sum alike; only the prior on the strain counts more against fewer pixels.
    assert rms_displacement(weighted.matrix - plain.matrix, SHAPE) < (1e-4 if value == 1.0 else 0.05)
    assert weighted.similarity == pytest.approx(plain.similarity, abs=1e-4)
    assert weighted.overlap == pytest.approx(plain.overlap, abs=1e-4)


def test_a_pair_without_common_weight_is_not_trusted(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    fixed, moving = (prepare_slices(image[None], PARAMETERS, "cpu") for image in pair)
    left = half_weight(GOOD_COLUMNS)
    result = register_prepared(weigh_pyramid(fixed, left), weigh_pyramid(moving, 1.0 - left), PARAMETERS)[0]
    assert not result.trusted
    assert np.isfinite(result.matrix).all()
    assert "weight" in result.reason or "similarity" in result.reason


def test_coarse_levels_average_the_weight_and_joining_keeps_it(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    levels = prepare_slices(pair[0][None], PARAMETERS, "cpu")
    weighted = weigh_pyramid(levels, half_weight(GOOD_COLUMNS + 1))
    for level in weighted:
        assert level.weight is not None
        assert level.weight.shape == level.image.shape
    assert weighted[1].weight is not None
    assert float(weighted[1].weight[0, 0, GOOD_COLUMNS // 2]) == 0.5
    joined = join_pyramids([levels, weighted])
    assert joined[0].weight is not None
    np.testing.assert_array_equal(joined[0].weight[0], np.ones(SHAPE))
    np.testing.assert_array_equal(joined[0].weight[1:], half_weight(GOOD_COLUMNS + 1))
    repeated = weighted[0].repeated(3).weight
    assert repeated is not None
    assert repeated.shape == (3, *SHAPE)
    assert join_pyramids([levels, levels])[0].weight is None
    assert replace(levels[0]).repeated(2).weight is None
