"""Rules by which operations change labels: each is resolved on the labels as the operations before it left them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.corrections.codes import LARGEST_MASK
from spherovem_core.corrections.grid import Index, LabelGrid, sample
from spherovem_core.corrections.journal import Entry
from spherovem_core.corrections.label_index import LabelledObject
from spherovem_core.corrections.line_cuts import LineCut, find_line_cut
from spherovem_core.corrections.object_box import ObjectBox, box_of
from spherovem_core.corrections.operations import (
    BACKGROUND,
    FIRST_TARGET,
    Accept,
    Add,
    Anchor,
    Delete,
    Exclude,
    Merge,
    Reject,
    Replace,
    Split,
)
from spherovem_core.corrections.outcomes import Applied, Outcome, place_of
from spherovem_core.corrections.packed_parts import PackedParts, sum_sizes
from spherovem_core.corrections.split_cache import SplitCache
from spherovem_core.corrections.splitting import SeedCut, find_seed_cut
from spherovem_core.errors import CorrectionError

VOLUME_RATIO = 1.5
"""Ratio of volumes beyond which an object is not the one that an operation was made on. Two objects whose volumes differ by a
factor r overlap by at most 1 / r of their union: beyond 1.5 by less than two thirds, wherever they lie. An object that took over
another of half its size, or lost a third, is beyond it; another segmentation that moves the surface of a ball of 15 voxels in
diameter by one voxel is not."""

NUMBERS_PER_LINE = 256
"""New labels that one line may make. They follow from its line number, so that they do not depend on the lines before it."""

LARGEST_LABEL = 2**32 - 1


class _UnfitError(Exception):
    """An operation does not fit the labels."""

    def __init__(self, reason: str, point_um: tuple[float, float, float] | None = None) -> None:
        super().__init__(reason)
        self.point_um = point_um


class Canvas(Protocol):
    """Labels that operations are applied to, as `LabelCanvas` and as the editor hold them."""

    @property
    def largest_automatic(self) -> int:
        """Largest label before the first correction."""

    @property
    def count(self) -> int:
        """Number of objects."""

    def find(self, label: int) -> LabelledObject | None:
        """Return an object by its present label; None if there is none."""

    def voxel(self, index: Index) -> int:
        """Return the label of one voxel."""

    def read(self, region: Region) -> NDArray[np.uint32]:
        """Return the labels of a region."""

    def relabel(self, label: int, to: int) -> None:
        """Give the voxels of an object the number of another object; 0 deletes it."""

    def paint(self, region: Region, values: NDArray[np.uint32], where: NDArray[np.bool_]) -> None:
        """Set the labels of some voxels of a region."""


class Rules:
    """Rules by which operations change labels: `Replay` applies a journal by them, and the editor shows what it will give.

    Parameters
    ----------
    canvas
        Labels; changed by `apply`.
    grid
        Their place.
    splits
        Splits that were made before; None makes all.
    """

    def __init__(self, canvas: Canvas, grid: LabelGrid, splits: SplitCache | None = None) -> None:
        self.grid = grid
        self.canvas = canvas
        self._splits = splits or SplitCache()
        self._outcomes: list[Outcome] = []
        self._corrected: set[int] = set()
        self._excluded: dict[str, set[int]] = {}
        self._accepted: dict[str, set[int]] = {}

    @property
    def applied(self) -> Applied:
        """Outcomes of the operations so far."""
        return Applied(
            tuple(self._outcomes),
            frozenset(self._corrected),
            {key: frozenset(labels) for key, labels in self._excluded.items()},
            {key: frozenset(labels) for key, labels in self._accepted.items()},
            self.canvas.count,
        )

    def apply(self, entry: Entry) -> Outcome:
        """Apply an operation, wholly or not at all.

        Raises
        ------
        CorrectionError
            If its new labels do not fit into 32 bits.
        """
        operation = entry.operation
        base = Outcome(entry.number, entry.id, operation.operation, point_um=place_of(operation))
        try:
            outcome = self._act(entry, base)
        except _UnfitError as unfit:
            outcome = replace(base, reason=str(unfit), point_um=unfit.point_um or base.point_um)
        self._outcomes.append(outcome)
        return outcome

    def label_at(self, point_um: Sequence[float]) -> int | None:
        """Return the label at a position, 0 for background; None outside the volume."""
        index = self.grid.index_of(point_um)
        return None if index is None else self.canvas.voxel(index)

    def volume_um3(self, label: int) -> float | None:
        """Return the volume of an object; None if there is none."""
        found = self.canvas.find(label)
        return None if found is None else found.voxels * self.grid.voxel_um3

    def _act(self, entry: Entry, base: Outcome) -> Outcome:
        operation = entry.operation
        match operation:
            case Merge():
                return self._merge(operation, base)
            case Split():
                return self._split(operation, entry, base)
            case Delete() | Reject():
                label = self._resolve(operation.object)
                self.canvas.relabel(label, 0)
                self._became({label: ()})
                return replace(base, before=(label,))
            case Add():
                return self._add(operation, entry, base)
            case Replace():
                return self._replace(operation, entry, base)
            case Exclude():
                label = self._resolve(operation.object)
                self._excluded[entry.id] = {label}
                return replace(base, before=(label,), after=(label,))
            case Accept():
                label = self._resolve(operation.object)
                self._accepted[entry.id] = {label}
                return replace(base, before=(label,), after=(label,))
            case _:
                raise CorrectionError(f"line {entry.number} is an undo, which is not applied to labels")

    def _resolve(self, anchor: Anchor) -> int:
        """Return the label of the object at an anchor."""
        label = self.label_at(anchor.point_um)
        if label is None:
            raise _UnfitError("the point lies outside the volume", anchor.point_um)
        if not label:
            raise _UnfitError("no object is at the point", anchor.point_um)
        found = self._object(label)
        then, now = anchor.volume_um3, found.voxels * self.grid.voxel_um3
        if then is not None and not is_same_size(then, now, found.voxels):
            raise _UnfitError(
                f"object {label} at the point has {now:.4g} µm³; the one that was corrected had {then:.4g} µm³",
                anchor.point_um,
            )
        return label

    def _object(self, label: int) -> LabelledObject:
        found = self.canvas.find(label)
        if found is None:
            raise CorrectionError(
                f"label {label} is not in the index of the labels; this is an error in spherovem"
            )
        return found

    def _merge(self, operation: Merge, base: Outcome) -> Outcome:
        labels = sorted({self._resolve(anchor) for anchor in operation.objects})
        if len(labels) == 1:
            raise _UnfitError(f"all points lie in one object, {labels[0]}")
        kept = max(labels, key=lambda label: (self._object(label).voxels, -label))
        for label in labels:
            self.canvas.relabel(label, kept)
        self._became(dict.fromkeys(labels, (kept,)))
        return replace(base, before=tuple(labels), after=(kept,))

    def _split(self, operation: Split, entry: Entry, base: Outcome) -> Outcome:
        labels = [self._resolve(anchor) for anchor in operation.objects]
        if len(set(labels)) > 1:
            names = ", ".join(map(str, sorted(set(labels))))
            raise _UnfitError(f"the points lie in different objects, {names}")
        label = labels[0]
        box = box_of(self.canvas.read, self.grid.shape, label, self._object(label))
        cut = self._cut(operation, box, label)
        # Read whole before the first voxel is painted: beside a cut, parts depend on their surroundings.
        pieces = [(region, PackedParts.pack(cut.parts(box, region))) for region in box.blocks()]
        sizes = sum_sizes(packed for _, packed in pieces)
        kept = int(sizes.argmax())
        new = iter(self._new_labels(entry, len(sizes) - 1))
        numbers = [label if part == kept else next(new) for part in range(len(sizes))]
        table = np.array([0, *numbers], np.uint32)
        for region, packed in pieces:
            parts = packed.unpack()
            self.canvas.paint(box.in_volume(region), table[parts], parts > 0)
        self._became({label: tuple(numbers)})
        return replace(base, before=(label,), after=tuple(numbers))

    def _cut(self, operation: Split, box: ObjectBox, label: int) -> SeedCut | LineCut:
        spacing = self.grid.spacing_um
        if operation.line is None:
            seeds = [self._within(anchor, box.low) for anchor in operation.objects]
            try:
                return find_seed_cut(box, spacing, seeds, self._splits.parts_of_seeds)
            except CorrectionError as error:
                raise _UnfitError(str(error)) from error
        corner = self.grid.point_of(box.low)
        start, end = (
            (p[0] - corner[0], p[1] - corner[1], p[2] - corner[2])
            for p in (operation.line.start_um, operation.line.end_um)
        )
        cut = find_line_cut(box, spacing, start, end)
        if cut is None:
            raise _UnfitError(f"the line does not cross object {label} in its slice", operation.line.start_um)
        return cut

    def _within(self, anchor: Anchor, low: Sequence[int]) -> Index:
        index = self.grid.index_of(anchor.point_um)
        if index is None:
            raise _UnfitError("the point lies outside the volume", anchor.point_um)
        return index[0] - low[0], index[1] - low[1], index[2] - low[2]

    def _add(self, operation: Add, entry: Entry, base: Outcome) -> Outcome:
        region, codes = self._codes(operation)
        wanted = codes > 0
        if not wanted.any():
            raise _UnfitError("no voxel of the labels has its centre in the mask")
        present = self.canvas.read(region)
        self._refuse_known(present[wanted])
        free = wanted & (present == 0)
        if not free.any():
            raise _UnfitError("the mask lies wholly over other objects")
        (label,) = self._new_labels(entry, 1)
        self.canvas.paint(region, np.full(present.shape, label, np.uint32), free)
        self._became({}, (label,))
        covered = int(wanted.sum() - free.sum())
        note = f"{covered} of {int(wanted.sum())} voxels stay with other objects" if covered else ""
        return replace(base, after=(label,), note=note)

    def _refuse_known(self, covered: NDArray[np.uint32]) -> None:
        """Refuse an object that is there already: one that covers most of the mask, and of which most is covered."""
        labels, counts = np.unique(covered[covered > 0], return_counts=True)
        for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
            if 2 * count > covered.size and 2 * count > self._object(label).voxels:
                raise _UnfitError(f"object {label} is there already")

    def _replace(self, operation: Replace, entry: Entry, base: Outcome) -> Outcome:
        region, codes = self._codes(operation)
        named = [None if target is None else self._resolve(target) for target in operation.targets]
        known = [label for label in named if label is not None]
        if len(set(known)) < len(known):
            twice = next(label for label in known if known.count(label) > 1)
            raise _UnfitError(f"two objects that were painted are one object now, {twice}")
        new = iter(self._new_labels(entry, named.count(None)))
        numbers = [next(new) if label is None else label for label in named]
        for code, label in enumerate(named, FIRST_TARGET):
            if label is None and not (codes == code).any():
                raise _UnfitError("no voxel of the labels has its centre in a new object of the mask")
        table = np.zeros(256, np.uint32)
        table[FIRST_TARGET : FIRST_TARGET + len(numbers)] = numbers
        values, where = table[codes], codes >= BACKGROUND
        present = self.canvas.read(region)
        changing = where & (present != values)
        if not changing.any():
            raise _UnfitError(
                "the labels there are so already" if where.any() else "the mask lies outside the volume"
            )
        before = {int(label) for label in np.unique(present[changing]) if label}
        after = {int(label) for label in np.unique(values[changing]) if label}
        self.canvas.paint(region, values, changing)
        touched = sorted(before | {label for label in after if label in known})
        left = [label for label in sorted(before | after) if self.canvas.find(label) is not None]
        self._became({label: (label,) if label in left else () for label in touched}, tuple(after - before))
        return replace(base, before=tuple(touched), after=tuple(left))

    def _codes(self, operation: Add | Replace) -> tuple[Region, NDArray[np.uint8]]:
        """Return the codes of a mask on the grid of the labels."""
        region, indices = self.grid.place(operation.mask)
        size = math.prod(side.stop - side.start for side in region)
        if not size:
            raise _UnfitError("the mask lies outside the volume")
        if size > LARGEST_MASK:
            raise _UnfitError(f"the mask covers {size} voxels of the labels; at most {LARGEST_MASK} fit")
        return region, sample(operation.mask.unpack(), indices)

    def _new_labels(self, entry: Entry, count: int) -> range:
        first = self.canvas.largest_automatic + NUMBERS_PER_LINE * entry.number
        if count > NUMBERS_PER_LINE:
            raise _UnfitError(f"it makes {count} new objects; one operation makes at most {NUMBERS_PER_LINE}")
        if first + count - 1 > LARGEST_LABEL:
            raise CorrectionError(
                f"line {entry.number} needs labels from {first} on, which do not fit into 32 bits; the largest of the automatic "
                f"labels is {self.canvas.largest_automatic}: number them from 1 on"
            )
        return range(first, first + count)

    def _became(self, fates: dict[int, tuple[int, ...]], new: Iterable[int] = ()) -> None:
        """Carry marks over from objects to what became of them.

        What was excluded stays so, in each of its parts; what was accepted was changed, and is so no more.
        """
        for marked in self._excluded.values():
            for label in marked & fates.keys():
                marked.discard(label)
                marked.update(fates[label])
        for marked in self._accepted.values():
            marked.difference_update(fates)
        self._corrected.difference_update(fates)
        self._corrected.update(new, *fates.values())

    def restore(self, applied: Applied) -> None:
        """Go back to earlier outcomes and marks; the labels go back by themselves."""
        self._outcomes, self._corrected = list(applied.outcomes), set(applied.corrected)
        self._excluded, self._accepted = (
            {key: set(labels) for key, labels in own.items()} for own in (applied.excluded, applied.accepted)
        )


def is_same_size(then_um3: float, now_um3: float, voxels: int) -> bool:
    """Return whether an object of a volume may be the one of another volume: up to `VOLUME_RATIO`, or more for a small object.

    The surface of the same object in another segmentation lies half a voxel off on either side, which changes its diameter of d
    voxels to d + 1.

    Parameters
    ----------
    voxels
        Those of the object now.
    """
    diameter = math.cbrt(6 * voxels / math.pi)
    return max(now_um3 / then_um3, then_um3 / now_um3) <= max(VOLUME_RATIO, (1 + 1 / diameter) ** 3)
