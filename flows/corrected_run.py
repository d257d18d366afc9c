"""A run that applies corrections by hand to labels and computes what follows from them."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import ArtifactRef
from spherovem_core.stages import LAST_STAGE, StageName
from spherovem_core.store import Layout
from spherovem_core.store.layout import CorrectedKind

if TYPE_CHECKING:
    from spherovem_core.corrections import Draft

FIRST_CORRECTED: StageName = "segmentation"


def run_after_corrections(
    layout: Layout,
    kind: CorrectedKind,
    execution: ExecutionSettings,
    *,
    measure: bool = True,
    without_prefect: bool = False,
) -> dict[str, ArtifactRef]:
    """Run the steps from the labels on, with the parameters of the results on disk. The output of networks is taken as it is.

    Parameters
    ----------
    measure
        Compute the tables and the report as well.
    without_prefect
        As in `run_pipeline`.

    Raises
    ------
    IncompleteArtifactError
        If the results are to be measured and were never finished.
    """
    from flows.pipeline import run_pipeline
    from spherovem_core.registry import pipeline_of_results
    from spherovem_core.steps.recorded import recorded_acquisition, recorded_parameters
    from spherovem_core.workflow.artifacts import find_newest

    check_correctable(layout, measure=measure)
    pipeline = pipeline_of_results(layout.folder)
    step = next(step for step in pipeline.steps if step.journal == kind)
    stop_after: StageName = LAST_STAGE if measure else step.stage
    flows = [
        own
        for own in pipeline.steps
        if own.stage == FIRST_CORRECTED and own.journal is None and find_newest(layout, own.outputs)
    ]
    return run_pipeline(
        recorded_acquisition(layout),
        recorded_parameters(layout, pipeline),
        execution,
        start_at=FIRST_CORRECTED,
        stop_after=stop_after,
        pipeline=pipeline,
        taken=[own.name for own in flows],
        without_prefect=without_prefect,
    )


def names_of_run(source: str = "") -> "Callable[[Draft], str]":
    """Return the function that names the edits of this flow run, the same when it is retried; outside a run, no names.

    Parameters
    ----------
    source
        Where they come from, if a run has edits of several sources.
    """
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return lambda draft: ""
    run = str(context.flow_run.id)
    return lambda draft: hashlib.sha256(f"{run} {source}{draft.line}".encode()).hexdigest()[:12]


def check_correctable(layout: Layout, *, measure: bool) -> None:
    """Refuse a run after corrections that could not go on, before the journal is written.

    Raises
    ------
    IncompleteArtifactError
        If the acquisition is to be measured and was never finished: nothing on disk says with which parameters.
    ChangedArtifactError
        If a result is not the one that was computed.
    """
    from spherovem_core.registry import pipeline_of_results
    from spherovem_core.workflow.replacements import check_results

    if measure and not layout.provenance.is_file():
        raise IncompleteArtifactError(
            f"{layout.folder} was never processed to the end; process the acquisition, which applies its corrections as well, "
            "or give --no-measure to correct the labels alone"
        )
    check_results(pipeline_of_results(layout.folder), layout)
