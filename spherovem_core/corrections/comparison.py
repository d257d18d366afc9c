"""Comparison of present labels with imported ones: which objects were kept, changed, merged, split, are new or gone."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.corrections.continuation import Continuation, find_continuation
from spherovem_core.errors import CorrectionError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.label_overlaps import Contingency, count_overlaps
from spherovem_core.spacing import NM_PER_UM, SpacingNm

Fate = Literal["changed", "merged", "split", "new", "gone"]
FATES: tuple[Fate, ...] = ("changed", "merged", "split", "new", "gone")
SAME_OBJECT = 0.5
"""Objects whose intersection over union is above this are the same object in two segmentations."""


@dataclass(frozen=True)
class ObjectChange:
    """An object that differs, or several that became one or were one.

    Attributes
    ----------
    fate
        What happened: ``changed`` in outline, ``merged`` from several, ``split`` into several, ``new`` or ``gone``.
    present, imported
        Numbers on both sides, the largest object first.
    voxels_before, voxels_after
        Voxels of all of them on each side.
    voxels_changed
        Voxels that now belong to another object or to the background, or did not belong to one.
    iou
        Intersection over union of the largest on each side; 0 for new and gone objects.
    place_um
        Centre of the bounding box z, y, x.
    """

    fate: Fate
    present: tuple[int, ...]
    imported: tuple[int, ...]
    voxels_before: int
    voxels_after: int
    voxels_changed: int
    iou: float
    place_um: tuple[float, float, float]


@dataclass(frozen=True)
class LabelComparison:
    """Present labels compared with imported ones.

    Attributes
    ----------
    present_count, imported_count
        Objects on each side.
    kept_count
        Objects with the same voxels on both sides, whatever their number.
    changes
        All others, ordered by fate and number.
    voxels_changed
        Voxels that belong to another object, or to one instead of the background or the reverse.
    overlap
        Fraction of the present objects' voxels in objects that the imported labels hold with an intersection over union above
        0.5; 1 if there are no present objects. Unrelated cells of one size reach 0.2.
    spacing_nm
        Voxel size of the grid on which they were compared.
    """

    present_count: int
    imported_count: int
    kept_count: int
    changes: tuple[ObjectChange, ...]
    voxels_changed: int
    overlap: float
    spacing_nm: SpacingNm

    @property
    def counts(self) -> dict[Fate, int]:
        """Number of changes of each fate."""
        found = Counter(change.fate for change in self.changes)
        return {fate: found[fate] for fate in FATES}


def overlap_labels(
    present: ArrayLike, imported: ArrayLike, execution: Execution | None = None
) -> Contingency:
    """Count the overlaps of present labels (`true`) with imported ones (`predicted`), block by block.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    CorrectionError
        If the imported labels are not integers.
    """
    if tuple(present.shape) != tuple(imported.shape):
        raise ShapeMismatchError(
            f"the imported labels have the shape {tuple(imported.shape)}, the present ones {tuple(present.shape)}; expected "
            "labels on one grid"
        )
    if np.dtype(imported.dtype).kind not in "biu":
        raise CorrectionError(
            f"the imported labels hold {np.dtype(imported.dtype)}; expected whole numbers, 0 for the background"
        )
    return count_overlaps(present, imported, execution)


def compare_labels(
    present: ArrayLike,
    imported: ArrayLike,
    spacing_nm: SpacingNm,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
    execution: Execution | None = None,
) -> LabelComparison:
    """Compare two label volumes on one grid, object by object, whatever their numbers.

    Reads both once, block by block; memory grows with the number of overlapping pairs.

    Parameters
    ----------
    present, imported : (Z, Y, X) array-like of integers
        Instance labels, 0 is background.
    spacing_nm, origin_nm
        Voxel size of the grid, and centre of its first voxel.
    execution
        Its executor maps blocks; its deadline is checked between them.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ.
    CorrectionError
        If the imported labels are not integers.
    """
    table = overlap_labels(present, imported, execution)
    return summarise(table, find_continuation(table), spacing_nm, origin_nm)


def summarise(
    table: Contingency, continuation: Continuation, spacing_nm: SpacingNm, origin_nm: SpacingNm
) -> LabelComparison:
    """Make the comparison from the overlaps of present labels (`true`) with imported ones (`predicted`)."""
    present, imported = table.true, table.predicted
    groups = _groups(table, continuation)
    changed = _changed_pairs(table, continuation)
    voxels_changed = _voxels_per_group(table, groups, changed)
    changes = [
        _describe(table, groups, group, int(voxels), spacing_nm, origin_nm)
        for group, voxels in enumerate(voxels_changed)
        if not groups.kept[group]
    ]
    changes.sort(key=lambda change: (FATES.index(change.fate), change.present, change.imported))
    same = table.on_objects & (table.iou > SAME_OBJECT)
    objects = present.labels > 0
    total = int(present.sizes[objects].sum())
    return LabelComparison(
        int(np.count_nonzero(objects)),
        int(np.count_nonzero(imported.labels)),
        int(np.count_nonzero(groups.kept)),
        tuple(changes),
        int(table.voxels[changed].sum()),
        float(present.sizes[np.unique(table.rows[same])].sum()) / total if total else 1.0,
        spacing_nm,
    )


@dataclass(frozen=True)
class _Groups:
    """Objects that became each other.

    Attributes
    ----------
    of_present, of_imported
        Group of each row and column of the table; -1 for the background.
    rows, columns
        Rows and columns of each group, those with most voxels first.
    kept
        Whether each group is one object with the same voxels on both sides.
    """

    of_present: NDArray[np.intp]
    of_imported: NDArray[np.intp]
    rows: list[list[int]]
    columns: list[list[int]]
    kept: NDArray[np.bool_]


def _groups(table: Contingency, continuation: Continuation) -> _Groups:
    """Join present objects with the imported one that they go to, and with the new ones that consist of them."""
    present, imported = table.true.labels.tolist(), table.predicted.labels.tolist()
    number_of = [continuation.numbers[label] if label else 0 for label in imported]
    keys = [continuation.goes[label] or -label if label else 0 for label in present]
    goes = dict(zip(present, keys, strict=True))
    columns_keys = [
        goes[continuation.parents[number]] if continuation.parents.get(number) else number
        for number in number_of
    ]
    ids = {key: group for group, key in enumerate(sorted({*keys, *columns_keys} - {0}))}
    of_present = np.array([ids.get(key, -1) for key in keys], np.intp)
    of_imported = np.array([ids.get(key, -1) for key in columns_keys], np.intp)
    rows, columns = (
        _members(of, side.sizes, len(ids))
        for of, side in ((of_present, table.true), (of_imported, table.predicted))
    )
    whole = table.on_objects & (table.iou == 1)
    kept = np.zeros(len(ids), bool)
    kept[of_present[table.rows[whole]]] = True
    return _Groups(of_present, of_imported, rows, columns, kept)


def _members(groups: NDArray[np.intp], sizes: NDArray[np.int64], count: int) -> list[list[int]]:
    members: list[list[int]] = [[] for _ in range(count)]
    for place in np.lexsort((np.arange(len(groups)), -sizes)).tolist():
        if groups[place] >= 0:
            members[groups[place]].append(place)
    return members


def _changed_pairs(table: Contingency, continuation: Continuation) -> NDArray[np.bool_]:
    numbers = np.array(
        [continuation.numbers.get(label, 0) for label in table.predicted.labels.tolist()], np.int64
    )
    found: NDArray[np.bool_] = table.true.labels[table.rows] != numbers[table.columns]
    return found


def _voxels_per_group(table: Contingency, groups: _Groups, changed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the changed voxels of each group; one that goes from a group to another counts in both."""
    before, after = groups.of_present[table.rows], groups.of_imported[table.columns]
    voxels = np.zeros(len(groups.kept), np.int64)
    for group, counts in (
        (before, changed & (before >= 0)),
        (after, changed & (after >= 0) & (after != before)),
    ):
        np.add.at(voxels, group[counts], table.voxels[counts])
    return voxels


def _describe(
    table: Contingency,
    groups: _Groups,
    group: int,
    voxels_changed: int,
    spacing_nm: SpacingNm,
    origin_nm: SpacingNm,
) -> ObjectChange:
    rows, columns = groups.rows[group], groups.columns[group]
    boxes = np.concatenate([table.true.boxes[rows], table.predicted.boxes[columns]])
    centre = (boxes[:, :, 0].min(0) + boxes[:, :, 1].max(0) - 1) / 2
    z, y, x = (centre * spacing_nm + origin_nm) / NM_PER_UM
    shared = 0.0
    if rows and columns:
        # The table is sorted by rows.
        start, stop = np.searchsorted(table.rows, [rows[0], rows[0] + 1])
        both = int(table.voxels[start:stop][table.columns[start:stop] == columns[0]].sum())
        shared = both / int(table.true.sizes[rows[0]] + table.predicted.sizes[columns[0]] - both)
    return ObjectChange(
        _fate(len(rows), len(columns)),
        tuple(table.true.labels[rows].tolist()),
        tuple(table.predicted.labels[columns].tolist()),
        int(table.true.sizes[rows].sum()),
        int(table.predicted.sizes[columns].sum()),
        voxels_changed,
        shared,
        (float(z), float(y), float(x)),
    )


def _fate(present: int, imported: int) -> Fate:
    if not imported:
        return "gone"
    if not present:
        return "new"
    if present > 1 and imported == 1:
        return "merged"
    return "split" if present == 1 and imported > 1 else "changed"
