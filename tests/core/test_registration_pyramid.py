"""Prepared slices: compiled filters against torch, what they remove, and what they leave."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spherovem_core.registration import pyramid
from spherovem_core.registration.pyramid import build_pyramid

SHAPES = [(97, 140), (333, 201), (41, 60), (20, 1100), (16, 20)]


def batch(shape: tuple[int, int]) -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    shading = 90.0 + 60.0 * x + 30.0 * y * y
    return (shading + (10.0 + 20.0 * y) * rng.normal(size=(2, *shape))).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_compiled_filters_prepare_slices_as_torch_does(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    slices = batch(shape)
    compiled = build_pyramid(slices, 4, 1_000_000, "cpu")
    monkeypatch.setattr(pyramid, "compiled_for", lambda image: False)
    in_torch = build_pyramid(slices, 4, 1_000_000, "cpu")
    assert [level.factor for level in compiled] == [level.factor for level in in_torch]
    for one, other in zip(compiled, in_torch, strict=True):
        # Grey values of 200 have steps of 1.5e-5 in float32, and are divided by a contrast of 10 to 30.
        np.testing.assert_allclose(one.image, other.image, atol=3e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_slices_have_the_same_bits_alone_and_in_a_batch(shape: tuple[int, int]) -> None:
    slices = batch(shape)
    together = build_pyramid(slices, 4, 1_000_000, "cpu")
    alone = build_pyramid(slices[1:], 4, 1_000_000, "cpu")
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.image[1:], other.image)


def test_the_slices_of_the_caller_are_not_changed() -> None:
    slices = batch((97, 140))
    before = slices.copy()
    build_pyramid(slices, 4, 1_000_000, "cpu")
    np.testing.assert_array_equal(slices, before)


def test_a_large_offset_does_not_change_the_contrast() -> None:
    slices = np.rint(batch((333, 201)))
    plain, raised = (build_pyramid(s, 3, 1_000_000, "cpu")[0].image for s in (slices, slices + 60_000.0))
    # Grey values of 60 000 have steps of 0.004 in float32; the contrast is 10 to 40 grey values.
    np.testing.assert_allclose(plain, raised, atol=2e-3)


def test_a_constant_slice_is_prepared_as_zeros() -> None:
    level = build_pyramid(np.full((1, 97, 140), 17.0), 2, 1_000_000, "cpu")[0]
    np.testing.assert_array_equal(level.image, np.zeros((1, 97, 140)))
