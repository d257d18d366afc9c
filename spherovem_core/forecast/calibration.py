"""Speed of this machine beside the one that measured the shipped rates, from small kernels that take a second."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal

import numpy as np

Kernel = Literal["arrays", "network"]
"""Kind of work of a step: array functions on a pool of threads, or networks and other torch code."""

REFERENCE_WORKERS = 2
REFERENCE_SECONDS: dict[Kernel, float] = {"arrays": 0.0139, "network": 0.0077}
"""Processor seconds of a kernel on one core of the machine of the shipped rates."""

PARALLEL_FRACTION = 0.8
"""Fraction of the time of a step's arrays that more threads shorten."""

LEAST_GAIN = 0.5
"""Threads of torch wait for each other on a busy machine; small kernels do so more than whole steps."""

LONGEST_SECONDS = 0.5
FEWEST, MOST = 2, 40
LAYERS = 4
"""Convolutions per kernel of a network."""


@lru_cache(maxsize=16)
def measure_time_factor(kernel: Kernel, workers: int) -> float:
    """Return by how much a step takes longer here than on the machine of the shipped rates, two idle cores.

    The kernel runs for half a second with one thread and for half a second with as many as there are workers, on the clock: a
    machine that is busy with other programs counts as slow. Threads shorten four fifths of the time of arrays, and all of that
    of networks. Measured once per process.

    Parameters
    ----------
    kernel
        Kind of work.
    workers
        Threads of a step.
    """
    measure = _seconds_of_arrays if kernel == "arrays" else _seconds_of_network
    alone = measure(1)
    together = measure(workers) if workers > 1 else alone
    slower = alone / REFERENCE_SECONDS[kernel]
    gain = max(alone / together, LEAST_GAIN)
    fraction = PARALLEL_FRACTION if kernel == "arrays" else 1.0
    return slower * amdahl(gain, fraction) / amdahl(REFERENCE_WORKERS, fraction)


def amdahl(gain: float, fraction: float) -> float:
    """Return the time of work, relative to one thread, of which a fraction is `gain` times as fast."""
    return 1 - fraction + fraction / gain


def _seconds_of_arrays(threads: int) -> float:
    """Return the seconds per kernel of array functions while that many threads compute them."""
    import imagecodecs
    from scipy import ndimage

    rng = np.random.default_rng(0)
    image = rng.normal(100, 20, (32, 128, 128)).astype(np.float32)
    # Any: imagecodecs takes arrays, but its stubs say bytes.
    plain: Any = np.clip(image, 0, 255).astype(np.uint8)

    def kernel(_: int) -> None:
        ndimage.gaussian_filter(image, 2.0)
        np.sort(image, axis=None)
        imagecodecs.zstd_encode(plain, level=1)

    with ThreadPoolExecutor(threads) as pool:
        return _seconds_per_kernel(lambda count: list(pool.map(kernel, range(count))), threads)


def _seconds_of_network(threads: int) -> float:
    """Return the seconds per kernel of a small network on that many threads of torch."""
    import torch

    before = torch.get_num_threads()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 32, 128, 128, generator=generator)
    weight = torch.randn(32, 32, 3, 3, generator=generator)

    def kernels(count: int) -> None:
        for _ in range(LAYERS * count):
            torch.nn.functional.conv2d(image, weight, padding=1).relu_()

    try:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return _seconds_per_kernel(kernels, 1)
    finally:
        torch.set_num_threads(before)


def _seconds_per_kernel(compute: Callable[[int], Any], threads: int) -> float:
    """Return seconds on the clock per kernel; the first ones, which load libraries, do not count."""
    compute(threads)
    done, began = 0, time.perf_counter()
    while True:
        compute(threads)
        done += threads
        spent = time.perf_counter() - began
        if done >= MOST * threads or (spent > LONGEST_SECONDS and done >= FEWEST):
            return spent / done
