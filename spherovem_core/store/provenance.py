"""The history of an artifact: step, inputs, parameters, packages, device, time and memory."""

import platform
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Self

import psutil

from spherovem_core.utils.source_version import program_version

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "opencv-python-headless",
    "numba",
    "llvmlite",
    "pandas",
    "pyarrow",
    "edt",
    "connected-components-3d",
    "fastremap",
    "networkx",
    "trimesh",
    "torch",
    "torchvision",
    "careamics",
    "lightning",
    "pytorch-lightning",
    "cellpose",
    "segment-anything",
    "safetensors",
    "cupy-cuda13x",
    "cucim-cu13",
    "zarr",
    "numcodecs",
    "tensorstore",
    "tifffile",
    "imagecodecs",
    "pillow",
    "nibabel",
    "mrcfile",
    "ncempy",
    "h5py",
    "hdf5plugin",
    "fsspec",
    "xxhash",
    "google-crc32c",
    "pydantic",
    "pydantic-core",
    "dask",
    "distributed",
    "prefect",
)
"""Packages that compute, read, write or check the values of results; those that only draw, serve or report are not among them."""

NUMERICAL_PACKAGES = ("numpy", "scipy", "scikit-image", "pandas", "edt", "numba")
"""Packages that compute what the stages shape and spatial measure; another version may round in another way."""


@lru_cache(maxsize=1)
def package_versions() -> dict[str, str]:
    """Collect the versions of the packages that a result may depend on; that of spherovem with the commit of its source."""
    found = {"python": platform.python_version(), "spherovem": program_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


class StepRecorder:
    """Recorder of the seconds and of the peak resident memory of a step.

    Memory is sampled at the start and every 50 ms, and includes that of child processes.
    """

    def __init__(self, interval_s: float = 0.05) -> None:
        self._interval = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="memory-sampler")
        self._start = 0.0
        self.seconds = 0.0
        self.peak_memory_bytes = 0

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        # A short step may ask for the peak before the thread has come to its first sample.
        self.peak_memory_bytes = int(psutil.Process().memory_info().rss)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        self._stop.set()
        self._thread.join()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the step began."""
        return time.perf_counter() - self._start

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            self.peak_memory_bytes = max(self.peak_memory_bytes, _resident_bytes(process))
            if self._stop.wait(self._interval):
                return


def _resident_bytes(process: psutil.Process) -> int:
    total = int(process.memory_info().rss)
    for child in process.children(recursive=True):
        try:
            total += int(child.memory_info().rss)
        except psutil.Error:
            continue
    return total


def history_entry(
    stage: str,
    step: str,
    version: int,
    parameters: Mapping[str, Any],
    external: Mapping[str, str],
    inputs: Sequence[str],
    device: str,
    seconds: float,
    peak_memory_bytes: int,
) -> dict[str, Any]:
    """Describe one finished step, as JSON.

    Parameters
    ----------
    external
        Digests of its inputs outside the results folder.
    inputs
        Digests of the steps that it read from.
    seconds
        Time of the run that finished it; a run that was killed before is not counted.
    """
    return {
        "stage": stage,
        "step": step,
        "version": version,
        "parameters": dict(parameters),
        "external": dict(external),
        "inputs": list(inputs),
        "packages": package_versions(),
        "device": device,
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory_bytes,
        "host": platform.node(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
