"""Devices of the tests of array functions: the CPU, a strict stand-in for a GPU, and a GPU if there is one."""

import importlib.util

import pytest
from strict_arrays import STAND_IN

from spherovem_core.errors import DeviceError
from spherovem_core.utils.accelerator import select_accelerator


def has_gpu() -> bool:
    """Return whether CuPy finds a device."""
    if importlib.util.find_spec("cupy") is None:
        return False
    try:
        return select_accelerator("cuda").on_gpu
    except DeviceError:
        return False


DEVICES = [
    "cpu",
    pytest.param(STAND_IN, id="stand-in"),
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not has_gpu(), reason="no usable CUDA device")]
    ),
]
