"""Retries of failed steps: number, delays, and the faults after which a retry may succeed."""

from spherovem_core.errors import SpheroVemError
from spherovem_core.utils.disk_refusals import DISK_REFUSES

RETRIES, FIRST_DELAY_S, JITTER = 3, 5.0, 0.5
"""Retries after the first try; the delay doubles each time, and is longer by a random fraction of up to `JITTER`."""
NO_USE_RETRYING = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)


def may_pass(error: object) -> bool:
    """Return whether a retry of a failed step may succeed: after a fault of disk or memory, not after bad input."""
    if isinstance(error, SpheroVemError) or not isinstance(error, Exception):
        return False
    if isinstance(error, OSError):
        return not isinstance(error, NO_USE_RETRYING) and error.errno not in DISK_REFUSES
    return isinstance(error, MemoryError) or is_device_out_of_memory(error)


def is_device_out_of_memory(error: BaseException) -> bool:
    """Return whether torch or CuPy ran out of device memory, without importing either."""
    return any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
