"""Steps whose discarded arrays a run computes again, because it computes something from them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import ArtifactRef
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.stages import LAST_STAGE, StageName
from spherovem_core.store import Layout
from spherovem_core.store.discarded import DiscardedArray
from spherovem_core.workflow import Pipeline, RunRequest, Step, StepPlan, plan_step
from spherovem_core.workflow.demand import (
    External,
    find_demand,
    lazy_arrays,
    request_arrays,
    withdraw_requests,
)
from spherovem_core.workflow.replacements import refuse_replacements

logger = logging.getLogger(__name__)


def discards(execution: ExecutionSettings, stop_after: StageName, roi: RegionOfInterest) -> bool:
    """Return whether a run discards arrays that nothing needs any more.

    One that stops early or sees a region only does not: it is there to try parameters, and the next trial may read them.
    """
    return execution.storage == "lean" and stop_after == LAST_STAGE and roi.is_whole


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
    demand = find_demand(pipeline, request, steps, external, taken)
    names = {step.name for step in steps}
    again = tuple(step for step in pipeline.steps if step.name in demand.wanted and step.name not in names)
    more = {step.name: step.external(request) for step in again}
    for step in again:
        _check_same(pipeline, request, step, more[step.name], taken, demand.wanted[step.name])
    chosen = [step for step in pipeline.steps if step in again or step in steps]
    refuse_replacements(pipeline, chosen, request, {**external, **more}, taken, computed_again=demand.wanted)
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
