"""Device and number of threads of all stages that compute in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spherovem_core.errors import DeviceError

if TYPE_CHECKING:
    import torch


def cuda_device_count() -> int:
    """Count the CUDA devices that PyTorch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def torch_device(name: str) -> "torch.device":
    """Resolve ``auto``, ``cpu`` or ``cuda[:n]``; ``auto`` takes the first GPU if PyTorch finds one.

    Raises
    ------
    DeviceError
        If a GPU was asked for and PyTorch finds none of that number.
    """
    import torch

    usable = cuda_device_count()
    resolved = ("cuda:0" if usable else "cpu") if name == "auto" else name
    device = torch.device("cuda:0" if resolved == "cuda" else resolved)
    if device.type == "cuda" and device.index >= usable:
        raise DeviceError(
            f"device {name!r} cannot be used: PyTorch sees {usable} CUDA devices; "
            "set device to auto or cpu, or install a PyTorch with CUDA on a machine with a GPU"
        )
    return device


@contextmanager
def kept_torch_threads() -> Iterator[None]:
    """Restore the number of threads of PyTorch: compiled code of numba changes it where both use OpenMP."""
    import torch

    with torch_threads(torch.get_num_threads()):
        yield


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of threads of PyTorch, at least one, and restore the number afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)
