"""Checks before the first step: source, networks, models, device and results folder."""

from collections.abc import Sequence
from typing import Any

from flows.finished_steps import OWN_DATA
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest, crop_acquisition
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName, stages_between
from spherovem_core.store.format import check_format, mark_format
from spherovem_core.store.layout import Layout
from spherovem_core.workflow import RunRequest, Step
from spherovem_core.workflow.demand import External
from spherovem_core.workflow.replacements import check_results
from tasks.devices import check_device

"""Digests of the inputs of each step outside the results folder, by the name of the step."""


def check_before_start(request: RunRequest, steps: Sequence[Step[Any]], device: str) -> External:
    """Check source, networks, device and results folder, in this order, so that a bad source makes no folder.

    Parameters
    ----------
    steps
        Steps of the run; what only others read is not looked at.
    device
        The setting.

    Returns
    -------
    mapping
        Digests of what each of the steps reads outside the results folder.

    Raises
    ------
    SpheroVemError
        The first thing that would stop the run later.
    """
    if steps[0].stage != FIRST_STAGE and not request.acquisition.folder.is_dir():
        raise IncompleteArtifactError(
            f"{request.acquisition.folder} does not exist, so no earlier stage is complete; start at {FIRST_STAGE}"
            f"{OWN_DATA}"
        )
    if steps[0].stage != FIRST_STAGE:
        _check_source(request)
    external = {step.name: step.external(request) for step in steps}
    check_device(device)
    layout = Layout(request.acquisition.folder)
    layout.ensure_writable()
    mark_format(layout)
    for step in steps:
        if step.check is not None:
            step.check(request, external[step.name])
    return external


def _check_source(request: RunRequest) -> None:
    """Refuse to continue the results of another acquisition; a source that is no longer there is not needed."""
    from spherovem_core.ingest.source_files import source_exists
    from spherovem_core.steps.source_owner import check_owner

    if source_exists(request.acquisition.source):
        check_owner(request.acquisition)


def check_run(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    start_at: StageName = FIRST_STAGE,
    stop_after: StageName = LAST_STAGE,
    roi: RegionOfInterest = WHOLE,
) -> External:
    """Check a run of the parent flow before Prefect starts; takes the arguments of the flow.

    Returns
    -------
    mapping
        As `check_before_start`.

    Raises
    ------
    SpheroVemError
        The first thing that would stop the run later.
    """
    from spherovem_core.registry import pipeline_for

    request = RunRequest(crop_acquisition(acquisition, roi), parameters, roi)
    check_format(request.acquisition.folder)
    pipeline = pipeline_for(parameters)
    check_results(pipeline, Layout(request.acquisition.folder.absolute()))
    steps = pipeline.of_stages(stages_between(start_at, stop_after))
    return check_before_start(request, steps, execution.device)
