"""Flow process-backlog: many acquisitions in parallel on the workers of a Dask cluster."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from pydantic import Field

from flows.failures import with_remedy_first
from spherovem_core.errors import SpheroVemError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName
from spherovem_core.urls import shown

Address = Annotated[
    str,
    Field(
        pattern=r"^([a-z]+://.+)?$",
        description="Address of a Dask scheduler, such as tcp://head:8786; if empty, workers start on this machine.",
    ),
]
WorkerCount = Annotated[
    int,
    Field(
        ge=1,
        le=1024,
        description="Workers to start if no scheduler is given: acquisitions processed in parallel.",
    ),
]


class BacklogError(SpheroVemError, RuntimeError):
    """Failure of some acquisitions of a backlog."""


@flow(name="process-backlog")
@with_remedy_first
def process_backlog(
    acquisitions: list[Acquisition],
    parameters: PipelineParameters = PipelineParameters(),
    execution: ExecutionSettings = ExecutionSettings(),
    start_at: StageName = FIRST_STAGE,
    stop_after: StageName = LAST_STAGE,
    scheduler: Address = "",
    local_workers: WorkerCount = 1,
) -> list[str]:
    """Process a list of acquisitions, as many in parallel as the Dask cluster has threads.

    A failed acquisition does not stop the others. Finished stages are not computed again: after the cause of a failure is
    removed, run the flow again on the same list. If a Dask worker dies, another one continues its acquisition where it
    stopped. Workers on other machines need this package, the same paths of the folders, and PREFECT_API_URL.

    Parameters
    ----------
    acquisitions
        Acquisitions to process; each needs a different results folder.
    parameters
        Parameters of all acquisitions.
    execution
        Execution settings of each acquisition; give it the cores of one Dask thread.
    start_at
        First stage; earlier stages must be complete on disk.
    stop_after
        Last stage.
    scheduler
        Address of the cluster.
    local_workers
        Number of workers on this machine if there is no scheduler.

    Returns
    -------
    list of str
        Results folders, in the order of the acquisitions.

    Raises
    ------
    BacklogError
        If some acquisitions failed, raised when all have ended, with the message of each; or before anything starts, if two
        acquisitions have the same results folder.
    """
    from flows.defaults import merge_with_deployment

    refuse_shared_results_folders(acquisitions)
    parameters = merge_with_deployment("parameters", parameters)
    execution = merge_with_deployment("execution", execution)
    cluster: Any = submit_all.with_options(task_runner=dask_cluster(scheduler, local_workers))
    states = cluster(acquisitions, parameters, execution, start_at, stop_after)
    failed = {
        acquisition.name: _message(state)
        for acquisition, state in zip(acquisitions, states, strict=True)
        if not state.is_completed()
    }
    get_run_logger().info("%d of %d acquisitions are processed", len(states) - len(failed), len(states))
    if failed:
        messages = "; ".join(f"{name}: {message}" for name, message in failed.items())
        raise BacklogError(
            f"{len(failed)} of {len(states)} acquisitions failed; remove the cause and run the list again: {messages}"
        )
    return [str(acquisition.folder) for acquisition in acquisitions]


@flow(name="spread-backlog")
def submit_all(
    acquisitions: list[Acquisition],
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    start_at: StageName,
    stop_after: StageName,
) -> list[Any]:
    """Submit every acquisition to the flow's task runner, wait, and return the final states without raising.

    The return type is not `State`: the flow is sent to the workers with its annotations, and `State` cannot be pickled.
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
    """Run the parent flow on one acquisition and return its results folder."""
    from flows.process_acquisition import process_acquisition

    process_acquisition(acquisition, parameters, execution, start_at, stop_after)
    return str(acquisition.folder)


def dask_cluster(scheduler: str, local_workers: int) -> Any:
    """Make a task runner on a cluster, or on processes of this machine that end with the flow."""
    from prefect_dask import DaskTaskRunner

    if scheduler:
        return DaskTaskRunner(address=scheduler)
    # One thread per worker: an acquisition has a process and its memory to itself.
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": local_workers,
            "threads_per_worker": 1,
            # None would mean port 8787 on every interface.
            "dashboard_address": "127.0.0.1:0",
            "memory_limit": 0,
        }
    )


def refuse_shared_results_folders(acquisitions: list[Acquisition]) -> None:
    """Refuse two acquisitions with the same results folder, where the second would replace the first.

    Raises
    ------
    BacklogError
        If two acquisitions share a results folder.
    """
    seen: dict[Path, Acquisition] = {}
    for acquisition in acquisitions:
        other = seen.setdefault(acquisition.folder, acquisition)
        if other is not acquisition:
            raise BacklogError(
                f"{shown(other.source)} and {shown(acquisition.source)} are both named {acquisition.name} and would share the "
                f"results folder {acquisition.folder}; give them different names"
            )


def _message(state: State[Any]) -> str:
    return (state.message or state.name or "unknown").strip().splitlines()[0]
