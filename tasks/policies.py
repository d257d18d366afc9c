"""How every stage is cached, retried, locked and named."""

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.tasks import exponential_backoff

from spherovem_core.errors import SpheroVemError
from spherovem_core.references import Acquisition
from tasks.locks import FileLocks
from tasks.plans import Stage, results_folder

P = ParamSpec("P")
R = TypeVar("R")

RETRIES = 3
NO_USE_RETRYING = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass
class DiskIsTruth(CachePolicy):
    """Caches a stage under its fingerprint; a record whose outputs are not complete on disk is forgotten."""

    stage: Stage | None = None

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        """Return ``<stage>-<digest>``; None, which switches caching off, where a record cannot be forgotten."""
        if self.stage is None:
            raise TypeError("the policy needs the stage it caches")
        plan = self.stage.plan(inputs)
        record = record_path(task_ctx.result_store, plan.key)
        if record is None:
            return None
        if record.exists() and plan.find() is None:
            record.unlink(missing_ok=True)
        return plan.key


def record_path(store: ResultStore, key: str) -> Path | None:
    """File in which Prefect keeps the record of a key; None when it keeps records elsewhere than in files."""
    storage = store.result_storage
    if not isinstance(storage, LocalFileSystem) or storage.basepath is None:
        return None
    return Path(storage.basepath).expanduser() / key


def stage_policy(stage: Stage) -> dict[str, Any]:
    """Arguments of ``@task`` that all stages share."""
    return {
        "name": stage.name,
        "version": str(stage.version),
        "task_run_name": _run_name(stage),
        "persist_result": True,
        "result_serializer": "json",
        "cache_result_in_memory": False,
        "cache_policy": DiskIsTruth(stage=stage),
        **retry_policy(),
    }


def retry_policy() -> dict[str, Any]:
    """Arguments of ``@task`` that say when a failed one is tried again."""
    return {
        "retries": RETRIES,
        "retry_delay_seconds": exponential_backoff(backoff_factor=5),
        "retry_jitter_factor": 0.5,
        "retry_condition_fn": may_pass_next_time,
    }


def bound(task: Task[P, R], acquisition: Acquisition) -> Task[P, R]:
    """Keep a stage's records and locks beside the acquisition's results.

    Records hold absolute paths, so they go to a folder named by the place: results that were moved or copied
    have no records there and are found on disk. The locks stay where the results are.
    """
    records = _scratch(acquisition) / "records"
    place = hashlib.sha256(str(acquisition.folder.absolute()).encode()).hexdigest()[:16]
    if not isinstance(task.cache_policy, DiskIsTruth):
        raise TypeError(f"task {task.name} has no stage policy")
    return task.with_options(
        result_storage=records / place,
        cache_policy=task.cache_policy.configure(
            lock_manager=acquisition_locks(acquisition), isolation_level="SERIALIZABLE"
        ),
    )


def acquisition_locks(acquisition: Acquisition) -> FileLocks:
    """Locks beside the acquisition's results."""
    return FileLocks(_scratch(acquisition) / "locks")


def may_pass_next_time(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed stage is worth another try: trouble with disk or memory is, bad input is not."""
    error = state.data
    if isinstance(error, SpheroVemError) or not isinstance(error, Exception):
        return False
    if isinstance(error, OSError):
        return not isinstance(error, NO_USE_RETRYING) and error.errno not in DISK_REFUSES
    return isinstance(error, MemoryError) or is_device_out_of_memory(error)


def is_device_out_of_memory(error: BaseException) -> bool:
    """Whether torch or CuPy ran out of device memory, told without importing either."""
    return any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)


def _run_name(stage: Stage) -> Callable[[dict[str, Any]], str]:
    """Name task runs after stage, kind and acquisition, such as ``predict_flows cells of spheroid 3``."""

    def name(parameters: dict[str, Any]) -> str:
        return f"{stage.title(parameters)} of {results_folder(parameters).name}"

    return name


def _scratch(acquisition: Acquisition) -> Path:
    from spherovem_core.store import Layout

    return Layout(acquisition.folder.absolute()).scratch
