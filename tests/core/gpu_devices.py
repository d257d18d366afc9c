"""The devices that tests of array functions run on: one test body for both."""

import importlib.util

import pytest

from spherovem_core.errors import DeviceError
from spherovem_core.utils.accelerator import select


def has_gpu() -> bool:
    """Whether CuPy and cuCIM find a device."""
    if importlib.util.find_spec("cupy") is None:
        return False
    try:
        return select("cuda").on_gpu
    except DeviceError:
        return False


DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not has_gpu(), reason="no usable CUDA device")]
    ),
]
