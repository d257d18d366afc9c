"""Peak memory of a benchmark's own process."""

from pathlib import Path


def peak_mib() -> float:
    """Highest resident size of this process so far; getrusage would begin at what its parent had when it was started."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
