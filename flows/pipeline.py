"""A run from its first check to its summary."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from flows.finished_steps import take_earlier
from flows.forecast import announce
from flows.preflight import check_before_start
from flows.steps import STEPS, RunInputs, Step
from flows.summary import StepRecord, show_summary
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest, crop_acquisition
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, STAGE_NAMES, StageName, stages_between
from tasks.policies import acquisition_locks, bound


def run_pipeline(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    start_at: StageName = FIRST_STAGE,
    stop_after: StageName = LAST_STAGE,
    roi: RegionOfInterest = WHOLE,
) -> dict[str, ArtifactRef]:
    """Run the stages from one to another, one after another; returns the main output of each, earlier ones included."""
    stages = stages_between(start_at, stop_after)
    acquisition = crop_acquisition(acquisition, roi)
    found = check_before_start(acquisition, parameters, execution, stages)
    run = RunInputs(acquisition, found, parameters, execution, roi)
    earlier = [step for step in STEPS if step.name in STAGE_NAMES[: STAGE_NAMES.index(start_at)]]
    with one_run_at_a_time(acquisition):
        done = take_earlier(earlier, run, start_at)
        announce(run, stages, done)
        records = [StepRecord(_title(step), "on disk", 0.0, done[step.key].path) for step in earlier]
        for step in STEPS:
            if step.name in stages:
                done[step.key], record = _run_step(step, run, done)
                records.append(record)
        show_summary(acquisition.folder, records)
        return done


def _run_step(step: Step, run: RunInputs, done: dict[str, ArtifactRef]) -> tuple[ArtifactRef, StepRecord]:
    finished = step.plan(run, done).find() is not None
    start = time.monotonic()
    reference = bound(step.task, run.acquisition)(**step.arguments(run, done))
    outcome = "cached" if finished else "computed"
    return reference, StepRecord(_title(step), outcome, time.monotonic() - start, reference.path)


def _title(step: Step) -> str:
    return step.stage.title({"kind": step.kind} if step.kind else {})


@contextmanager
def one_run_at_a_time(acquisition: Acquisition) -> Iterator[None]:
    """Hold the acquisition: a run with other parameters would replace arrays that this one is reading."""
    locks, holder = acquisition_locks(acquisition), uuid4().hex
    locks.acquire_lock("acquisition", holder)
    try:
        yield
    finally:
        locks.release_lock("acquisition", holder)
