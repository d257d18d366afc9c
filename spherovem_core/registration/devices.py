"""The device torch computes on."""

from spherovem_core.errors import DeviceError


def torch_device(device: str) -> str:
    """Resolve a device setting for torch: ``auto`` takes a GPU where torch finds one.

    Raises
    ------
    DeviceError
        If ``cuda`` was asked for and torch finds none.
    """
    if device == "cpu":
        return device
    import torch

    usable = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if usable else "cpu"
    if not usable or int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device {device!r} was asked for and torch finds {torch.cuda.device_count() if usable else 0} GPUs; "
            "set device to auto or cpu, or run on a machine with a GPU"
        )
    return device
