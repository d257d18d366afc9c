"""Execution of a step: device, workers, deadline and progress. None of it changes a result or enters a digest."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from spherovem_core.errors import DeadlineError, ParameterError

if TYPE_CHECKING:
    from distributed import Client

Progress = Callable[[int, int], None]


BlockVoxels = Annotated[
    int,
    Field(
        ge=128,
        le=2048,
        multiple_of=128,
        description="Side of the blocks in which masks are computed; larger ones need more memory. Labels differ by "
        "single voxels at most (1 of 15 million in the demo).",
    ),
]
BlockHaloVoxels = Annotated[
    int,
    Field(
        ge=16,
        le=512,
        description="Voxels that a block sees beyond its border; best as large as the radius of an object.",
    ),
]

StorageMode = Annotated[
    Literal["lean", "full"],
    Field(
        description="lean discards the denoised image and the flows once all that is computed from them is complete, and "
        "computes them again when something asks for them; full keeps them.",
    ),
]


class ExecutionSettings(BaseModel):
    """Settings of a run that leave its results unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Device that computes arrays: auto takes a GPU where one is usable; cuda without one is an error.",
    )
    executor: Literal["threads", "processes"] | str = Field(
        default="threads",
        description="Executor of blocks in parallel: threads, processes, or the address of a Dask scheduler.",
    )
    workers: int | None = Field(
        default=None, ge=1, le=1024, description="Workers per stage. Left empty, every core."
    )
    stage_timeout_s: float | None = Field(
        default=None,
        gt=0.0,
        description="A stage stops between two blocks after this many seconds. Left empty, there is no limit.",
    )
    block_voxels: BlockVoxels = 256
    block_halo_voxels: BlockHaloVoxels = 64
    storage: StorageMode = "lean"

    @property
    def worker_count(self) -> int:
        """Number of workers to start: the setting, or every core of this machine."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Execution:
    """Execution of a core function: device, workers, deadline and progress.

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
    block_voxels, block_halo_voxels
        Side of the blocks of masks, and the voxels that each sees beyond its border.
    """

    device: str = "auto"
    executor: Executor | None = None
    workers: int = 1
    deadline: float | None = None
    progress: Progress | None = field(default=None, compare=False)
    block_voxels: int = 256
    block_halo_voxels: int = 64

    def report(self, done: int, total: int) -> None:
        """Report the progress and raise `DeadlineError` past the deadline. Call it between blocks."""
        if self.progress is not None:
            self.progress(done, total)
        if self.deadline is not None and done < total and time.monotonic() > self.deadline:
            raise DeadlineError(
                f"the step passed its time limit after {done} of {total} blocks; the finished ones are kept: "
                "raise stage_timeout_s and run it again to continue from there"
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
    with _dask_client(address) as client:
        yield client.get_executor()


def _dask_client(address: str) -> "Client":
    """Connect to a Dask scheduler.

    Raises
    ------
    ParameterError
        If it wants certificates and none are configured.
    ConnectionError
        If no scheduler answers there, or it refuses the certificates.
    """
    from distributed import Client

    try:
        return Client(address)
    except TypeError as error:
        # Dask's message when no certificate is configured for tls://.
        raise ParameterError(
            f"the Dask scheduler {address} wants certificates, and none are configured here; load the variables of the "
            "dask.env that `spherovem certificates` wrote for this cluster: set -a; . FOLDER/dask.env; set +a"
        ) from error
    except OSError as error:
        remedy = "start it, or correct the address"
        if address.startswith("tls://"):
            remedy += (
                "; it refuses certificates of another `spherovem certificates` call, and expired ones: compare the folders "
                "in dask.env"
            )
        raise ConnectionError(f"no Dask scheduler answers at {address} ({error}); {remedy}") from error
