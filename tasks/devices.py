"""Devices of the steps: one step at a time on a GPU, whichever flow runs it."""

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from spherovem_core.errors import DeviceError
from spherovem_core.utils.accelerator import select_accelerator
from spherovem_core.utils.torch_device import cuda_device_count
from spherovem_core.workflow.step import GpuLibrary

logger = logging.getLogger(__name__)

LEASE_S = 60.0


@contextmanager
def gpu_slot(library: GpuLibrary | None, device: str) -> Iterator[None]:
    """Hold this host's GPU slot while a step computes on the GPU.

    The slot is a global concurrency limit of the Prefect server named ``gpu:<host>``, made with one slot where it
    does not exist. Its lease ends a minute after its holder dies. Tag limits would not do: they
    take their slot before the cache is looked up.
    """
    if not runs_on_gpu(library, device):
        yield
        return
    from prefect.concurrency.sync import concurrency

    name = gpu_limit_name()
    _ensure_limit(name)
    with concurrency(
        name, occupy=1, strict=True, lease_duration=LEASE_S, raise_on_lease_renewal_failure=False
    ):
        yield


def needs_gpu_slot(device: str) -> bool:
    """Return whether a step may need this host's GPU slot; torch, which takes seconds to import, is not asked."""
    return device.startswith("cuda") or runs_on_gpu("cupy", device)


def resolve_device(library: GpuLibrary | None, device: str) -> str:
    """Return the device that a step computes on: ``cpu`` or ``cuda:n``."""
    if not runs_on_gpu(library, device):
        return "cpu"
    return f"cuda:{device.partition(':')[2] or 0}"


def check_device(device: str) -> None:
    """Refuse a GPU that torch or CuPy cannot use; ``auto`` and ``cpu`` are always fine.

    Raises
    ------
    DeviceError
        If the named GPU is not there.
    """
    if not device.startswith("cuda"):
        return
    number = int(device.partition(":")[2] or 0)
    found = cuda_device_count()
    if number >= found:
        raise DeviceError(
            f"device {device} cannot be used: torch finds {found} GPUs here; choose auto or cpu, or run on a GPU machine"
        )
    select_accelerator(device)


def gpu_limit_name() -> str:
    """Return the name of this host's limit."""
    return f"gpu:{platform.node()}"


def runs_on_gpu(library: GpuLibrary | None, device: str) -> bool:
    """Return whether a step that computes with this library does so on a GPU under this device setting."""
    if library is None or device == "cpu":
        return False
    return cuda_device_count() > 0 if library == "torch" else select_accelerator(device).on_gpu


def _ensure_limit(name: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            logger.info("making the concurrency limit %s with one slot", name)
            try:
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
            except ObjectAlreadyExists:
                return
