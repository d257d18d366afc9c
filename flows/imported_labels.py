"""A run that takes the labels of another program as the segmentation of one kind of object."""

from typing import Any

from spherovem_core.execution import ExecutionSettings
from spherovem_core.overrides import merge
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import ArtifactRef
from spherovem_core.stages import LAST_STAGE, StageName
from spherovem_core.store import Layout
from spherovem_core.store.layout import CorrectedKind


def run_with_imported_labels(
    layout: Layout, kind: CorrectedKind, file: str, execution: ExecutionSettings, *, measure: bool = True
) -> dict[str, ArtifactRef]:
    """Run the steps from the labels on, with the parameters of the results on disk, but with the labels of a file.

    Its numbers stay. The network's output of this kind of object is dropped; that of the others is taken as it is. Corrections in
    the journal are applied to the new labels.

    Raises
    ------
    IncompleteArtifactError
        If the results are to be measured and were never finished.
    LabelsError
        If the file is no labels or does not fit the volume.
    """
    from flows.corrected_run import check_correctable
    from flows.pipeline import run_pipeline
    from spherovem_core.registry import pipeline_of_results
    from spherovem_core.steps.recorded import recorded_acquisition, recorded_parameters
    from spherovem_core.workflow.artifacts import find_newest

    check_correctable(layout, measure=measure)
    pipeline = pipeline_of_results(layout.folder)
    step = next(step for step in pipeline.steps if step.journal == kind)
    kept = [
        own
        for own in pipeline.steps
        if own.stage == step.stage
        and own.kind != kind
        and own.journal is None
        and find_newest(layout, own.outputs)
    ]
    stop_after: StageName = LAST_STAGE if measure else step.stage
    parameters = merge(recorded_parameters(layout, pipeline).model_dump(mode="json"), imported(kind, file))
    return run_pipeline(
        recorded_acquisition(layout),
        PipelineParameters.model_validate(parameters),
        execution,
        start_at=step.stage,
        stop_after=stop_after,
        pipeline=pipeline,
        taken=[own.name for own in kept],
    )


def imported(kind: CorrectedKind, file: str) -> dict[str, Any]:
    """Return the parameters that take the labels of a file."""
    if kind == "nanoparticles":
        return {"nanoparticles": {"method": "imported", "labels": file}}
    return {"segmentation": {kind: {"segmenter": "imported", "network": file}}}
