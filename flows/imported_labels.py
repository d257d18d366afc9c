"""Labels of another program: as corrections of an acquisition, or as the segmentation of one kind of object."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from flows.import_parameters import ImportParameters
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.overrides import merge
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import ArtifactRef
from spherovem_core.stages import LAST_STAGE, StageName
from spherovem_core.store import Layout
from spherovem_core.store.layout import CorrectedKind

if TYPE_CHECKING:
    from spherovem_core.corrections.label_import import LabelImport

logger = logging.getLogger(__name__)


def compare_labels(
    layout: Layout, kind: CorrectedKind, given: ImportParameters, execution: ExecutionSettings
) -> "LabelImport":
    """Compare the labels of a file with the present ones, with progress; change nothing. See `plan_import`."""
    from spherovem_core.corrections.label_import import plan_import
    from tasks.progress import report_progress

    workers = execution.worker_count
    with report_progress("compare labels") as progress, ThreadPoolExecutor(workers) as executor:
        return plan_import(
            layout,
            kind,
            given.file,
            file_spacing_nm=given.file_spacing_nm,
            file_origin_nm=given.file_origin_nm,
            exact=given.exact,
            any_overlap=given.any_overlap,
            execution=Execution("cpu", executor, workers, None, progress),
        )


def import_as_corrections(
    layout: Layout,
    kind: CorrectedKind,
    given: ImportParameters,
    execution: ExecutionSettings,
    *,
    author: str,
    reason: str,
) -> None:
    """Add what differs between a file and the present labels to the journal, once for a run that is retried.

    Raises
    ------
    SpheroVemError
        As `plan_import` and `record_import`.
    """
    from flows.corrected_run import names_of_run
    from spherovem_core.corrections import Draft, Journal, Undo
    from spherovem_core.corrections.label_import import record_import
    from tasks.artifacts import show_figures

    name_of = names_of_run("import ")
    # Any operation: the name follows from the line alone.
    first = name_of(Draft(Undo(of=""), line=1))
    if first and any(entry.id == first for entry in Journal(layout.journal(kind)).entries()):
        return
    found = compare_labels(layout, kind, given, execution)
    entries, _ = record_import(layout, found, author=author, reason=reason, name_of=name_of)
    counts = {str(fate): count for fate, count in found.comparison.counts.items()}
    figures = {**counts, "operations": len(entries)}
    logger.info(
        "import of %s: %s", given.file, ", ".join(f"{count} {name}" for name, count in figures.items())
    )
    show_figures(f"import {layout.folder.name} {kind}", figures, f"{kind.capitalize()} of {given.file}")


def refuse_import_beside_edits(given: ImportParameters, *, edits: bool) -> None:
    """Refuse a run that imports labels and edits them: a file is compared with labels that hold all corrections.

    Raises
    ------
    ParameterError
        If both are asked for.
    """
    if given.file and edits:
        raise ParameterError(
            f"edits or undo beside the import of {given.file}; a file is compared with labels that hold all corrections: "
            "run them one after the other"
        )


def run_with_imported_labels(
    layout: Layout,
    kind: CorrectedKind,
    file: str,
    execution: ExecutionSettings,
    *,
    measure: bool = True,
    without_prefect: bool = False,
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
        without_prefect=without_prefect,
    )


def imported(kind: CorrectedKind, file: str) -> dict[str, Any]:
    """Return the parameters that take the labels of a file."""
    if kind == "nanoparticles":
        return {"nanoparticles": {"method": "imported", "labels": file}}
    return {"segmentation": {kind: {"segmenter": "imported", "network": file}}}
