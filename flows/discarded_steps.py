"""Steps whose discarded arrays a run computes again, because it computes something from them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import ArtifactRef
from spherovem_core.region_of_interest import split_region
from spherovem_core.stages import LAST_STAGE, StageName
from spherovem_core.store import Layout
from spherovem_core.store.discarded import DiscardedArray
from spherovem_core.workflow import Pipeline, RunRequest, Step, StepPlan, plan_step
from spherovem_core.workflow.demand import (
    Demand,
    External,
    find_demand,
    lazy_arrays,
    request_arrays,
    withdraw_requests,
)
from spherovem_core.workflow.replacements import refuse_replacements
from tasks.locks import acquisition_locks

logger = logging.getLogger(__name__)


def discards(execution: ExecutionSettings, stop_after: StageName, request: RunRequest) -> bool:
    """Return whether a run discards arrays that nothing needs any more.

    One that stops early or sees a region only does not: it is there to try parameters, and the next trial may read them.
    """
    # A run after corrections knows a region by its results folder alone.
    is_whole = request.region.is_whole and split_region(request.acquisition.name)[1].is_whole
    return execution.storage == "lean" and stop_after == LAST_STAGE and is_whole


@contextmanager
def asking_for_discarded(
    pipeline: Pipeline,
    request: RunRequest,
    steps: Sequence[Step[Any]],
    external: External,
    taken: Mapping[str, ArtifactRef],
) -> Iterator[tuple[tuple[Step[Any], ...], External]]:
    """Ask for the discarded arrays from which a run computes something; nothing is asked for if an error leaves the context.

    A run that would replace what a person made is refused before.

    Yields
    ------
    tuple of Step
        Steps before those of the run that have to be computed again.
    mapping
        Digests of what these read outside the results folder.

    Raises
    ------
    IncompleteArtifactError
        If an array cannot be computed again with the parameters of this run.
    ChangedArtifactError
        As `refuse_replacements`.
    """
    layout = Layout(request.acquisition.folder.absolute())
    demand, more = checked_demand(pipeline, request, steps, external, taken)
    again = tuple(step for step in pipeline.steps if step.name in more)
    try:
        request_arrays(layout, demand.wanted)
        yield again, more
    except BaseException:
        withdraw_requests(layout, pipeline)
        raise
    for name, arrays in demand.wanted.items():
        groups = ", ".join(dict.fromkeys(found.group for found in arrays))
        logger.info(
            "%s: computed again, because this run computes from %s", pipeline.step(name).title, groups
        )


def checked_demand(
    pipeline: Pipeline,
    request: RunRequest,
    steps: Sequence[Step[Any]],
    external: External,
    taken: Mapping[str, ArtifactRef],
) -> tuple[Demand, External]:
    """Find what a run has to compute, and refuse it if it cannot, or would replace what a person made.

    Returns
    -------
    Demand
    mapping
        Digests of what the steps read outside the results folder that are computed again and lie before those of the run.

    Raises
    ------
    IncompleteArtifactError, ChangedArtifactError
        As `asking_for_discarded`.
    """
    demand = find_demand(pipeline, request, steps, external, taken)
    names = {step.name for step in steps}
    again = tuple(step for step in pipeline.steps if step.name in demand.wanted and step.name not in names)
    more = {step.name: step.external(request) for step in again}
    for step in again:
        _check_same(pipeline, request, step, more[step.name], taken, demand.wanted[step.name])
    chosen = [step for step in pipeline.steps if step in again or step in steps]
    refuse_replacements(pipeline, chosen, request, {**external, **more}, taken, computed_again=demand.wanted)
    return demand, more


def plans_of_lazy_inputs(
    pipeline: Pipeline,
    request: RunRequest,
    step: Step[Any],
    external: External,
    done: Mapping[str, ArtifactRef],
) -> list[StepPlan[Any]]:
    """Ask for the discarded inputs that a step reads after all, and plan the steps that write them.

    Raises
    ------
    IncompleteArtifactError
        If an array cannot be computed again with the parameters of this run.
    """
    layout = Layout(request.acquisition.folder.absolute())
    wanted = lazy_arrays(layout, pipeline, step)
    plans = []
    for name, arrays in wanted.items():
        producer = pipeline.step(name)
        own = external.get(name) or producer.external(request)
        plans.append(_check_same(pipeline, request, producer, own, done, arrays))
        logger.info("%s: computed again, because %s reads it", producer.title, step.title)
    request_arrays(layout, wanted)
    return plans


def withdraw_left_requests(pipeline: Pipeline, request: RunRequest) -> None:
    """Withdraw what a killed run asked for, unless a run is going on; one that only looks ahead would take it for missing."""
    locks, holder = acquisition_locks(request.acquisition), uuid4().hex
    if not locks.acquire_lock("acquisition", holder, acquire_timeout=0.0):
        return
    try:
        withdraw_requests(Layout(request.acquisition.folder.absolute()), pipeline)
    finally:
        locks.release_lock("acquisition", holder)


def _check_same(
    pipeline: Pipeline,
    request: RunRequest,
    step: Step[Any],
    external: Mapping[str, str],
    done: Mapping[str, ArtifactRef],
    arrays: Sequence[DiscardedArray],
) -> StepPlan[Any]:
    """Make sure that a step would compute the arrays that were discarded, and that it can; return its plan."""
    plan = plan_step(pipeline, step, request, external, done)
    for found in arrays:
        if found.own_digest != plan.digest:
            raise IncompleteArtifactError(
                f"{plan.layout.volume / found.group} was discarded when all that is computed from it was complete (storage: "
                "lean), and this run computes from it. It was made with other parameters or another network than those of this "
                f"run: give those, or start at {step.stage}"
            )
    if step.check is not None:
        step.check(request, external)
    return plan
