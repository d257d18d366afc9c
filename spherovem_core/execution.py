"""How a stage runs: device, workers, deadline and progress. None of it changes a result or enters a fingerprint."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spherovem_core.errors import DeadlineError, ParameterError

Progress = Callable[[int, int], None]


class ExecutionSettings(BaseModel):
    """Settings of a run that leave its results unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where arrays are computed: auto takes a GPU where one is usable; cuda without one is an error.",
    )
    executor: Literal["threads", "processes"] | str = Field(
        default="threads",
        description="How blocks run in parallel: threads, processes, or the address of a Dask scheduler.",
    )
    workers: int = Field(default=0, ge=0, le=1024, description="Workers a stage; 0 takes every core.")
    stage_timeout_s: float = Field(
        default=0.0,
        ge=0.0,
        description="A stage stops between two blocks after this many seconds; 0 is no limit.",
    )

    @property
    def worker_count(self) -> int:
        """Workers to start: the setting, or every core of this machine."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Execution:
    """What a core function needs to know of the run it is part of.

    Attributes
    ----------
    device
        ``auto``, ``cpu`` or ``cuda[:n]``.
    executor
        Maps blocks; None computes them one after another in the calling thread.
    workers
        Threads a compiled or torch kernel may use.
    deadline
        ``time.monotonic()`` value after which `report` raises; None is no limit.
    progress
        Called with (done, total) after each block.
    """

    device: str = "auto"
    executor: Executor | None = None
    workers: int = 1
    deadline: float | None = None
    progress: Progress | None = field(default=None, compare=False)

    def report(self, done: int, total: int) -> None:
        """Tell the progress; raise `DeadlineError` past the deadline. To be called between blocks."""
        if self.progress is not None:
            self.progress(done, total)
        if self.deadline is not None and done < total and time.monotonic() > self.deadline:
            raise DeadlineError(
                f"the stage was past its time limit after {done} of {total} blocks; the finished ones are kept: "
                "raise stage_timeout_s and run it again to go on from there"
            )


def open_executor(settings: ExecutionSettings) -> AbstractContextManager[Executor]:
    """Start the executor that the settings name; leaving the context ends it."""
    if settings.executor == "threads":
        return ThreadPoolExecutor(settings.worker_count)
    if settings.executor == "processes":
        # A forked child would inherit locked threads of torch, numba and Prefect.
        return ProcessPoolExecutor(settings.worker_count, mp_context=get_context("spawn"))
    if "://" not in settings.executor:
        raise ParameterError(
            f"executor {settings.executor!r} is unknown; expected threads, processes or a Dask scheduler's "
            "address such as tcp://127.0.0.1:8786"
        )
    return _dask_executor(settings.executor)


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    """Connect to a Dask scheduler; a client left open would go on calling for a scheduler that is gone."""
    from distributed import Client

    with Client(address) as client:
        yield client.get_executor()
