"""Corrections by hand in the steps that make labels: the labels as computed are kept beside the corrected ones."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spherovem_core.blocks import Region
from spherovem_core.corrections.state import CORRECTIONS, refuse_lost_lines
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.store import StoredArray, discard, move_group, open_array
from spherovem_core.store.file_records import forget_file, move_file, refuse_to_replace_file
from spherovem_core.store.layout import (
    CorrectedKind,
    Layout,
    array_path,
    automatic_group,
)
from spherovem_core.store.protection import refuse_to_replace
from spherovem_core.workflow import ArrayOutput, Output, Quality, RunRequest
from spherovem_core.workflow.artifacts import AUTOMATIC_DIGEST, find_artifact
from spherovem_core.workflow.demand import is_computed
from spherovem_core.workflow.outputs import automatic_output
from spherovem_core.workflow.run import StepRun
from spherovem_core.workflow.step import JOURNAL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spherovem_core.corrections import Applied
    from spherovem_core.corrections.canvas import LabelCanvas

logger = logging.getLogger(__name__)

OWN_DETAILS = {
    "complete", "fingerprint", "shape", "dtype", "chunks", "shards", "codec", "spacing_nm", "origin_nm", "history",
    "level_factors", "levels", "content", "checksum", "adopted",
}  # fmt: skip


@dataclass(frozen=True)
class CorrectedLabels:
    """Labels after corrections, from which tables are made.

    Attributes
    ----------
    labels
        The labels.
    canvas
        Index of the objects; its own labels cannot be read any more.
    applied
        What became of each operation.
    """

    labels: StoredArray
    canvas: "LabelCanvas"
    applied: "Applied"


def journal_digest(kind: CorrectedKind, request: RunRequest) -> Mapping[str, str]:
    """Return the digest of the operations that change labels; none without such operations.

    Raises
    ------
    CorrectionError
        If the journal is damaged, or lacks lines that the labels hold.
    """
    from spherovem_core.corrections import Journal

    layout = Layout(request.acquisition.folder)
    digest = Journal(layout.journal(kind)).label_digest
    refuse_lost_lines(layout, kind)
    return {JOURNAL: digest} if digest else {}


def with_corrections(
    run: StepRun[Any],
    kind: CorrectedKind,
    labels: ArrayOutput,
    compute: Callable[[StepRun[Any]], Quality],
    correct_tables: Callable[[StepRun[Any], CorrectedLabels], None] | None = None,
) -> Quality:
    """Compute labels unless they are there, and write them as the corrections leave them.

    Without corrections, labels and tables lie in their places, and so they do while they are computed. With corrections, those
    that corrections change get other names, such as ``cells_automatic`` for ``cells``; they get theirs back, and are not computed
    again, once the last correction is undone.

    Parameters
    ----------
    compute
        Computes all outputs of the step.
    correct_tables
        Writes the tables that corrections change.
    """
    automatic = run.automatic
    layout, digest, quality = run.layout, automatic.plan.digest, None
    if not is_computed(automatic.plan):
        quality = compute(automatic)
        automatic.discard_provisional()
    for output in run.plan.step.corrected:
        kept = automatic_output(output)
        if run.plan.is_corrected:
            if find_artifact(layout, output, digest) is not None:
                _move(layout, output, kept)
        elif find_artifact(layout, kept, digest) is not None:
            _move(layout, kept, output)
        else:
            _discard(layout, kept)
    if run.plan.is_corrected:
        quality = _correct(run, kind, labels, correct_tables)
    return quality or Quality(f"{kind.capitalize()} without corrections")


def _move(layout: Layout, output: Output, to: Output) -> None:
    if isinstance(output, ArrayOutput) and isinstance(to, ArrayOutput):
        refuse_to_replace(layout, to.group)
        move_group(layout, output.group, to.group)
    else:
        move_file(layout, output.path, to.path)


def _discard(layout: Layout, output: Output) -> None:
    if isinstance(output, ArrayOutput):
        refuse_to_replace(layout, output.group)
        discard(layout, layout.path(output.path).parent)
    else:
        refuse_to_replace_file(layout, output.path)
        discard(layout, layout.path(output.path))
        forget_file(layout, output.path)


def _correct(
    run: StepRun[Any],
    kind: CorrectedKind,
    labels: ArrayOutput,
    correct_tables: Callable[[StepRun[Any], CorrectedLabels], None] | None,
) -> Quality:
    from spherovem_core.corrections import Journal, apply_journal

    group = automatic_group(labels.group)
    # Labels that were adopted after a change by hand have another digest for others than their own.
    automatic = open_array(run.layout, group)
    if automatic.own_digest != run.automatic.plan.digest:
        raise IncompleteArtifactError(
            f"{run.layout.volume / group} was computed under other inputs or parameters; run the acquisition again"
        )
    entries = Journal(run.layout.journal(kind)).as_of(label_digest=run.plan.external[JOURNAL])
    run.inherit(automatic.history)
    writer = run.writer(
        labels, automatic.shape, "uint32", automatic.spacing_nm, origin_nm=automatic.origin_nm
    )
    found, like = apply_journal(kind, automatic, group, entries, writer, run.execution)
    applied = found.applied
    if correct_tables is not None:
        correct_tables(run, CorrectedLabels(writer.stored, found.canvas, applied))
    details = {name: value for name, value in automatic.details.items() if name not in OWN_DETAILS}
    if applied.count:
        details.pop("absent", None)
    details |= {
        "count": applied.count,
        AUTOMATIC_DIGEST: automatic.own_digest,
        CORRECTIONS: applied.document(),
    }
    # Labels that were adopted after a change by hand, or computed again elsewhere, keep their digest.
    content = automatic.details.get("content")
    sources = {} if content is None else {"sources": {array_path(group): content}}
    run.finish(writer, like, **details, **sources)
    for outcome in applied.not_applied:
        logger.warning(
            "%s: line %d of the journal, %s, does not fit the labels: %s",
            run.plan.step.title,
            outcome.number,
            outcome.operation,
            outcome.reason,
        )
    figures = {
        kind: applied.count,
        "operations applied": len(applied.applied),
        "operations that do not fit": len(applied.not_applied),
        **{f"line {own.number}, {own.operation}": own.reason for own in applied.not_applied},
    }
    # Particles are too small for the picture of a whole slice.
    picture = None if kind == "nanoparticles" else labels
    return Quality(f"Corrected {kind}", figures, picture, f"{kind} in the middle slice".capitalize())


def voxels_and_neighbours(
    labels: StoredArray, label: int, region: Region
) -> tuple["NDArray[np.int64]", list[int]]:
    """Return the voxels (M, 3) of an object, and the labels that share a face, an edge or a corner with it."""
    import numpy as np
    from scipy import ndimage

    grown = tuple(
        slice(max(0, side.start - 1), min(n, side.stop + 1))
        for side, n in zip(region, labels.shape, strict=True)
    )
    values = labels[grown]
    mask = values == label
    around = ndimage.binary_dilation(mask, np.ones((3, 3, 3), bool)) & ~mask
    low = np.array([side.start for side in grown])
    others = [int(other) for other in np.unique(values[around]) if other]
    return np.argwhere(mask) + low, others
