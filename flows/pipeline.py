"""A run from its first check to its summary."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from flows.discarded_steps import asking_for_discarded, discards, plans_of_lazy_inputs
from flows.finished_steps import take_finished
from flows.forecast import show_forecast
from flows.preflight import check_before_start
from flows.replacements import announce_replacements
from flows.run_links import start_again
from flows.run_progress import RunProgress
from flows.summary import StepRecord, show_summary
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest, crop_acquisition
from spherovem_core.registry import PIPELINE
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, STAGE_NAMES, StageName, stages_between
from spherovem_core.steps.left_out import discard_leftovers, discard_unneeded
from spherovem_core.store.format import check_format
from spherovem_core.store.layout import Layout
from spherovem_core.workflow import Pipeline, RunRequest, StepPlan, plan_step
from spherovem_core.workflow.demand import withdraw_requests
from spherovem_core.workflow.replacements import check_results
from tasks.locks import acquisition_locks


def run_pipeline(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    start_at: StageName = FIRST_STAGE,
    stop_after: StageName = LAST_STAGE,
    roi: RegionOfInterest = WHOLE,
    pipeline: Pipeline = PIPELINE,
    taken: Collection[str] = (),
    *,
    without_prefect: bool = False,
) -> dict[str, ArtifactRef]:
    """Run the steps of the stages from one to another, one after another.

    Parameters
    ----------
    taken
        Names of steps of these stages that are taken from disk like those of earlier stages.
    without_prefect
        Run the steps in this process, with the same locks and retries, and without a server that sees them.

    Returns
    -------
    dict
        Main output of each step by its name, those of earlier stages included.
    """
    chosen = pipeline.of_stages(stages_between(start_at, stop_after))
    steps = tuple(step for step in chosen if step.name not in taken)
    before = pipeline.of_stages(STAGE_NAMES[: STAGE_NAMES.index(start_at)])
    earlier = (*before, *(step for step in chosen if step.name in taken))
    request = RunRequest(crop_acquisition(acquisition, roi), parameters, roi)
    folder = request.acquisition.folder
    check_format(folder)
    external = check_before_start(request, steps, execution.device)
    layout = Layout(folder.absolute())
    with one_run_at_a_time(request.acquisition):
        check_results(pipeline, layout)
        withdraw_requests(layout, pipeline)
        done = take_finished(pipeline, earlier, request, start_at)
        with asking_for_discarded(pipeline, request, steps, external, done) as (again, more):
            steps = tuple(step for step in pipeline.steps if step in again or step in steps)
            external = {**external, **more}
            forecast = show_forecast(pipeline, request, steps, external, done, execution)
            announce_replacements(pipeline, request, steps, external, done)
        records = [
            StepRecord(step.title, "on disk", 0.0, done[step.name].path)
            for step in earlier
            if step not in steps
        ]
        progress = RunProgress(request.acquisition.name, forecast, layout.expected_end)
        for step in steps:
            progress.begin(step.title)
            plan = plan_step(pipeline, step, request, external[step.name], done)
            finished, start = plan.find() is not None, time.monotonic()
            run = partial(_run_step, execution=execution, without_prefect=without_prefect)
            reference = run(plan)
            if reference is None:
                # Prefect's record may be that of a killed run which first had to compute an input again.
                reference = plan.find()
            if reference is None:
                # It reads an input that was discarded.
                for lazy in plans_of_lazy_inputs(pipeline, request, step, external, done):
                    run(lazy)
                reference = run(plan)
            if reference is None:
                raise IncompleteArtifactError(f"{step.title} reads an input that cannot be computed again")
            done[step.name] = reference
            outcome, seconds = "cached" if finished else "computed", time.monotonic() - start
            progress.end(step.title, seconds)
            records.append(StepRecord(step.title, outcome, seconds, done[step.name].path))
            if discards(execution, stop_after, request):
                discard_unneeded(pipeline, layout, parameters, done)
        discard_leftovers(pipeline, layout, done)
        show_summary(folder, records, start_again(acquisition, parameters, roi))
        return done


def _run_step(
    plan: StepPlan[Any], execution: ExecutionSettings, *, without_prefect: bool
) -> ArtifactRef | None:
    if without_prefect:
        from tasks.running import run_step_without_prefect

        return run_step_without_prefect(plan, execution)
    from tasks.policies import with_local_records
    from tasks.steps import arguments_of, step_task

    task = with_local_records(step_task(plan.step.name, plan.pipeline), plan.acquisition)
    reference: ArtifactRef | None = task(**arguments_of(plan, execution))
    return reference


@contextmanager
def one_run_at_a_time(acquisition: Acquisition) -> Iterator[None]:
    """Hold the acquisition: a run with other parameters would replace arrays that this one is reading."""
    locks, holder = acquisition_locks(acquisition), uuid4().hex
    locks.acquire_lock("acquisition", holder)
    try:
        yield
    finally:
        locks.release_lock("acquisition", holder)
