"""Labels that were edited in another program, as corrections of an acquisition."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from spherovem_core.corrections.border_tolerance import EarlierLabels, TolerantLabels
from spherovem_core.corrections.comparison import LabelComparison, overlap_labels, summarise
from spherovem_core.corrections.continuation import Continuation, find_continuation
from spherovem_core.corrections.differences import find_operations
from spherovem_core.corrections.edits import check_edits
from spherovem_core.corrections.import_grid import ImportGrid, find_import_grid
from spherovem_core.corrections.journal import Draft, Entry, Journal
from spherovem_core.corrections.operations import Operation
from spherovem_core.corrections.outcomes import Outcome
from spherovem_core.corrections.renumbering import Renumbering
from spherovem_core.corrections.state import held_journal, kept_automatic
from spherovem_core.corrections.wanted_labels import WantedLabels
from spherovem_core.errors import CorrectionError
from spherovem_core.execution import Execution
from spherovem_core.label_overlaps import Contingency, count_overlaps
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.label_files import open_labels_on_grid
from spherovem_core.store.layout import CorrectedKind, automatic_group, corrected_group
from spherovem_core.store.pyramid import pyramid_factors

SAME_SAMPLING, SAMPLED_BORDERS = 0.25, 0.02
"""Labels of a level of the pyramid were sampled by another program if less than this fraction of the objects is unchanged, and
more than this fraction of the voxels at borders differs by less than a voxel. Sampled ones have 0.03 or more, edited ones
0.02."""
LEAST_OVERLAP = 0.4
"""Labels that share less with the present ones are those of another acquisition, or need no journal."""


@dataclass(frozen=True)
class LabelImport:
    """Labels of a file compared with the present ones, and the operations that make these of those.

    Attributes
    ----------
    kind
        Kind of object.
    file
        Path of the file.
    comparison
        What is different.
    level
        Level of the pyramid on which the file lies; None if it has a grid of its own.
    covers_the_volume
        Whether the file covers the volume; outside of it nothing changes.
    tolerated_voxels
        Voxels of a coarser file at borders of objects that differ by less than one of its voxels, and are left as they are.
    operations
        In the order in which they are applied; empty if nothing differs.
    head
        `Journal.head` of the journal that they follow.
    """

    kind: CorrectedKind
    file: str
    comparison: LabelComparison
    level: int | None
    covers_the_volume: bool
    tolerated_voxels: int
    operations: tuple[Operation, ...]
    head: str

    def document(self) -> dict[str, Any]:
        """Return what was found as JSON values; masks of operations are left out."""
        comparison = asdict(self.comparison)
        return {
            "kind": self.kind,
            "file": self.file,
            "level": self.level,
            "covers_the_volume": self.covers_the_volume,
            "tolerated_voxels": self.tolerated_voxels,
            **{key: comparison[key] for key in comparison if key != "changes"},
            "counts": self.comparison.counts,
            "changes": comparison["changes"],
            "operations": [operation.operation for operation in self.operations],
        }


def plan_import(
    layout: Layout,
    kind: CorrectedKind,
    file: str,
    *,
    file_spacing_nm: SpacingNm | None = None,
    file_origin_nm: SpacingNm | None = None,
    exact: bool = False,
    any_overlap: bool = False,
    execution: Execution | None = None,
) -> LabelImport:
    """Compare the labels of a file with those of an acquisition, and find the operations between them; change nothing.

    They are compared on the grid of the file, or on that of the volume where this is coarser. Objects are recognised by their
    voxels, not by their numbers. The file may cover a part of the volume. Where the file is coarser and another program
    sampled it, borders differ everywhere by less than one of its voxels; such differences are left alone.

    Parameters
    ----------
    layout
        Results folder.
    kind
        Kind of object.
    file
        Labels in a format of `open_label_volume`.
    file_spacing_nm, file_origin_nm
        Voxel size of the file and centre of its first voxel, where it does not state them or states them wrongly.
    exact
        True to take every voxel of a coarser file as it is.
    any_overlap
        True to accept labels that have almost nothing in common with the present ones.
    execution
        Its executor maps blocks, in threads; its deadline is checked between them.

    Raises
    ------
    IncompleteArtifactError
        If the acquisition has no such labels.
    LabelsError
        If the file is no labels or does not fit the volume.
    CorrectionError
        If the journal is damaged or not applied yet, or the labels have almost nothing in common with the present ones.
    """
    journal = Journal(layout.journal(kind))
    head = journal.head
    levels = _open_levels(layout, kind)
    finest = levels[0]
    if held_journal(finest) != journal.label_digest:
        raise CorrectionError(
            f"the {kind} of {layout.folder} do not hold the corrections of {journal.path} yet; run the acquisition again, which "
            "applies them, and import then"
        )
    shape = (finest.shape[0], finest.shape[1], finest.shape[2])
    with open_labels_on_grid(
        file,
        shape,
        finest.spacing_nm,
        finest.origin_nm,
        levels=[
            ((each.shape[0], each.shape[1], each.shape[2]), each.spacing_nm, each.origin_nm)
            for each in levels[1:]
        ],
        file_spacing_nm=file_spacing_nm,
        file_origin_nm=file_origin_nm,
    ) as labels:
        grid = find_import_grid(labels, levels, pyramid_factors(finest))
        table = overlap_labels(grid.present, grid.imported, execution)
        continuation = find_continuation(table)
        comparison = summarise(table, continuation, grid.spacing_nm, grid.origin_nm)
        if not any_overlap:
            check_overlap(file, kind, comparison)
        goes = _with_those_that_reach_out(continuation.goes, table, grid)
        tolerated = 0
        if comparison.changes and not exact and grid.is_coarser:
            matched = replace(continuation, goes=goes)
            tolerant, tolerated = _tolerant_grid(layout, kind, finest, grid, matched, comparison, execution)
            if tolerant is not grid:
                grid = tolerant
                table = overlap_labels(grid.present, grid.imported, execution)
                comparison = summarise(table, continuation, grid.spacing_nm, grid.origin_nm)
        operations: tuple[Operation, ...] = ()
        if comparison.changes:
            operations = _operations(finest, grid, goes, continuation.numbers, execution)
    return LabelImport(
        kind, file, comparison, grid.level, grid.covers_the_volume, tolerated, operations, head
    )


def _tolerant_grid(
    layout: Layout,
    kind: CorrectedKind,
    present: StoredArray,
    grid: ImportGrid,
    matched: Continuation,
    comparison: LabelComparison,
    execution: Execution | None,
) -> tuple[ImportGrid, int]:
    """Return the grid with present labels that leave out differences that nobody made, and the number of these.

    Another program that made the labels coarser moved all borders by less than a voxel. On a level of the pyramid, whose voxels
    hold the most frequent label, a correction changes voxels of its neighbours too; they differ from a file that was
    exported before, and is imported a second time.
    """
    renumberings = (Renumbering(own) for own in (matched.goes, matched.numbers, matched.parents))
    goes, numbers, parents = renumberings
    tolerant = TolerantLabels(present, grid.present, grid.imported, goes, numbers, parents, grid.places)
    tolerated, borders = tolerant.count_tolerated()
    few_kept = comparison.kept_count < SAME_SAMPLING * comparison.present_count
    if grid.level is None or (few_kept and tolerated > SAMPLED_BORDERS * borders):
        return replace(grid, present=tolerant, steps=()), tolerated
    if kept_automatic(layout, kind) is None:
        return grid, 0
    earlier = open_array(layout, automatic_group(corrected_group(kind)), grid.level)
    then = find_continuation(overlap_labels(earlier, grid.imported, execution))
    before = EarlierLabels(earlier, Renumbering(then.goes), Renumbering(then.numbers))
    tolerant = replace(tolerant, earlier=before)
    return replace(grid, present=tolerant), tolerant.count_tolerated()[0]


def _operations(
    present: StoredArray,
    grid: ImportGrid,
    goes: dict[int, int],
    numbers: dict[int, int],
    execution: Execution | None,
) -> tuple[Operation, ...]:
    wanted = WantedLabels(
        present,
        grid.present,
        grid.imported,
        Renumbering(goes),
        Renumbering(numbers),
        grid.places,
        grid.steps,
    )
    table = count_overlaps(present, wanted, execution)
    # Objects too small for the file's voxels, or outside of it, stay.
    goes = {label: label for label in table.true.labels.tolist() if label} | goes
    return find_operations(present, wanted, table, goes, present.spacing_nm, present.origin_nm)


def record_import(
    layout: Layout, found: LabelImport, *, author: str = "", reason: str = ""
) -> tuple[tuple[Entry, ...], tuple[Outcome, ...]]:
    """Add the operations of an import to the journal, all or none; the labels follow with the next run.

    Parameters
    ----------
    layout
        Results folder.
    found
        The import, as `plan_import` returned it.
    author, reason
        Who edited the labels, and why; the name of the file is added.

    Returns
    -------
    entries
        The new lines of the journal; none if nothing differs.
    outcomes
        What they do.

    Raises
    ------
    CorrectionError
        If the journal has grown since the comparison.
    """
    if not found.operations:
        return (), ()
    source = f"import of {Path(found.file).name}"
    # With an identifier each, they are checked as a sequence.
    drafts = [
        Draft(
            operation,
            uuid4().hex[:12],
            author,
            reason=f"{reason} ({source})" if reason else source,
            line=line,
        )
        for line, operation in enumerate(found.operations, 1)
    ]
    journal = Journal(layout.journal(found.kind))
    checked = check_edits(layout, found.kind, drafts)
    if checked.problems and checked.head == found.head:
        raise CorrectionError(
            f"{found.file}: operation {checked.problems[0]}; this is an error in spherovem, and nothing was written"
        )
    return journal.append_drafts(checked.fitting, after=found.head), checked.outcomes


def check_overlap(file: str, kind: CorrectedKind, comparison: LabelComparison) -> None:
    """Refuse labels that are probably those of another acquisition, or are mirrored or shifted.

    Raises
    ------
    CorrectionError
        If objects with less than `LEAST_OVERLAP` of the present volume are found in them.
    """
    if comparison.overlap < LEAST_OVERLAP:
        raise CorrectionError(
            f"{file} holds {comparison.imported_count} objects, in which only {100 * comparison.overlap:.0f} % of the volume of "
            f"the {comparison.present_count} present {kind} is found again; they look like labels of another acquisition, or "
            "mirrored or shifted ones. Check the file. To replace the segmentation as a whole, give --as-labels; to import it as "
            "corrections all the same, give --any-overlap"
        )


def _open_levels(layout: Layout, kind: CorrectedKind) -> list[StoredArray]:
    group = corrected_group(kind)
    finest = open_array(layout, group)
    return [finest, *(open_array(layout, group, level) for level in range(1, len(pyramid_factors(finest))))]


def _with_those_that_reach_out(goes: dict[int, int], table: Contingency, grid: ImportGrid) -> dict[int, int]:
    """Keep gone objects that reach beyond the imported labels: what lies outside of them stays."""
    cut = np.array([[axis[0] < 0, axis[-1] < 0] for axis in grid.places])
    ends = np.array([[0, extent] for extent in grid.present.shape])
    reaching = ((table.true.boxes == ends) & cut).any((1, 2))
    return goes | {
        label: label for label in table.true.labels[reaching].tolist() if label and not goes[label]
    }
