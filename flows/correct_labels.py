"""Correct labels by hand or by those of another program, and measure again what follows from them."""

from pathlib import Path
from typing import Any, Literal

from prefect import flow

from flows.failures import with_remedy_first
from flows.import_parameters import ImportParameters
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import ArtifactRef


@flow(name="correct-labels", flow_run_name="{name}")
@with_remedy_first
def correct_labels(
    name: str,
    results_root: Path,
    kind: Literal["cells", "nuclei", "nanoparticles"],
    edits: list[dict[str, Any]] = [],  # noqa: B006  Prefect shows the default; it is never changed.
    undo: list[str] = [],  # noqa: B006
    author: str = "",
    reason: str = "",
    keep_what_fits: bool = False,
    measure: bool = True,
    execution: ExecutionSettings = ExecutionSettings(),
    imported: ImportParameters = ImportParameters(),
) -> dict[str, ArtifactRef]:
    """Add edits to the journal of an acquisition, apply it to the labels, and compute all that follows.

    Parameters
    ----------
    name
        Name of the acquisition.
    results_root
        Folder that holds its results folder.
    kind
        Kind of object.
    edits
        Operations, as in the lines of a journal. All are added, or none.
    undo
        Identifiers of operations to take back, after the edits were added; one that was taken back before stays so.
    author, reason
        Of edits that state none.
    keep_what_fits
        Leave out edits that do not fit the labels, instead of an error.
    measure
        Compute the tables and the report as well; without it only the labels.
    execution
        Settings of the run; they change no result.
    imported
        Labels that were edited in another program: what differs becomes operations in the journal, or they become the
        segmentation. Not beside edits and undo.

    Returns
    -------
    dict
        Reference to the main output of each step, by the step's name.

    Raises
    ------
    SpheroVemError
        If an edit does not fit or labels cannot be imported, before anything is written; or if a step fails.
    """
    import json

    from flows.corrected_run import check_correctable, names_of_run, run_after_corrections
    from flows.defaults import merge_with_deployment
    from flows.imported_labels import (
        import_as_corrections,
        refuse_import_beside_edits,
        run_with_imported_labels,
    )
    from spherovem_core.corrections import Journal, append_edits, parse_edits, undo_operations
    from spherovem_core.store import Layout

    execution = merge_with_deployment("execution", execution)
    layout = Layout((results_root / name).absolute())
    refuse_import_beside_edits(imported, edits=bool(edits or undo))
    check_correctable(layout, measure=measure)
    if imported.file and imported.as_labels:
        return run_with_imported_labels(layout, kind, imported.file, execution, measure=measure)
    if imported.file:
        import_as_corrections(layout, kind, imported, execution, author=author, reason=reason)
    journal, name_of = Journal(layout.journal(kind)), names_of_run()
    known = {entry.id for entry in journal.entries()}
    # A run that is retried has added its edits before.
    drafts = parse_edits(map(json.dumps, edits)) if edits else ()
    if not any(name_of(draft) in known for draft in drafts) and drafts:
        append_edits(
            layout,
            kind,
            drafts,
            author=author,
            reason=reason,
            keep_what_fits=keep_what_fits,
            name_of=name_of,
        )
    counted = {entry.id for entry in journal.effective()}
    left = [own for own in undo if own in counted or own not in known]
    if left:
        undo_operations(layout, kind, left, author=author, reason=reason)
    return run_after_corrections(layout, kind, execution, measure=measure)
