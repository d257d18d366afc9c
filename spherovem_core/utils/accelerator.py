"""Array namespaces of a CPU or a GPU. Only this module knows CuPy and cuCIM; array functions use its namespaces."""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import DeviceError, ParameterError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accelerator:
    """Array namespaces of one device.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda:n``.
    xp
        NumPy or CuPy.
    ndi
        `scipy.ndimage` or its counterpart in CuPy.
    """

    device: str
    xp: Any
    ndi: Any

    @property
    def ski(self) -> Any:
        """scikit-image or its counterpart in cuCIM, imported here so that only its users need cuCIM."""
        return importlib.import_module("cucim.skimage" if self.on_gpu else "skimage")

    @property
    def on_gpu(self) -> bool:
        """True if arrays lie on a GPU."""
        return self.device != "cpu"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make it the calling thread's device; each thread has its own, which is the first GPU by default."""
        if not self.on_gpu:
            yield
            return
        with self.xp.cuda.Device(int(self.device.partition(":")[2])):
            yield

    def to_device(self, array: NDArray[Any]) -> Any:
        """Move an array to the device; on the CPU it is the same array."""
        return self.xp.asarray(array)

    def to_host(self, array: Any) -> NDArray[Any]:
        """Move an array to the host; on the CPU it is the same array."""
        return np.asarray(array.get() if self.on_gpu else array)

    def free_memory(self) -> None:
        """Free the unused blocks of the memory pools, at the end of a step."""
        if self.on_gpu:
            self.xp.get_default_memory_pool().free_all_blocks()
            self.xp.get_default_pinned_memory_pool().free_all_blocks()


@contextmanager
def accelerator(device: str = "auto") -> Iterator[Accelerator]:
    """Provide the namespaces of a device during a step, and free its memory pools afterwards.

    Parameters
    ----------
    device
        ``auto`` takes the first GPU where CuPy imports and a device answers, else the CPU;
        ``cpu``; ``cuda`` or ``cuda:n``.

    Raises
    ------
    DeviceError
        If a GPU was asked for and none is usable.
    """
    chosen = select_accelerator(device)
    with chosen.active():
        try:
            yield chosen
        finally:
            chosen.free_memory()


@lru_cache
def select_accelerator(device: str = "auto") -> Accelerator:
    """Resolve a device setting once per process and log the chosen device; errors as in `accelerator`."""
    if device == "cpu":
        return _cpu()
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda") or (number and not number.isdigit()):
        raise ParameterError(f"device {device!r} is unknown; expected auto, cpu, cuda or cuda:n")
    try:
        chosen = _gpu(int(number or 0))
    except (ImportError, OSError, RuntimeError) as error:
        if kind == "cuda":
            raise DeviceError(
                f"device {device!r} cannot be used ({type(error).__name__}: {error}); "
                "install the extra 'gpu' on a machine with a CUDA device, or set device to cpu or auto"
            ) from error
        logger.info("device auto: CPU (no usable GPU: %s)", error)
        return _cpu()
    logger.info("device %s: %s", device, chosen.device)
    return chosen


def _cpu() -> Accelerator:
    return Accelerator("cpu", np, importlib.import_module("scipy.ndimage"))


def _gpu(number: int) -> Accelerator:
    cupy = importlib.import_module("cupy")
    with cupy.cuda.Device(number):
        cupy.zeros(1).sum().item()
    return Accelerator(f"cuda:{number}", cupy, importlib.import_module("cupyx.scipy.ndimage"))
