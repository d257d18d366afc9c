"""Final warp: exactness, range, borders, resuming."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from registration_scenes import RecordingSource, make_stack

from spherovem_core.blocks import Block, MemorySink
from spherovem_core.errors import DeviceError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import (
    Alignment,
    Rectangle,
    apply_alignment,
    register_stack,
    warp_slice,
    warp_stack,
)
from spherovem_core.registration.affine import IDENTITY, compose, rotation_matrix, shift_matrix
from spherovem_core.registration.interpolation_kernels import interpolation_table
from spherovem_core.registration.warping import BAND_PIXELS
from spherovem_core.registration.warping_numba import row_sampler
from spherovem_core.utils.torch_device import torch_device

SHAPE = (60, 83)
WHOLE = Rectangle(0, *SHAPE[:1], 0, *SHAPE[1:])
INNER = Rectangle(10, 50, 12, 71)
SLANTED = compose(shift_matrix(2.3, -1.7), rotation_matrix(3.0, SHAPE))


def parabola(matrix: NDArray[np.float64], crop: Rectangle, degree: int) -> NDArray[np.float64]:
    y, x = np.mgrid[crop.y0 : crop.y1, crop.x0 : crop.x1]
    py, px = (row[0] * y + row[1] * x + row[2] for row in matrix)
    return np.asarray(100.0 + 0.7 * py - 0.4 * px + (0.02 * py**2 - 0.015 * py * px if degree > 1 else 0.0))


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_identity_and_whole_pixel_shifts_change_no_value(interpolation: str, dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 250, SHAPE).astype(dtype)
    same = warp_slice(image, IDENTITY, WHOLE, interpolation)
    assert same.dtype == dtype
    np.testing.assert_array_equal(same, image)
    shifted = warp_slice(image, shift_matrix(3.0, -5.0), INNER, interpolation)
    np.testing.assert_array_equal(shifted, image[13:53, 7:66])


@pytest.mark.parametrize(("interpolation", "degree"), [("linear", 1), ("cubic", 2)])
def test_polynomials_are_reproduced(interpolation: str, degree: int) -> None:
    image = parabola(IDENTITY, WHOLE, degree).astype(np.float32)
    warped = warp_slice(image, SLANTED, INNER, interpolation)
    # Positions are rounded by at most 1/2048 px, on slopes of up to 3 grey values per pixel.
    np.testing.assert_allclose(warped, parabola(SLANTED, INNER, degree), atol=3e-3)


@pytest.mark.parametrize("interpolation", ["cubic", "lanczos"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_overshoot_stays_within_the_range_of_the_type(interpolation: str, dtype: type) -> None:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    image = np.full(SHAPE, low, dtype)
    image[:, 40:] = high
    warped = warp_slice(image, shift_matrix(0.0, 0.4), INNER, interpolation)
    exact = warp_slice(image.astype(np.float32), shift_matrix(0.0, 0.4), INNER, interpolation)
    # The kernels overshoot an edge by at least 3 % of its height; a wrapped value would differ by the whole height.
    assert exact.min() < low - 0.03 * (high - low)
    assert exact.max() > high + 0.03 * (high - low)
    np.testing.assert_array_equal(warped, np.clip(np.rint(exact), low, high).astype(dtype))


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
def test_weights_sum_to_one_and_are_symmetric(interpolation: str) -> None:
    table = interpolation_table(interpolation)
    np.testing.assert_allclose(table.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(table, table[::-1, ::-1], atol=1e-6)


def test_bands_of_rows_give_the_slice_in_one_piece() -> None:
    height, width = BAND_PIXELS // 1000 + 300, 1000
    image = np.random.default_rng(3).normal(100.0, 30.0, (height, width)).astype(np.float32)
    in_bands = warp_slice(image, SLANTED, Rectangle(0, height, 0, width))
    whole = row_sampler(image, SLANTED, interpolation_table("cubic"), width)(range(height))
    np.testing.assert_array_equal(in_bands, whole)


def test_lanczos_keeps_more_fine_detail_than_cubic_and_linear() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    wave = (128 + 100 * np.cos(2 * np.pi * 0.3 * x + 0.0 * y)).astype(np.float32)
    kept = [
        float(warp_slice(wave, shift_matrix(0.0, 0.5), INNER, name).std() / wave.std())
        for name in ("linear", "cubic", "lanczos")
    ]
    assert kept[0] < kept[1] < kept[2] < 1.02


def test_aligned_slices_are_alike_up_to_the_border_of_the_crop() -> None:
    stack = make_stack(count=6, noise=3.0)
    parameters = RegistrationParameters(drift="links", deformation_trend_slices=0)
    alignment = register_stack(stack.slices, parameters, Execution())
    spread = apply_alignment(RecordingSource(stack.slices), alignment, parameters).std(0)
    # Only the read noise of 3 grey values remains between slices, at the border as in the middle.
    assert np.median(spread) < 4.0
    assert np.median(spread[[0, -1]]) < 5.0
    assert np.median(spread[:, [0, -1]]) < 5.0


class RecordingSink(MemorySink):
    """Sink that records the written blocks."""

    def __init__(self, array: NDArray[Any]) -> None:
        super().__init__(array)
        self.written: list[str] = []

    def write(self, block: Block, values: NDArray[Any]) -> None:
        super().write(block, values)
        self.written.append(block.key)


def test_only_missing_slices_are_warped() -> None:
    slices = np.random.default_rng(2).integers(0, 256, (4, *SHAPE)).astype(np.uint8)
    transforms = np.stack([shift_matrix(0.2 * z, 0.0) for z in range(4)])
    alignment = Alignment(transforms, INNER, pd.DataFrame())
    sink = RecordingSink(np.zeros((4, *INNER.shape), np.uint8))
    warp_stack(slices, alignment, sink, RegistrationParameters(), Execution())
    assert len(sink.written) == 4
    first = sink.array.copy()
    warp_stack(slices, alignment, sink, RegistrationParameters(), Execution())
    assert len(sink.written) == 4
    np.testing.assert_array_equal(sink.array, first)
    np.testing.assert_array_equal(first[1], warp_slice(slices[1], transforms[1], INNER))


def test_a_missing_gpu_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DeviceError, match="auto or cpu"):
        torch_device("cuda:99")
