"""Labels that were edited in another program, as corrections of an acquisition."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from spherovem_core.corrections.comparison import LabelComparison
from spherovem_core.corrections.differences import find_operations
from spherovem_core.corrections.edits import check_edits
from spherovem_core.corrections.import_grid import ImportGrid, find_import_grid
from spherovem_core.corrections.journal import Draft, Entry, Journal
from spherovem_core.corrections.label_matching import MatchedLabels, match_labels
from spherovem_core.corrections.operations import Operation
from spherovem_core.corrections.outcomes import Outcome
from spherovem_core.corrections.renumbering import Renumbering
from spherovem_core.corrections.state import held_journal, kept_automatic, refuse_lost_lines
from spherovem_core.corrections.wanted_labels import WantedLabels
from spherovem_core.errors import CorrectionError
from spherovem_core.execution import Execution
from spherovem_core.label_overlaps import count_overlaps
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.label_files import open_labels_on_grid
from spherovem_core.store.layout import CorrectedKind, automatic_group, corrected_group
from spherovem_core.store.pyramid import pyramid_factors

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
    voxels, not by their numbers. The file may cover a part of the volume. Where the file is coarser, differences that only the
    way in which it was made coarser explains are left alone; see `match_labels`.

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
    refuse_lost_lines(layout, kind)
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
        matched = match_labels(finest, grid, _earlier(layout, kind, grid), exact=exact, execution=execution)
        if not any_overlap:
            check_overlap(file, kind, matched.comparison)
        operations = _operations(finest, matched, execution)
    return LabelImport(
        kind,
        file,
        matched.comparison,
        grid.level,
        grid.covers_the_volume,
        matched.tolerated_voxels,
        operations,
        head,
    )


def _earlier(layout: Layout, kind: CorrectedKind, grid: ImportGrid) -> StoredArray | None:
    """Return the labels before the corrections on a coarser level; None if there are no corrections, or it is no such level."""
    if not grid.level or kept_automatic(layout, kind) is None:
        return None
    return open_array(layout, automatic_group(corrected_group(kind)), grid.level)


def _operations(
    present: StoredArray, matched: MatchedLabels, execution: Execution | None
) -> tuple[Operation, ...]:
    if not matched.comparison.changes:
        return ()
    grid, found = matched.grid, matched.continuation
    wanted = WantedLabels(
        present,
        grid.present,
        grid.imported,
        Renumbering(found.goes),
        Renumbering(found.numbers),
        grid.places,
        grid.steps,
    )
    table = count_overlaps(present, wanted, execution)
    # Objects too small for the file's voxels, or outside of it, stay.
    goes = {label: label for label in table.true.labels.tolist() if label} | found.goes
    return find_operations(present, wanted, table, goes, present.spacing_nm, present.origin_nm)


def record_import(
    layout: Layout,
    found: LabelImport,
    *,
    author: str = "",
    reason: str = "",
    name_of: Callable[[Draft], str] | None = None,
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
    name_of
        Makes the identifiers of the operations; by default they are drawn at random.

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
    why = f"{reason} ({source})" if reason else source
    plain = [
        Draft(operation, author=author, reason=why, line=line)
        for line, operation in enumerate(found.operations, 1)
    ]
    # With an identifier each, they are checked as a sequence.
    drafts = [replace(draft, id=(name_of(draft) if name_of else "") or uuid4().hex[:12]) for draft in plain]
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
