"""The torch device of a run and the threads that torch uses on it: one answer for all stages that compute in torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spherovem_core.errors import DeviceError

if TYPE_CHECKING:
    import torch


def cuda_device_count() -> int:
    """How many CUDA devices torch can use here."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def torch_device(name: str) -> "torch.device":
    """Resolve ``auto``, ``cpu`` or ``cuda[:n]``; ``auto`` takes the first GPU where torch finds one.

    Raises
    ------
    DeviceError
        If a GPU was asked for and torch sees none of that number.
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
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use this many threads, at least one; the number from before is set again afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, count))
    try:
        yield
    finally:
        torch.set_num_threads(before)
