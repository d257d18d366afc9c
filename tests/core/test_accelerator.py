"""Device selection: the same array function on CPU and GPU, and clear refusals."""

import numpy as np
import pytest
from gpu_devices import DEVICES, has_gpu

from spherovem_core.errors import DeviceError, ParameterError
from spherovem_core.utils.accelerator import accelerator, select


@pytest.mark.parametrize("device", DEVICES)
def test_a_gaussian_of_an_impulse_has_the_width_asked_for(device: str) -> None:
    image = np.zeros((21, 41, 41), np.float32)
    image[10, 20, 20] = 1
    with accelerator(device) as gpu:
        smoothed = gpu.to_host(gpu.ndi.gaussian_filter(gpu.to_device(image), (1.0, 2.0, 3.0)))
    axes = np.indices(image.shape) - np.array([10, 20, 20])[:, None, None, None]
    spread = np.sqrt([(smoothed * axis**2).sum() for axis in axes])
    # The kernel is cut at 4 sigma and sampled: 1 % covers both.
    assert np.allclose(spread, (1, 2, 3), rtol=0.01)


def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    if has_gpu():
        pytest.skip("this machine has a GPU")
    assert select("auto").device == "cpu"
    with pytest.raises(DeviceError, match=r"'cuda:3' cannot be used.*set device to cpu or auto"):
        select("cuda:3")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ParameterError, match="expected auto, cpu, cuda"):
        select("gpu0")
