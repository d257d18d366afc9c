"""Cache, retries, locks and names of the steps' tasks."""

import hashlib
from collections.abc import Callable, Mapping
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

from spherovem_core.references import Acquisition
from spherovem_core.workflow.plan import StepPlan
from tasks.locks import acquisition_locks
from tasks.retries import FIRST_DELAY_S, JITTER, RETRIES, may_pass

P = ParamSpec("P")
R = TypeVar("R")

PlanOf = Callable[[Mapping[str, Any]], StepPlan[Any]]
"""Function that makes the plan of a step from the arguments of its task."""


@dataclass
class DiskCachePolicy(CachePolicy):
    """Caches a step under its digest; a record whose outputs are not complete on disk is forgotten."""

    plan_of: PlanOf | None = None

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        """Return ``<step>-<digest>``; None, which switches caching off, where a record cannot be forgotten.

        The digest is the one under which others read the result: a record from before the adoption of a change is another's.
        """
        if self.plan_of is None:
            raise TypeError("the cache policy got no plan of a step; make the task with step_policy")
        plan = self.plan_of(inputs)
        record = record_path(task_ctx.result_store, plan.key)
        if record is None:
            return None
        finished = plan.find()
        if finished is not None:
            return f"{plan.step.name}-{finished.digest}"
        record.unlink(missing_ok=True)
        return plan.key


def record_path(store: ResultStore, key: str) -> Path | None:
    """Return the file in which Prefect keeps the record of a key; None when it keeps records elsewhere than in files."""
    storage = store.result_storage
    if not isinstance(storage, LocalFileSystem) or storage.basepath is None:
        return None
    return Path(storage.basepath).expanduser() / key


def step_policy(name: str, version: int, plan_of: PlanOf) -> dict[str, Any]:
    """Return the arguments of ``@task`` that all steps share."""

    # Prefect passes the task's arguments under this name.
    def run_name(parameters: dict[str, Any]) -> str:
        plan = plan_of(parameters)
        return f"{plan.step.title} of {plan.folder.name}"

    return {
        "name": name,
        "version": str(version),
        "task_run_name": run_name,
        "persist_result": True,
        "result_serializer": "json",
        "cache_result_in_memory": False,
        "cache_policy": DiskCachePolicy(plan_of=plan_of),
        **retry_policy(),
    }


def retry_policy() -> dict[str, Any]:
    """Return the arguments of ``@task`` that set the retries of a failed task."""
    return {
        "retries": RETRIES,
        "retry_delay_seconds": exponential_backoff(backoff_factor=FIRST_DELAY_S),
        "retry_jitter_factor": JITTER,
        "retry_condition_fn": is_transient,
    }


def with_local_records(task: Task[P, R], acquisition: Acquisition) -> Task[P, R]:
    """Keep a step's records and locks beside the acquisition's results.

    Records hold absolute paths, so they go to a folder named by the place: results that were moved or copied
    have no records there and are found on disk. The locks stay where the results are.
    """
    records = _scratch(acquisition) / "records"
    place = hashlib.sha256(str(acquisition.folder.absolute()).encode()).hexdigest()[:16]
    if not isinstance(task.cache_policy, DiskCachePolicy):
        raise TypeError(f"task {task.name} has no policy of a step")
    return task.with_options(
        result_storage=records / place,
        cache_policy=task.cache_policy.configure(
            lock_manager=acquisition_locks(acquisition), isolation_level="SERIALIZABLE"
        ),
    )


def is_transient(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Return whether a retry of a failed step may succeed: after a fault of disk or memory, not after bad input."""
    return may_pass(state.data)


def _scratch(acquisition: Acquisition) -> Path:
    from spherovem_core.store import Layout

    return Layout(acquisition.folder.absolute()).scratch
