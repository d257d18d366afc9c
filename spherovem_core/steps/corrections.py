"""Corrections by hand in the steps that make labels: the labels as computed are kept beside the corrected ones."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from spherovem_core.corrections.state import CORRECTIONS
from spherovem_core.store import StoredArray, discard, move_group, open_array
from spherovem_core.store.layout import CorrectedKind, Layout, automatic_group
from spherovem_core.workflow import ArrayOutput, Quality, RunRequest
from spherovem_core.workflow.artifacts import AUTOMATIC_DIGEST, find_artifact
from spherovem_core.workflow.run import StepRun
from spherovem_core.workflow.step import JOURNAL

OWN_DETAILS = {
    "complete", "fingerprint", "shape", "dtype", "chunks", "shards", "codec", "spacing_nm", "origin_nm", "history",
    "level_factors",
}  # fmt: skip


def journal_digest(kind: CorrectedKind, request: RunRequest) -> Mapping[str, str]:
    """Return the digest of the operations that change labels; none without such operations.

    Raises
    ------
    CorrectionError
        If the journal is damaged.
    """
    from spherovem_core.corrections import Journal

    digest = Journal(Layout(request.acquisition.folder).journal(kind)).label_digest
    return {JOURNAL: digest} if digest else {}


def with_corrections(
    run: StepRun[Any],
    kind: CorrectedKind,
    labels: ArrayOutput,
    compute: Callable[[StepRun[Any]], Quality],
) -> Quality:
    """Compute labels unless they are there, and write them as the corrections leave them.

    Without corrections, the labels lie in their group, and so they do while they are computed. With corrections, their group is
    renamed, ``cells`` to ``cells_automatic``; it is renamed back, and not computed again, once the last correction is undone.
    """
    automatic = run.automatic
    kept = replace(labels, group=automatic_group(labels.group))
    digest = automatic.plan.digest
    quality = None
    if find_artifact(run.layout, kept, digest) is None:
        if find_artifact(run.layout, labels, digest) is None:
            quality = compute(automatic)
            automatic.discard_provisional()
        if run.plan.is_corrected:
            move_group(run.layout, labels.group, kept.group)
    elif not run.plan.is_corrected:
        move_group(run.layout, kept.group, labels.group)
    if run.plan.is_corrected:
        quality = _correct(run, kind, labels, open_array(run.layout, kept.group, digest=digest))
    else:
        discard(run.layout, run.layout.volume / kept.group)
    return quality or Quality(f"{kind.capitalize()} without corrections")


def _correct(run: StepRun[Any], kind: CorrectedKind, labels: ArrayOutput, automatic: StoredArray) -> Quality:
    from spherovem_core.corrections import Journal, apply_journal

    entries = Journal(run.layout.journal(kind)).as_of(run.plan.external[JOURNAL])
    run.inherit(automatic.history)
    place = {"origin_nm": automatic.origin_nm}
    writer = run.writer(labels, automatic.shape, "uint32", automatic.spacing_nm, **place)
    group = automatic_group(labels.group)
    applied, like = apply_journal(kind, automatic, group, entries, writer, run.execution)
    details = {name: value for name, value in automatic.details.items() if name not in OWN_DETAILS}
    details |= {"count": applied.count, AUTOMATIC_DIGEST: automatic.digest, CORRECTIONS: applied.document()}
    run.finish(writer, like, **details)
    figures = {
        kind: applied.count,
        "operations applied": len(applied.applied),
        "operations that do not fit": len(applied.not_applied),
        **{f"line {own.number}, {own.operation}": own.reason for own in applied.not_applied},
    }
    return Quality(f"Corrected {kind}", figures, labels, f"{kind} in the middle slice".capitalize())
