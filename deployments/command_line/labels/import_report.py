"""Report of an import of labels, as text."""

from collections import Counter
from collections.abc import Iterator, Sequence

from deployments.command_line.text_tables import text_table
from spherovem_core.corrections.comparison import FATES, LabelComparison, ObjectChange
from spherovem_core.corrections.label_import import LabelImport

SHOWN_CHANGES = 20
MANY = 0.5
"""Above this fraction of changed objects, the file is rather a segmentation of its own."""


def import_report(found: LabelImport) -> str:
    """Describe the differences between a file and the present labels, and the operations that follow."""
    comparison = found.comparison
    lines = [
        f"{found.file}: {comparison.imported_count} {found.kind}, compared with {comparison.present_count} present ones "
        f"on {_grid(found)}",
        "",
        text_table(["", "objects", "voxels changed"], list(_counts(comparison)), right=(1, 2)),
    ]
    if comparison.changes:
        lines += ["", _changes(comparison.changes)]
    lines += ["", *_notes(found)]
    return "\n".join(lines)


def operation_counts(found: LabelImport) -> str:
    """Count the operations by their name, such as ``2 merge, 1 replace``."""
    counts = Counter(operation.operation for operation in found.operations)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _counts(comparison: LabelComparison) -> Iterator[list[str]]:
    yield ["kept", str(comparison.kept_count), "0"]
    for fate in FATES:
        own = [change for change in comparison.changes if change.fate == fate]
        count = sum(max(len(change.present), 1) for change in own)
        yield [fate, str(count), str(sum(change.voxels_changed for change in own))]


def _changes(changes: Sequence[ObjectChange]) -> str:
    rows = [
        [
            change.fate,
            f"{_numbers(change.present)} -> {_numbers(change.imported)}",
            " ".join(f"{place:.2f}" for place in change.place_um),
            str(change.voxels_before),
            str(change.voxels_after),
            str(change.voxels_changed),
            f"{change.iou:.3f}",
        ]
        for change in changes[:SHOWN_CHANGES]
    ]
    titles = ["", "numbers", "z y x (um)", "voxels", "then", "changed", "IoU"]
    more = len(changes) - SHOWN_CHANGES
    tail = f"\n... and {more} more; --json lists all" if more > 0 else ""
    return text_table(titles, rows, right=(3, 4, 5, 6)) + tail


def _numbers(labels: Sequence[int]) -> str:
    shown = ", ".join(map(str, labels[:4]))
    return f"{shown}, ..." if len(labels) > 4 else shown or "-"


def _notes(found: LabelImport) -> Iterator[str]:
    comparison = found.comparison
    if found.tolerated_voxels:
        yield (
            f"{found.tolerated_voxels} voxels at borders differ by less than one voxel of the file, as if another program had "
            "sampled them; they are left as they are (--exact takes them for edits)"
        )
    if not found.covers_the_volume:
        yield "The file covers a part of the volume; outside of it nothing changes."
    changed = comparison.present_count - comparison.kept_count
    if comparison.present_count and changed > MANY * comparison.present_count:
        yield (
            f"{changed} of {comparison.present_count} objects differ: if this is a segmentation of its own and no edited one, "
            "--as-labels replaces the present one"
        )
    yield f"operations: {operation_counts(found)}"


def _grid(found: LabelImport) -> str:
    spacing = " x ".join(f"{side:g}" for side in found.comparison.spacing_nm)
    if found.level is None:
        return f"a grid of {spacing} nm"
    return f"level {found.level} of the labels ({spacing} nm)"
