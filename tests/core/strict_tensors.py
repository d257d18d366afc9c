"""Stand-in for a GPU of PyTorch: tensors that compute on the CPU, say that they are on ``cuda:0``, and refuse what those refuse.

Within `stand_in_for_cuda`, tensors that are made on or moved to a CUDA device are `DeviceTensor`. Refused are operations of one
with a tensor of the host that has axes, and conversion to NumPy without ``cpu``. Stages take the code that they take on a GPU. It
holds for the calling thread. The stand-in is no proof of CUDA's kernels, rounding or memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode

GPU = torch.device("cuda", 0)
MOVES = ("to", "cpu", "cuda")
BETWEEN = ("copy_", "__set__", "_has_compatible_shallow_copy_type")
"""Functions that take tensors of two devices."""


class DeviceTensor(torch.Tensor):
    """Tensor of the stand-in."""


class _Refusing(TorchFunctionMode):
    """Mode that keeps track of which tensors are on the stand-in."""

    def __init__(self) -> None:
        super().__init__()
        self.results = 0

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        name, options = getattr(function, "__name__", ""), dict(options or {})
        if name == "__get__" and isinstance(arguments[0], DeviceTensor):
            asked = getattr(function.__self__, "__name__", "")
            if asked in ("device", "is_cuda"):
                return GPU if asked == "device" else True
        tensors = list(_tensors((arguments, options)))
        on_device = [each for each in tensors if isinstance(each, DeviceTensor)]
        target, arguments = _target(name, arguments, options)
        if on_device and name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        on_host = [each for each in tensors if not isinstance(each, DeviceTensor) and each.ndim]
        if on_device and on_host and target is None and name not in BETWEEN:
            raise RuntimeError(
                f"{name}: expected all tensors on one device, found cuda:0 and a host tensor {on_host[0].shape}"
            )
        # Operations in place return the tensor that they are given: the plain one is exchanged for the marked one.
        plain = {id(each): each.as_subclass(torch.Tensor) for each in on_device}
        with torch._C.DisableTorchFunction():
            found = function(*_plain(arguments, plain), **_plain(options, plain))
        if name in MOVES and target is not None and (target.type == "cuda") != bool(on_device):
            found = found.clone()
        goes = bool(on_device) if target is None else target.type == "cuda"
        self.results += goes
        return _wrapped(found, [(plain[id(each)], each) for each in on_device]) if goes else found


@contextmanager
def stand_in_for_cuda() -> Iterator[_Refusing]:
    """Let PyTorch find one CUDA device, the stand-in; the mode that is yielded counts its results."""
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            mock.patch("torch.cuda.is_available", return_value=True),
            mock.patch("torch.cuda.device_count", return_value=1),
            mock.patch("torch.cuda.mem_get_info", return_value=(8 << 30, 8 << 30)),
            _Refusing() as mode,
        ):
            yield mode
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


def _target(name: str, arguments: Any, options: dict[str, Any]) -> tuple[torch.device | None, Any]:
    """Return the device that a call names, and its arguments with the CPU in its place."""
    if name == "_parse_to":  # A module asks which device its own `to` names.
        return None, arguments
    if name == "cpu":
        return torch.device("cpu"), arguments
    if name == "to":
        for number, each in enumerate(arguments[1:], 1):
            if isinstance(each, str | torch.device):
                return torch.device(each), (
                    *arguments[:number],
                    torch.device("cpu"),
                    *arguments[number + 1 :],
                )
    if options.get("device") is not None:
        target = torch.device(options["device"])
        options["device"] = "cpu"
        return target, arguments
    return None, arguments


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, tuple | list):
        for each in values:
            yield from _tensors(each)


def _plain(values: Any, plain: dict[int, torch.Tensor]) -> Any:
    if isinstance(values, DeviceTensor):
        return plain[id(values)]
    if isinstance(values, dict):
        return {name: _plain(each, plain) for name, each in values.items()}
    if type(values) in (tuple, list):
        return type(values)(_plain(each, plain) for each in values)
    return values


def _wrapped(values: Any, known: list[tuple[torch.Tensor, torch.Tensor]]) -> Any:
    """Mark tensors as those of the stand-in."""
    if isinstance(values, torch.Tensor):
        same = [marked for plain, marked in known if plain is values]
        return same[0] if same else values.as_subclass(DeviceTensor)
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(_wrapped(each, known) for each in values))
    if isinstance(values, tuple | list) and not isinstance(values, torch.Size):
        return tuple(_wrapped(each, known) for each in values)
    return values
