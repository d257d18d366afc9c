"""Dask clusters for the tests, on the loopback device only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOOPBACK: dict[str, Any] = {
    "n_workers": 2,
    "threads_per_worker": 1,
    "protocol": "tcp",
    "host": "127.0.0.1",
    # Port 0 takes a free one: None would mean 8787, which a cluster of a parallel test may have.
    "dashboard_address": "127.0.0.1:0",
}


@contextmanager
def cluster() -> Iterator[str]:
    """Start a Dask scheduler with two workers in this process, and yield its address."""
    from distributed import LocalCluster

    with LocalCluster(processes=False, **LOOPBACK) as scheduler:
        yield scheduler.scheduler_address


@contextmanager
def killable_cluster() -> Iterator[tuple[str, Callable[[], list[int]]]]:
    """Start a Dask scheduler with two worker processes, which restart when killed; yield its address and a list of their ids."""
    from distributed import Client, LocalCluster

    with LocalCluster(processes=True, **LOOPBACK) as scheduler, Client(scheduler) as client:

        def workers() -> list[int]:
            return [info["pid"] for info in client.run(_process_number).values()]

        yield scheduler.scheduler_address, workers


def _process_number() -> dict[str, int]:
    import os

    return {"pid": os.getpid()}
