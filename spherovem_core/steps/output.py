"""Stage 8, output: the final tables, the report and the provenance, written last."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from spherovem_core.corrections.state import CorrectionState, correction_state, marks_of
from spherovem_core.errors import FormatError, IncompleteArtifactError
from spherovem_core.overrides import explain, in_todays_names
from spherovem_core.parameters import PipelineParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.steps import (
    denoising,
    ingest,
    nanoparticles,
    registration,
    review,
    segmentation,
    shape,
    spatial,
)
from spherovem_core.steps.correction_tables import (
    agglomerates_of,
    corrections_document,
    journal_digests,
    marked_rows,
    operation_rows,
    state_of,
    without_excluded,
)
from spherovem_core.store.columns import (
    AGGLOMERATE_COLUMNS,
    CELL_COLUMNS,
    MEAN_COLUMNS,
    NAMED_KIND_COLUMNS,
    NANOPARTICLE_COLUMNS,
    NUCLEUS_COLUMNS,
    SLICE_COLUMNS,
    TOTAL_COLUMNS,
    UPTAKE_COLUMNS,
)
from spherovem_core.store.format import check_format
from spherovem_core.store.layout import (
    CORRECTED_KINDS,
    OBJECT_KINDS,
    CorrectedKind,
    Layout,
    corrected_group,
    labels_group,
    table_path,
)
from spherovem_core.urls import shown as shown_source
from spherovem_core.workflow import (
    Cost,
    DocumentOutput,
    FileOutput,
    OutputSize,
    Quality,
    SourceVolume,
    Step,
    TableOutput,
)
from spherovem_core.workflow.grouped_parameters import collect_in_groups
from spherovem_core.workflow.run import StepRun

if TYPE_CHECKING:
    import pandas as pd

    from spherovem_core.audit.stored import AuditState
    from spherovem_core.workflow import Pipeline

logger = logging.getLogger(__name__)

PROVENANCE = DocumentOutput(
    "provenance.json",
    "Parameters, versions, device, seconds and peak memory of every step; written last.",
)
REPORT = FileOutput("report.html", "Methods and results, with pictures and warnings; needs no network.")
CELLS = TableOutput("cells", "a cell", CELL_COLUMNS, published=True)
NUCLEI = TableOutput("nuclei", "a nucleus", NUCLEUS_COLUMNS, published=True)
NANOPARTICLES = TableOutput("nanoparticles", "a nanoparticle", NANOPARTICLE_COLUMNS, published=True)
AGGLOMERATES = TableOutput(
    "agglomerates",
    "an agglomerate of touching nanoparticles; one that touches no other is an agglomerate of its own",
    AGGLOMERATE_COLUMNS,
    published=True,
)
UPTAKE = TableOutput(
    "uptake", "a measure of uptake and what it is compared with", UPTAKE_COLUMNS, published=True
)
SLICES = TableOutput("slices", "a slice of the acquisition", SLICE_COLUMNS, published=True)
TABLES = (CELLS, NUCLEI, NANOPARTICLES, SLICES)
DERIVED = (AGGLOMERATES, UPTAKE)
"""Tables that follow from the others. Results of an older version lack the second, and places in the first."""
TOTALS = TableOutput("totals", "a total of the acquisition", TOTAL_COLUMNS, published=True)
MEANS = TableOutput("means", "a quantity of a kind of object", MEAN_COLUMNS, published=True)

OUTPUT_BYTES = 10_000_000
"""Tables, provenance and the report; the demo's took 3.6 MB, and a report may have 15 MB."""


def _compute(run: StepRun[PipelineParameters]) -> Quality:
    from spherovem_core.output import build_report, summarise
    from spherovem_core.output.history_section import adoption_warnings
    from spherovem_core.output.nuclei_of_cells import with_nuclei
    from spherovem_core.output.object_confidence import with_confidence
    from spherovem_core.report.memory import PictureMemory, drawing_digest, remembering_pictures
    from spherovem_core.store import package_versions

    tables = _final_tables(run)
    corrected = {kind: state_of(run, kind) for kind in CORRECTED_KINDS}
    for kind, state in corrected.items():
        tables[kind] = marked_rows(tables[kind], state)
    tables["cells"] = with_nuclei(tables["cells"], tables["nuclei"])
    tables = _with_doses(tables, run.parameters)
    for kind in OBJECT_KINDS:
        tables[kind] = with_confidence(tables[kind], run.table(review.CONFIDENCE[kind]))
    tables = _with_intervals(run, tables)
    for output in (*TABLES, *DERIVED, TOTALS):
        run.write_table(output, tables[output.name])
    run.write_table(MEANS, _means(run.layout, tables))
    named = _named_tables(run)
    suspects = {output.name: run.table(output) for output in review.SUSPECTS.values()}
    history = with_adoptions(run.layout, run.plan.pipeline, run.history)
    used = used_parameters(run.parameters.model_dump(mode="json"), history, run.plan.pipeline)
    _name_origins(run.layout, used)
    provenance = {
        "acquisition": run.plan.acquisition.name,
        "source": shown_source(run.plan.acquisition.source),
        "parameters": used,
        "artifacts": {name: reference.model_dump(mode="json") for name, reference in run.plan.inputs.items()},
        "stages": history,
        "packages": package_versions(),
        **corrections_document(corrected),
    }
    parameters = PipelineParameters.model_validate(used)
    shown = {**tables, **named, **suspects}
    inputs = _report_inputs(run.layout, run.plan.acquisition.name, parameters, shown, corrected)
    chapters = report_chapters(
        run.plan.pipeline.chapters(), audits=audit_states(inputs), corrected=len(inputs.corrections) > 0
    )
    ledger = run.memory("pictures", {"code": drawing_digest()})
    pictures = PictureMemory(ledger)
    with remembering_pictures(pictures):
        run.write_file(REPORT, build_report(inputs, provenance, chapters))
    ledger.drop_oldest(pictures.used, len(pictures.used))
    logger.info(
        "output: %d pictures drawn, %d unchanged ones taken over", pictures.drawn, pictures.taken_over
    )
    run.write_document(PROVENANCE, provenance)
    return Quality("Results", markdown=summarise(inputs, chapters, adoption_warnings(history)))


def _with_doses(
    tables: dict[str, "pd.DataFrame"], parameters: PipelineParameters
) -> dict[str, "pd.DataFrame"]:
    """Add what follows from several tables: places of particles, doses of cells, agglomerates, and uptake over cells."""
    from spherovem_core.output import uptake_table, with_doses, with_particle_places

    particles = with_particle_places(tables["nanoparticles"], parameters.output)
    cells = with_doses(tables["cells"], particles, parameters.output.particle_density_g_cm3)
    counted = cells[~cells["excluded"]]
    found = {"cells": cells, "nanoparticles": particles}
    return {**tables, **found, "agglomerates": agglomerates_of(particles), "uptake": uptake_table(counted)}


def _with_intervals(
    run: StepRun[PipelineParameters], tables: dict[str, "pd.DataFrame"]
) -> dict[str, "pd.DataFrame"]:
    """Add the intervals of objects, particles and doses, and the totals of the acquisition."""
    from spherovem_core.label_statistics import CENTROID_COLUMNS
    from spherovem_core.output.counting_evidence import counting_evidence, labels_at
    from spherovem_core.output.dose_intervals import particle_totals, with_dose_intervals
    from spherovem_core.output.object_intervals import with_object_intervals
    from spherovem_core.output.particle_intervals import with_particle_intervals
    from spherovem_core.store import open_array, read_table
    from spherovem_core.workflow.artifacts import read_document

    found: dict[str, pd.DataFrame] = {
        kind: with_object_intervals(tables[kind], run.table(review.CONFIDENCE[kind]), kind)
        for kind in OBJECT_KINDS
    }
    labels = open_array(run.layout, nanoparticles.LABELS.group)
    spacing = labels.spacing_nm
    mixture = read_document(run.layout, nanoparticles.MIXTURE) or {}
    noise = mixture.get("noise")
    particles = with_particle_intervals(tables["nanoparticles"], found["nuclei"], spacing, noise)
    density = run.parameters.output.particle_density_g_cm3
    own = open_array(run.layout, corrected_group("cells"))
    evidence = counting_evidence(
        # Corrections leave this table as it was measured, and its digest.
        read_table(run.layout, nanoparticles.OTHERS.path),
        particles,
        spacing,
        labels.shape,
        mixture.get("detection_limit_nm"),
        lambda others: labels_at(
            own, own.spacing_nm, own.origin_nm, others[list(CENTROID_COLUMNS)].to_numpy(float)
        ),
    )
    cells = with_dose_intervals(found["cells"], particles, spacing, noise, density, evidence)
    totals = particle_totals(particles, spacing, noise, evidence)
    if labels.details.get("absent"):
        totals = totals[:0]
    return {**tables, **found, "cells": cells, "nanoparticles": particles, "totals": totals}


def _means(layout: Layout, tables: Mapping[str, "pd.DataFrame"]) -> "pd.DataFrame":
    """Average over the objects that nobody excluded, of the kinds that were given."""
    from spherovem_core.output.acquisition_means import acquisition_means
    from spherovem_core.store import open_array

    kept, _ = without_excluded(tables)
    labels = {kind: open_array(layout, corrected_group(kind)) for kind in CORRECTED_KINDS}
    return acquisition_means(
        kept, {kind: stored.shape for kind, stored in labels.items() if not stored.details.get("absent")}
    )


def _named_tables(run: StepRun[PipelineParameters]) -> dict[str, "pd.DataFrame"]:
    """Read the tables of further kinds of objects, and take over their history."""
    outputs = [output for step in run.plan.pipeline.steps for output in step.outputs]
    return {
        output.name: run.table(output)
        for output in outputs
        if isinstance(output, TableOutput) and output.columns == NAMED_KIND_COLUMNS
    }


def _final_tables(run: StepRun[PipelineParameters]) -> dict[str, "pd.DataFrame"]:
    """Join the tables of the steps before."""
    from spherovem_core.output import join_tables

    return join_tables(
        shape={kind: run.table(table) for kind, table in shape.SHAPE.items()},
        spatial={
            "cells": run.table(spatial.CELLS),
            "nuclei": run.table(spatial.NUCLEI),
            "nanoparticles": run.table(spatial.NANOPARTICLES),
        },
        ingest=run.table(ingest.SLICES),
        denoising=run.table(denoising.RESIDUALS),
        registration=run.table(registration.MOTION),
    )


def used_parameters(
    given: Mapping[str, Any], history: Sequence[Mapping[str, Any]], pipeline: "Pipeline"
) -> dict[str, Any]:
    """Return the parameters of a run with those that each step really used.

    A run that starts at a later stage takes earlier results as they are, whatever parameters it was given for them. Names of
    earlier versions become today's.
    """
    used = in_todays_names(given)
    for entry in history:
        if entry["step"] not in pipeline or entry["step"] == OUTPUT.name:
            continue
        step = pipeline.step(entry["step"])
        group = used[entry["stage"]]
        group = group.get(step.kind, group)
        own = {**step.omitted, **in_todays_names(entry["parameters"], entry["stage"])}
        group.update({name: value for name, value in own.items() if name in group})
    return used


def _name_origins(layout: Layout, used: dict[str, Any]) -> None:
    """Name the files of imported labels, which no history holds: only their content is part of a digest."""
    from spherovem_core.store import open_array

    groups = [(labels_group(kind), used["segmentation"][kind], "network") for kind in OBJECT_KINDS]
    groups.append((nanoparticles.LABELS.group, used["nanoparticles"], "labels"))
    for group, parameters, name in groups:
        imported = open_array(layout, group).details.get("imported")
        if imported is not None:
            parameters[name] = imported["origin"]


def with_adoptions(
    layout: Layout, pipeline: "Pipeline", history: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return a history with the adopted changes of all results on disk, also of those that no other step reads."""
    from spherovem_core.store.adoptions import is_adoption
    from spherovem_core.workflow.artifacts import artifact_history

    entries = list(history)
    for step in pipeline.steps:
        for output in step.outputs:
            found = artifact_history(layout, output)
            entries += [entry for entry in found if is_adoption(entry) and entry not in entries]
    return entries


def audit_states(inputs: ReportInputs) -> dict[str, "AuditState"]:
    """Read the last audit of each kind of object that the results hold."""
    from spherovem_core.audit.stored import audit_state

    return {kind: audit_state(inputs.layout, kind) for kind in CORRECTED_KINDS if not inputs.is_absent(kind)}


def report_chapters(
    chapters: Sequence[Chapter],
    *,
    audits: Mapping[str, "AuditState"] | None = None,
    corrected: bool = False,
) -> list[Chapter]:
    """Return the chapters of a report: slices to scroll through, those of the steps, means, audits, and corrections if any."""
    from spherovem_core.audit.chapter import audit_chapter
    from spherovem_core.output.chapter import slices_section
    from spherovem_core.output.corrections_chapter import corrections_section, corrections_warnings
    from spherovem_core.output.means_chapter import means_section

    by_hand = Chapter("Corrections by hand", corrections_section, corrections_warnings)
    audited = [] if audits is None else [audit_chapter(audits)]
    means = Chapter("Means", means_section)
    return [Chapter("Slices", slices_section), *chapters, means, *audited, *([by_hand] if corrected else [])]


def rewrite_report(folder: Path, chapters: Sequence[Chapter], pipeline: "Pipeline | None" = None) -> Path:
    """Write the report of a finished acquisition again, with the present code.

    Parameters
    ----------
    pipeline
        Pipeline whose results may hold adopted changes that the provenance does not name yet.

    Raises
    ------
    IncompleteArtifactError
        If the folder holds no finished acquisition.
    FormatError
        If another version wrote it.
    ChangedArtifactError
        If a result that it shows, or the present report, was changed by hand.
    """
    from spherovem_core.output import build_report
    from spherovem_core.store import read_table
    from spherovem_core.workflow.artifacts import read_document, write_file

    layout = Layout(folder.absolute())
    check_format(layout.folder)
    provenance = read_document(layout, PROVENANCE)
    if provenance is None or "parameters" not in provenance:
        raise IncompleteArtifactError(
            f"{folder} holds no finished acquisition: it has no readable provenance.json; "
            "process the acquisition first, or name its results folder"
        )
    try:
        parameters = PipelineParameters.model_validate(in_todays_names(provenance["parameters"]))
    except ValidationError as error:
        raise FormatError(
            f"{layout.provenance} holds parameters that this version does not know ({explain(error, PipelineParameters)}); "
            "report with the version that wrote them, or process the acquisition again"
        ) from error
    if pipeline is not None:
        provenance["stages"] = with_adoptions(layout, pipeline, provenance["stages"])
    tables = {
        output.name: read_table(layout, output.path)
        for output in (*TABLES, *DERIVED)
        if output in TABLES or layout.path(output.path).exists()
    }
    for name in parameters.segmentation.others:
        tables[name] = read_table(layout, table_path(name))
    for output in review.SUSPECTS.values():
        # Results of an older version have none.
        if layout.path(output.path).exists():
            tables[output.name] = read_table(layout, output.path)
    states = {kind: correction_state(layout, kind) for kind in CORRECTED_KINDS}
    inputs = _report_inputs(layout, provenance["acquisition"], parameters, tables, states)
    corrected = len(inputs.corrections) > 0
    every = report_chapters(chapters, audits=audit_states(inputs), corrected=corrected)
    text = build_report(inputs, provenance, every)
    write_file(layout, REPORT.path, text)
    return layout.report


def _report_inputs(
    layout: Layout,
    name: str,
    parameters: PipelineParameters,
    tables: Mapping[str, "pd.DataFrame"],
    states: Mapping[CorrectedKind, CorrectionState],
) -> ReportInputs:
    """Collect what a report shows, without excluded objects and without suspects that were accepted."""
    from spherovem_core.review import without_accepted
    from spherovem_core.store import read_table, table_digest
    from spherovem_core.workflow.artifacts import read_document

    mixture = read_document(layout, nanoparticles.MIXTURE)
    if mixture is None:
        raise IncompleteArtifactError(
            f"{layout.path(nanoparticles.MIXTURE.path)} is missing or damaged; run the acquisition again to compute it"
        )
    further = {
        "other_objects": nanoparticles.OTHERS,
        "radial": spatial.RADIAL,
        "ripley": spatial.RIPLEY,
        "enrichment": spatial.ENRICHMENT,
        "tests": spatial.TESTS,
        "contacts": spatial.CONTACTS,
        "means": MEANS,
        "totals": TOTALS,
        **{output.name: output for output in review.SUSPECTS.values()},
    }
    measured = {
        label: read_table(layout, output.path)
        for label, output in further.items()
        if table_digest(layout, output.path) is not None
    }
    kept, excluded = without_excluded({**tables, **measured})
    accepted = {}
    for kind, state in states.items():
        suspects = review.SUSPECTS[kind].name
        if suspects in kept:
            left = without_accepted(kept[suspects], marks_of(state)["accepted"])
            accepted[suspects], kept[suspects] = len(kept[suspects]) - len(left), left
    return ReportInputs(
        name,
        layout,
        parameters,
        kept,
        mixture,
        parameters.output.report_image_px,
        excluded,
        accepted,
        operation_rows(states),
    )


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    return OutputSize(OUTPUT_BYTES, OUTPUT_BYTES)


def _chapter() -> Chapter:
    from spherovem_core.output.dose_chapter import TITLE, dose_section, dose_warnings

    return Chapter(TITLE, dose_section, dose_warnings)


STEPS_BEFORE = [
    step
    for module in (ingest, denoising, registration, segmentation, nanoparticles, shape, spatial, review)
    for step in module.STEPS
]

OUTPUT = Step(
    name="output",
    stage="output",
    version=9,
    parameters=lambda parameters: parameters,
    reads_everything=True,
    outputs=(PROVENANCE, REPORT, *TABLES, *DERIVED, TOTALS, MEANS),
    compute=_compute,
    external=journal_digests,
    omitted=collect_in_groups(STEPS_BEFORE, PipelineParameters(), "omitted"),
    digest_names=collect_in_groups(STEPS_BEFORE, PipelineParameters(), "digest_names"),
    removed=collect_in_groups(STEPS_BEFORE, PipelineParameters(), "removed"),
    chapter=_chapter,
    cost=Cost(lambda volume, parameters: 1.0, _size, seconds={"": 5.0}),
)
STEPS = (OUTPUT,)
