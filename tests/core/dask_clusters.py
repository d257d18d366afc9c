"""A Dask cluster for the tests."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cluster() -> Iterator[str]:
    """Address of a Dask scheduler with two workers, on this machine's loopback device only."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as scheduler:
        yield scheduler.scheduler_address
