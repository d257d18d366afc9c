"""Registration and warp on CPU and GPU: known motions on each device, and agreement between them."""

from typing import Any

import numpy as np
import pytest
from registration_scenes import Stack, make_stack

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import (
    Rectangle,
    register_pair,
    register_stack,
    warp_slice,
    warp_stack,
)
from spherovem_core.registration.affine import (
    compose,
    invert,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
)
from spherovem_core.registration.interpolation_kernels import interpolation_table
from spherovem_core.registration.pairs import prepare_slices, register_prepared
from spherovem_core.registration.pyramid import join_pyramids
from spherovem_core.registration.warping_torch import row_sampler
from spherovem_core.synthetic.misplacement import measure_misplacement
from spherovem_core.utils.torch_device import cuda_device_count

GPU = [pytest.mark.gpu, pytest.mark.skipif(not cuda_device_count(), reason="no usable CUDA device")]
DEVICES = ["cpu", pytest.param("cuda:0", marks=GPU)]
LINKS = RegistrationParameters(drift="links", deformation_trend_slices=0)
# With noise of 8 grey values the error per pair is 0.02 to 0.04 px at 160 x 192 (tests/core/test_registration_stack.py).
TOLERANCE_PX = 0.1


@pytest.fixture(scope="module")
def stack() -> Stack:
    return make_stack(count=5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_of_pairs_finds_the_known_motions(stack: Stack, device: str) -> None:
    fixed, moving = (
        prepare_slices(slices, LINKS, device) for slices in (stack.slices[:-1], stack.slices[1:])
    )
    results = register_prepared(fixed, moving, LINKS)
    for z, result in enumerate(results):
        truth = compose(stack.truth[z + 1], invert(stack.truth[z]))
        assert float(rms_displacement(result.matrix - truth, stack.shape)) < TOLERANCE_PX
        assert result.trusted
        single = register_pair(stack.slices[z], stack.slices[z + 1], LINKS, device)
        assert float(rms_displacement(result.matrix - single.matrix, stack.shape)) < 1e-3


@pytest.mark.parametrize("device", DEVICES)
def test_slices_prepared_one_by_one_equal_slices_prepared_as_a_batch(stack: Stack, device: str) -> None:
    together = prepare_slices(stack.slices[:3], LINKS, device)
    joined = join_pyramids([prepare_slices(one[None], LINKS, device) for one in stack.slices[:3]])
    assert [level.factor for level in joined] == [level.factor for level in together] == [1, 2, 4]
    for one, other in zip(joined, together, strict=True):
        # The means over a slice are summed in another order.
        np.testing.assert_allclose(one.image.cpu().numpy(), other.image.cpu().numpy(), atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_stack_is_aligned_with_the_same_bits_each_time(stack: Stack, device: str) -> None:
    runs = [register_stack(stack.slices, LINKS, Execution(device=device)) for _ in range(2)]
    assert measure_misplacement(runs[0].transforms, stack.truth, stack.shape).total_px < 2 * TOLERANCE_PX
    np.testing.assert_array_equal(runs[0].transforms, runs[1].transforms)
    assert runs[0].table.equals(runs[1].table)


@pytest.mark.parametrize("device", DEVICES)
def test_a_half_finished_ledger_gives_the_same_bits(stack: Stack, device: str) -> None:
    ledger: dict[str, Any] = {}
    whole = register_stack(stack.slices, LINKS, Execution(device=device), ledger=ledger)
    half = {pair: ledger[pair] for pair in list(ledger)[::2]}
    again = register_stack(stack.slices, LINKS, Execution(device=device), ledger=half)
    np.testing.assert_array_equal(whole.transforms, again.transforms)


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_device_count(), reason="no usable CUDA device")
def test_gpu_and_cpu_agree_on_a_whole_stack(stack: Stack) -> None:
    alignments = [register_stack(stack.slices, LINKS, Execution(device=d)) for d in ("cpu", "cuda:0")]
    apart = rms_displacement(alignments[0].transforms - alignments[1].transforms, stack.shape)
    # Sums in another order stop the refinement elsewhere within its tolerance of 0.005 px.
    assert float(apart.max()) < 0.02
    warped = []
    for device in ("cpu", "cuda:0"):
        out = np.zeros((5, *alignments[0].crop.shape), np.uint8)
        warp_stack(stack.slices, alignments[0], MemorySink(out), LINKS, Execution(device=device))
        warped.append(out.astype(int))
    # Positions can be rounded to neighbouring rows of the kernel table.
    assert np.abs(warped[0] - warped[1]).max() <= 1


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
@pytest.mark.parametrize("device", DEVICES)
def test_torch_and_the_compiled_kernel_warp_alike(interpolation: str, device: str) -> None:
    shape, wide = (60, 83), Rectangle(-4, 62, -3, 90)
    slanted = compose(shift_matrix(2.3, -1.7), rotation_matrix(3.0, shape))
    image = np.random.default_rng(1).normal(100.0, 30.0, shape).astype(np.float32)
    compiled = warp_slice(image, slanted, wide, interpolation)
    matrix = compose(slanted, shift_matrix(wide.y0, wide.x0))
    rows, columns = wide.shape
    sample = row_sampler(image, matrix, interpolation_table(interpolation), columns, device)
    in_torch = np.concatenate([sample(range(20)), sample(range(20, rows))])
    # The two can round a position to neighbouring rows of the table: 1/1024 px on slopes of 60 grey values per pixel.
    np.testing.assert_allclose(in_torch, compiled, atol=0.2)
    assert np.median(np.abs(in_torch - compiled)) < 1e-4
