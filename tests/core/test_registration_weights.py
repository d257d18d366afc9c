"""Weights of pixels: what has weight 0 does not change the motion, and weights of 1 are no weights."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import IDENTITY, shift_matrix
from spherovem_core.registration.normal_equations import PairEquations
from spherovem_core.registration.normal_equations_numba import NumbaPairEquations
from spherovem_core.registration.normal_equations_torch import TorchPairEquations
from spherovem_core.registration.pairs import prepare_slices
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


def half_weight(columns: int) -> torch.Tensor:
    weight = torch.ones((1, *SHAPE))
    weight[:, :, columns:] = 0.0
    return weight


@pytest.mark.parametrize("equations_type", [NumbaPairEquations, TorchPairEquations])
def test_pixels_of_weight_0_do_not_enter_a_single_bit(equations_type: type[PairEquations]) -> None:
    rng = np.random.default_rng(4)
    images = torch.from_numpy(rng.normal(size=(2, 1, *SHAPE)).astype(np.float32))
    results = []
    for seed in (0, 1):
        changed = images.clone()
        # The gradient of the fixed slice and the interpolation of the moving one reach 1 px further.
        changed[:, :, :, GOOD_COLUMNS + 3 :] = 9.0 * np.random.default_rng(seed).normal()
        weight = half_weight(GOOD_COLUMNS)
        equations = equations_type(changed[0], changed[1], weight)  # type: ignore[arg-type]
        normal = equations.evaluate(shift_matrix(0.4, 1.3)[None])
        results.append([normal.hessian, normal.gradient, normal.cost, equations.correlation(IDENTITY[None])])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [1.0, 0.5])
@pytest.mark.parametrize("equations_type", [NumbaPairEquations, TorchPairEquations])
def test_equal_weights_scale_all_sums_alike(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]], equations_type: type[PairEquations], value: float
) -> None:
    fixed, moving = (prepare_slices(image[None], PARAMETERS, "cpu")[0].image for image in pair)
    plain, weighted = (
        equations_type(fixed, moving, weight)  # type: ignore[arg-type]
        for weight in (None, torch.full((1, *SHAPE), value))
    )
    one, other = (equations.evaluate(TRUTH[None]) for equations in (plain, weighted))
    assert other.cost == pytest.approx(one.cost, rel=1e-4)
    np.testing.assert_allclose(other.gradient, value * one.gradient, rtol=1e-3, atol=1e-4)
    assert weighted.weighted_overlap == pytest.approx(plain.weighted_overlap, rel=1e-4)
    assert weighted.correlation(TRUTH[None]) == pytest.approx(plain.correlation(TRUTH[None]), rel=1e-4)
