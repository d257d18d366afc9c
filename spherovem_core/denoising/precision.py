"""Floating-point format that a device computes fastest."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def native_precision(device: "torch.device") -> Literal["float32", "bfloat16"]:
    """Return ``bfloat16`` if the device computes it natively, else ``float32``: emulated bfloat16 is slower."""
    import torch

    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bfloat16" if native else "float32"
