"""Stages that compute in PyTorch, on a strict stand-in for a GPU: they move what they must, and agree with the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch
from denoising_scenes import random_checkpoint, smooth_stack
from registration_scenes import make_stack
from strict_tensors import GPU, DeviceTensor, stand_in_for_cuda

from spherovem_core.blocks import MemorySink
from spherovem_core.denoising import SliceDenoiser
from spherovem_core.denoising.trained_model import load_model
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters, RegistrationParameters
from spherovem_core.registration import register_stack, warp_stack
from spherovem_core.registration.affine import rms_displacement
from spherovem_core.segmentation import flow_grid, load_network, predict_flows

LINKS = RegistrationParameters(drift="links", deformation_trend_slices=0)
SPACING = (50.0, 20.0, 20.0)


def test_stand_in_refuses_what_cuda_refuses() -> None:
    host = torch.ones(3)
    with stand_in_for_cuda():
        tensor = torch.arange(3, device="cuda")
        assert isinstance(tensor, DeviceTensor)
        assert tensor.device == GPU
        for refused in (
            lambda: tensor + host,
            lambda: host * tensor,
            lambda: torch.stack([tensor, host]),
            lambda: tensor[host > 0],
            lambda: tensor.add_(host),
            lambda: tensor.numpy(),
            lambda: np.asarray(tensor),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                refused()
        assert isinstance(2 * tensor[1:], DeviceTensor)
        assert type(tensor.cpu()) is torch.Tensor
        np.testing.assert_array_equal(tensor.cpu().numpy(), [0, 1, 2])
        assert tensor.add_(1) is tensor
        complex_numbers = torch.tensor([1 + 2j], device="cuda")
        assert complex(complex_numbers.conj()[0]) == 1 - 2j
    assert type(host + 1) is torch.Tensor


def test_stack_is_aligned_and_warped_as_on_the_cpu() -> None:
    stack = make_stack(count=5)
    expected = register_stack(stack.slices, LINKS, Execution("cpu"))
    warped = [np.zeros((5, *expected.crop.shape), np.uint8) for _ in range(2)]
    warp_stack(stack.slices, expected, MemorySink(warped[0]), LINKS, Execution("cpu"))
    with stand_in_for_cuda() as mode:
        found = register_stack(stack.slices, LINKS, Execution("cuda:0"))
        warp_stack(stack.slices, expected, MemorySink(warped[1]), LINKS, Execution("cuda:0"))
    assert mode.results > 1000
    # As on a GPU (tests/core/test_registration_devices.py).
    assert float(rms_displacement(found.transforms - expected.transforms, stack.shape).max()) < 0.02
    assert np.abs(warped[0].astype(int) - warped[1]).max() <= 1


def test_slice_is_denoised_as_on_the_cpu(tmp_path: Path) -> None:
    path = random_checkpoint(tmp_path / "model.ckpt")
    values = np.resize(smooth_stack()[0], (150, 170))
    expected = SliceDenoiser(load_model(path, "cpu"), "float32")(values)
    with stand_in_for_cuda() as mode:
        found = SliceDenoiser(load_model(path, "cuda"), "float32")(values)
    assert mode.results > 20
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())


def test_flows_are_predicted_as_on_the_cpu() -> None:
    image = np.random.default_rng(0).integers(0, 255, (12, 70, 80)).astype(np.uint8)
    parameters = ObjectParameters(flow_spacing_nm=50.0)
    grid = flow_grid(image.shape, SPACING, parameters)

    def predicted(device: str) -> np.ndarray:
        sink = MemorySink(np.zeros((4, *grid.shape), np.float16))
        network = load_network("phantom-compact", "cells", device)
        assert str(network.device) == device
        predict_flows(image, SPACING, grid, network, sink, parameters, Execution(device))
        return sink.array.astype(np.float32)

    expected = predicted("cpu")
    with stand_in_for_cuda() as mode:
        found = predicted("cuda:0")
    assert mode.results > 100
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.02 * expected.std()
