"""The torch device of a run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from spherovem_core.errors import DeviceError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


def torch_device(name: str) -> "torch.device":
    """Resolve ``auto``, ``cpu`` or ``cuda[:n]``; what was taken is logged.

    Raises
    ------
    DeviceError
        If a GPU was asked for and torch sees none of that number.
    """
    import torch

    usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if usable else "cpu"
    device = torch.device(name if name != "cuda" else "cuda:0")
    if device.type == "cuda" and device.index >= usable:
        raise DeviceError(
            f"device {name!r} cannot be used: torch sees {usable} CUDA devices; "
            "set device to auto or cpu, or install a torch with CUDA on a machine with a GPU"
        )
    logger.info("denoising on %s", device)
    return device


def native_precision(device: "torch.device") -> Literal["float32", "bfloat16"]:
    """Half precision where the device computes bfloat16 itself: emulated, it is slower than float32."""
    import torch

    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bfloat16" if native else "float32"


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use this many threads; the number from before is set again afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
