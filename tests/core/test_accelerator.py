"""Device selection, and one array function on CPU and GPU."""

import numpy as np
import pytest
from gpu_devices import DEVICES, has_gpu

from spherovem_core.errors import DeviceError, ParameterError
from spherovem_core.utils.accelerator import accelerator, select_accelerator


@pytest.mark.parametrize("device", DEVICES)
def test_filtered_impulse_has_the_requested_width_on_every_device(device: str) -> None:
    image = np.zeros((21, 41, 41), np.float32)
    image[10, 20, 20] = 1
    with accelerator(device) as gpu:
        smoothed = gpu.to_host(gpu.ndi.gaussian_filter(gpu.to_device(image), (1.0, 2.0, 3.0)))
    axes = np.indices(image.shape) - np.array([10, 20, 20])[:, None, None, None]
    spread = np.sqrt([(smoothed * axis**2).sum() for axis in axes])
    # The kernel is sampled and cut off at 4 sigma: 1 % covers both.
    assert np.allclose(spread, (1, 2, 3), rtol=0.01)


def test_auto_selects_the_cpu_without_a_gpu() -> None:
    if has_gpu():
        pytest.skip("this machine has a GPU")
    assert select_accelerator("auto").device == "cpu"
    with pytest.raises(DeviceError, match=r"'cuda:3' cannot be used.*set device to cpu or auto"):
        select_accelerator("cuda:3")


def test_unknown_device_is_refused() -> None:
    with pytest.raises(ParameterError, match="expected auto, cpu, cuda"):
        select_accelerator("gpu0")
