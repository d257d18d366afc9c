"""Peak memory of the benchmark's own process."""

from pathlib import Path


def peak_mib() -> float:
    """Return the highest resident size of this process so far in MiB; getrusage would include that of its parent at its start."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
