"""Finished steps: those that a run takes over from disk when it starts at a later stage, and runs with nothing to compute."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.region_of_interest import RegionOfInterest, crop_acquisition
from spherovem_core.stages import STAGE_NAMES, StageName, stages_between
from spherovem_core.store import Layout
from spherovem_core.workflow import Pipeline, RunRequest, Step, plan_step
from spherovem_core.workflow.artifacts import artifact_history, find_newest, replaced_source, stored_digest
from spherovem_core.workflow.step import JOURNAL
from tasks.locks import acquisition_locks

OWN_DATA = (
    "; if SOURCE is aligned already, say so: --already aligned, or the parameter registration.model none"
)
logger = logging.getLogger(__name__)


def take_finished(
    pipeline: Pipeline, steps: Sequence[Step[Any]], request: RunRequest, start_at: StageName
) -> dict[str, ArtifactRef]:
    """Take the outputs of earlier steps as they lie on disk, also if they were made with other parameters.

    Raises
    ------
    IncompleteArtifactError
        If one is not complete, or two do not belong together.
    ChangedArtifactError
        If one is not the one that was computed.
    """
    layout = Layout(request.acquisition.folder.absolute())
    taken: dict[str, ArtifactRef] = {}
    missing: list[Step[Any]] = []
    for step in steps:
        found = find_newest(layout, step.outputs)
        if found is None:
            missing.append(step)
        else:
            taken[step.name] = found
    if missing:
        names = ", ".join(step.main_output.path for step in missing)
        raise IncompleteArtifactError(
            f"{layout.folder}: a run that starts at {start_at} needs {names}, not there or unfinished; "
            f"start at {missing[0].stage}{OWN_DATA}"
        )
    for step in steps:
        _check_descent(pipeline, step, request, taken, layout)
    return taken


def _check_journal(step: Step[Any], layout: Layout, external: Mapping[str, str]) -> None:
    """Refuse labels that do not hold the present corrections."""
    if step.journal is None:
        return
    from spherovem_core.corrections import Journal

    journal = Journal(layout.journal(step.journal))
    if journal.label_digest != external.get(JOURNAL, ""):
        raise IncompleteArtifactError(
            f"{journal.path} holds corrections that {layout.path(step.main_output.path)} does not; start at {step.stage} to "
            "apply them"
        )


def _check_descent(
    pipeline: Pipeline,
    step: Step[Any],
    request: RunRequest,
    taken: dict[str, ArtifactRef],
    layout: Layout,
) -> None:
    """Refuse an output whose inputs have been replaced since; warn of one made with other parameters.

    A run that starts later does not look at the source or at networks: they are taken to be those of the output.
    """
    history, found = artifact_history(layout, step.main_output), taken[step.name]
    entry = [each for each in history if each["step"] == step.name][-1]
    plan = plan_step(pipeline, step, request, entry["external"], taken)
    if tuple(entry["inputs"]) != plan.input_digests or replaced_source(layout, step.outputs):
        raise IncompleteArtifactError(
            f"{found.location} was made from inputs that have been replaced since; start at {step.stage}"
        )
    _check_journal(step, layout, entry["external"])
    if plan.digest != stored_digest(layout, step.main_output):
        logger.warning(
            "%s: taken as it is, although it was made with other parameters than those of this run",
            step.title,
        )


def is_finished(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    external: Mapping[str, Mapping[str, str]],
    start_at: StageName,
    stop_after: StageName,
    roi: RegionOfInterest,
) -> bool:
    """Return whether a run has nothing to compute: all its steps are complete on disk, and no other run is changing them.

    If so, it leaves the results as the run would: with ``storage: lean`` without the arrays that nothing needs any more.

    Parameters
    ----------
    external
        Digests of what each step reads outside the results folder, from `flows.preflight.check_run`. The others are the
        arguments of the parent flow.

    Raises
    ------
    IncompleteArtifactError, ChangedArtifactError
        As `take_finished`.
    """
    from flows.discarded_steps import discards
    from spherovem_core.forecast import steps_to_compute
    from spherovem_core.registry import pipeline_for
    from spherovem_core.steps.left_out import discard_leftovers, discard_unneeded
    from spherovem_core.workflow.demand import withdraw_requests

    request = RunRequest(crop_acquisition(acquisition, roi), parameters, roi)
    if not request.acquisition.folder.is_dir():
        return False
    pipeline = pipeline_for(parameters)
    before = pipeline.of_stages(STAGE_NAMES[: STAGE_NAMES.index(start_at)])
    steps = pipeline.of_stages(stages_between(start_at, stop_after))
    locks, holder = acquisition_locks(request.acquisition), uuid4().hex
    if not locks.acquire_lock("acquisition", holder, acquire_timeout=0.0):
        return False
    try:
        layout = Layout(request.acquisition.folder.absolute())
        withdraw_requests(layout, pipeline)
        taken = take_finished(pipeline, before, request, start_at)
        if steps_to_compute(pipeline, request, steps, external, taken):
            return False
        names = {step.name for step in (*before, *steps)}
        if discards(execution, stop_after, request):
            discard_unneeded(pipeline, layout, parameters, names)
        else:
            discard_leftovers(pipeline, layout, names)
        return True
    finally:
        locks.release_lock("acquisition", holder)
