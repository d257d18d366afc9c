"""Many acquisitions at once, spread over the workers of a Dask cluster."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from pydantic import Field

from spherovem_core.errors import SpheroVemError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName

Address = Annotated[
    str,
    Field(
        pattern=r"^([a-z]+://.+)?$",
        description="Address of a Dask scheduler, such as tcp://head:8786; left empty, workers are started on this machine.",
    ),
]
WorkerCount = Annotated[
    int,
    Field(
        ge=1,
        le=1024,
        description="Workers to start where no scheduler is given: acquisitions processed at once.",
    ),
]


class BacklogError(SpheroVemError, RuntimeError):
    """Some acquisitions of a backlog could not be processed."""


@flow(name="process-backlog")
def process_backlog(
    acquisitions: list[Acquisition],
    parameters: PipelineParameters = PipelineParameters(),
    execution: ExecutionSettings = ExecutionSettings(),
    start_at: StageName = FIRST_STAGE,
    stop_after: StageName = LAST_STAGE,
    scheduler: Address = "",
    local_workers: WorkerCount = 1,
) -> list[str]:
    """Process a list of acquisitions, as many at a time as the Dask cluster has threads.

    One that fails does not stop the others. What is finished is not computed again, so that the flow may be run once
    more over the same list after the cause of a failure is removed. An acquisition whose Dask worker dies is taken up by
    another one and goes on where it stopped. Workers of a cluster on other machines need this package, the folders
    under the same paths, and PREFECT_API_URL.

    Parameters
    ----------
    acquisitions
        What is processed; each needs a name of its own in its results root.
    parameters
        What changes the results.
    execution
        How the stages of each run; give it the cores of one acquisition's share.
    start_at
        First stage; those before must be complete on disk.
    stop_after
        Last stage.
    scheduler
        The cluster.
    local_workers
        Size of the cluster where none is given.

    Returns
    -------
    list of str
        Results folders, in the order of the acquisitions.

    Raises
    ------
    BacklogError
        When all have ended and some failed, with what each failed of; or before anything is started, when two
        acquisitions would share a results folder.
    """
    refuse_shared_folders(acquisitions)
    cluster: Any = spread.with_options(task_runner=dask_cluster(scheduler, local_workers))
    states = cluster(acquisitions, parameters, execution, start_at, stop_after)
    failed = {
        acquisition.name: _message(state)
        for acquisition, state in zip(acquisitions, states, strict=True)
        if not state.is_completed()
    }
    get_run_logger().info("%d of %d acquisitions are processed", len(states) - len(failed), len(states))
    if failed:
        told = "; ".join(f"{name}: {message}" for name, message in failed.items())
        raise BacklogError(
            f"{len(failed)} of {len(states)} acquisitions failed; run the list again when it is mended: {told}"
        )
    return [str(acquisition.folder) for acquisition in acquisitions]


@flow(name="spread-backlog")
def spread(
    acquisitions: list[Acquisition],
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    start_at: StageName,
    stop_after: StageName,
) -> list[Any]:
    """Submit every acquisition to the flow's task runner and wait; their final states, none of them raised.

    The flow is sent to the workers with its annotations, of which `State` cannot be pickled.
    """
    futures: list[PrefectFuture[str]] = [
        process_one.submit(acquisition, parameters, execution, start_at, stop_after)
        for acquisition in acquisitions
    ]
    for future in futures:
        future.wait()
    return [future.state for future in futures]


@task(name="process-one", task_run_name="{acquisition.name}")
def process_one(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    start_at: StageName,
    stop_after: StageName,
) -> str:
    """Run the parent flow on one acquisition, wherever this task has been sent; gives its results folder."""
    from flows.process_acquisition import process_acquisition

    process_acquisition(acquisition, parameters, execution, start_at, stop_after)
    return str(acquisition.folder)


def dask_cluster(scheduler: str, local_workers: int) -> Any:
    """A task runner on a cluster that is there, or on processes of this machine that end with the flow."""
    from prefect_dask import DaskTaskRunner

    if scheduler:
        return DaskTaskRunner(address=scheduler)
    # One thread a worker: an acquisition has a process, and its memory, to itself.
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": local_workers,
            "threads_per_worker": 1,
            "dashboard_address": None,
            "memory_limit": 0,
        }
    )


def refuse_shared_folders(acquisitions: list[Acquisition]) -> None:
    """Refuse a list in which two acquisitions have one results folder, where the second would replace the first.

    Raises
    ------
    BacklogError
        If there are any.
    """
    seen: dict[Path, Acquisition] = {}
    for acquisition in acquisitions:
        other = seen.setdefault(acquisition.folder, acquisition)
        if other is not acquisition:
            raise BacklogError(
                f"{other.source} and {acquisition.source} are both named {acquisition.name}, so that they would share the "
                f"results folder {acquisition.folder}; give each a name of its own"
            )


def _message(state: State[Any]) -> str:
    return (state.message or state.name or "unknown").strip().splitlines()[0]
