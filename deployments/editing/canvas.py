"""Effect of operations on the labels of a session."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deployments.editing.cuts import cut_along, cut_between
from deployments.editing.edited_labels import Changes, EditedLabels, Index
from deployments.editing.known_objects import KnownObject, ObjectRegister, shrunk
from spherovem_core.blocks import Region
from spherovem_core.corrections import (
    Accept,
    Add,
    Anchor,
    Delete,
    Exclude,
    MaskCodes,
    Merge,
    Operation,
    Reject,
    Replace,
    Split,
    Undo,
)
from spherovem_core.corrections.application import is_same_size
from spherovem_core.corrections.grid import LabelGrid, sample
from spherovem_core.corrections.operations import FIRST_TARGET
from spherovem_core.errors import CorrectionError
from spherovem_core.spacing import SpacingNm

FIRST_NEW_LABEL = 2**31
"""Numbers of new objects while they are edited; the application numbers them anew."""

LARGEST_SPLIT = 2**29
"""Voxels of the box of an object that can be split here."""

Mark = Literal["accepted", "excluded"]


@dataclass(frozen=True)
class Snapshot:
    """State of a canvas at one moment."""

    changes: Changes
    objects: Mapping[int, KnownObject | None]
    marks: Mapping[int, frozenset[Mark]]
    next_label: int


class Canvas:
    """Labels, their objects and the marks on them, with operations applied.

    Attributes
    ----------
    labels, objects
        What there is now.
    grid
        Their place.
    marks
        Which objects are accepted or excluded.
    """

    def __init__(
        self,
        labels: EditedLabels,
        tabled: Mapping[int, KnownObject],
        spacing_nm: SpacingNm,
        origin_nm: SpacingNm,
    ) -> None:
        self.labels = labels
        self.objects = ObjectRegister(tabled, labels.read, labels.shape)
        self.marks: dict[int, frozenset[Mark]] = {}
        self.grid = LabelGrid(labels.shape, spacing_nm, origin_nm)
        self._next_label = FIRST_NEW_LABEL

    def snapshot(self) -> Snapshot:
        """Return the present state."""
        return Snapshot(self.labels.changes, self.objects.changed, dict(self.marks), self._next_label)

    def restore(self, state: Snapshot) -> None:
        """Go back to a state."""
        self.labels.changes, self.objects.changed = state.changes, dict(state.objects)
        self.marks, self._next_label = dict(state.marks), state.next_label

    def index_of(self, point_um: Sequence[float]) -> Index:
        """Return the voxel that holds a position, also outside the volume."""
        return self.grid.voxel_of(point_um)

    def point_of(self, index: Sequence[float]) -> tuple[float, float, float]:
        """Return the position of the centre of a voxel in µm."""
        return self.grid.point_of(index)

    def object_at(self, point_um: Sequence[float]) -> int:
        """Return the label at a position; 0 for background and outside."""
        return self.labels.at(self.index_of(point_um))

    def anchor(self, index: Sequence[int]) -> Anchor:
        """Return the anchor of the object at a voxel, with its present volume."""
        label = self.labels.at(index)
        known = self.objects.find(label, index) if label else None
        volume = known.voxels * self.grid.voxel_um3 if known and known.voxels else None
        return Anchor(point_um=self.point_of(index), volume_um3=volume)

    def resolve(self, anchor: Anchor) -> int:
        """Return the label of the object that an anchor means.

        Raises
        ------
        CorrectionError
            If there is none, or one of quite another size.
        """
        index = self.index_of(anchor.point_um)
        label = self.labels.at(index)
        place = "z {:.2f}, y {:.2f}, x {:.2f} µm".format(*anchor.point_um)
        if not label:
            raise CorrectionError(f"there is no object at {place}")
        known = self.objects.find(label, index)
        if anchor.volume_um3 and known is not None and known.voxels:
            volume = known.voxels * self.grid.voxel_um3
            if not is_same_size(anchor.volume_um3, volume, known.voxels):
                raise CorrectionError(
                    f"the object at {place} has {volume:.3g} µm³, the one that was meant had {anchor.volume_um3:.3g} µm³"
                )
        return label

    def apply(self, operation: Operation) -> None:
        """Apply an operation, whole or not at all.

        Raises
        ------
        CorrectionError
            If it does not fit the labels.
        """
        before = self.snapshot()
        try:
            self._apply(operation)
        except BaseException:
            self.restore(before)
            raise

    def _apply(self, operation: Operation) -> None:
        match operation:
            case Merge():
                self._merge([self.resolve(each) for each in operation.objects])
            case Split():
                self._split(operation)
            case Delete() | Reject():
                label = self.resolve(operation.object)
                self.labels.renumber(label, 0)
                self._remove(label)
            case Accept():
                self._mark(self.resolve(operation.object), "accepted")
            case Exclude():
                self._mark(self.resolve(operation.object), "excluded")
            case Add():
                self._add(operation.mask)
            case Replace():
                self._replace(operation)
            case Undo():
                raise CorrectionError("an undo belongs into the journal: spherovem labels undo")

    def _merge(self, labels: Sequence[int]) -> None:
        distinct = list(dict.fromkeys(labels))
        if len(distinct) < 2:
            raise CorrectionError("these points lie in one object already; choose two different objects")
        kept = distinct[0]
        for label in distinct[1:]:
            known, own = self.objects.find(label), self.objects.find(kept)
            self.labels.renumber(label, kept)
            self.objects.set(kept, own.joined(known) if own and known else None)
            self._remove(label)
        self.marks.pop(kept, None)

    def _split(self, operation: Split) -> None:
        labels = {self.resolve(each) for each in operation.objects}
        if len(labels) > 1:
            raise CorrectionError(
                f"the {len(operation.objects)} points lie in {len(labels)} different objects; set all of them in one"
            )
        (label,) = labels
        known = self.objects.find(label)
        region = self._with_margin(known.region if known else self._whole())
        size = math.prod(side.stop - side.start for side in region)
        if known is None or size > LARGEST_SPLIT:
            raise CorrectionError(
                f"the object fills a box of {size / 1e9:.1f} billion voxels; at most {LARGEST_SPLIT / 1e9:.1f} can be split here"
            )
        mask = self.labels.read(region) == label
        start = [side.start for side in region]
        if operation.line is None:
            seeds = [
                [i - low for i, low in zip(self.index_of(each.point_um), start, strict=True)]
                for each in operation.objects
            ]
            parts = cut_between(mask, seeds, self.grid.spacing_nm)
        else:
            parts = cut_along(mask, operation.line, self.point_of(start), self.grid.spacing_nm)
        self._number_parts(label, region, parts)

    def _number_parts(self, label: int, region: Region, parts: NDArray[np.uint8]) -> None:
        """Give each part but the largest a new label."""
        order = np.argsort(-np.bincount(parts.ravel())[1:], kind="stable") + 1
        table = np.zeros(256, np.uint8)
        new = [self._new_label() for _ in order[1:]]
        table[order[1:]] = np.arange(1, len(order))
        self.labels.paint(region, table[parts], new)
        self.objects.set(label, shrunk(parts == order[0], region))
        for number, part in zip(new, order[1:], strict=True):
            self.objects.set(number, shrunk(parts == part, region))
        self.marks.pop(label, None)

    def _add(self, mask: MaskCodes) -> None:
        region, codes = self._placed(mask)
        free = (codes > 0) & (self.labels.read(region) == 0)
        if not free.any():
            raise CorrectionError("the object to add lies on other objects or outside the volume")
        label = self._new_label()
        self.labels.paint(region, free.astype(np.uint8), [label])
        self.objects.set(label, shrunk(free, region))

    def _replace(self, operation: Replace) -> None:
        targets = [self._new_label() if each is None else self.resolve(each) for each in operation.targets]
        region, codes = self._placed(operation.mask)
        labels = np.array([0, 0, *targets], np.uint32)
        before, after = self.labels.read(region), labels[codes]
        changed = (codes > 0) & (before != after)
        if not changed.any():
            raise CorrectionError("the painting changes nothing")
        for label, count, index in _first_voxels(before, changed, region):
            # Measured before it changes, where no table knows it.
            self.objects.find(label, index)
            self.objects.take(label, count)
        for code, label in enumerate(targets, start=FIRST_TARGET):
            given = changed & (codes == code)
            if given.any():
                self.objects.give(label, shrunk(given, region))
        # The codes of a mask count the same way: 1 is the background, 2 the first target.
        self.labels.paint(region, np.where(changed, codes, np.uint8(0)), [0, *targets])

    def _placed(self, mask: MaskCodes) -> tuple[Region, NDArray[np.uint8]]:
        region, places = self.grid.place(mask)
        codes = sample(mask.unpack(), places)
        if not codes.any():
            raise CorrectionError("the mask lies outside the volume")
        return region, codes

    def _mark(self, label: int, mark: Mark) -> None:
        if mark in self.marks.get(label, frozenset()):
            raise CorrectionError(f"this object is {mark} already")
        self.marks[label] = self.marks.get(label, frozenset()) | {mark}

    def _remove(self, label: int) -> None:
        self.objects.set(label, None)
        self.marks.pop(label, None)

    def _new_label(self) -> int:
        self._next_label += 1
        return self._next_label

    def _whole(self) -> Region:
        return tuple(slice(0, side) for side in self.labels.shape)

    def _with_margin(self, region: Region) -> Region:
        return tuple(
            slice(max(0, side.start - 1), min(n, side.stop + 1))
            for side, n in zip(region, self.labels.shape, strict=True)
        )


def _first_voxels(
    labels: NDArray[np.uint32], where: NDArray[np.bool_], region: Region
) -> list[tuple[int, int, Index]]:
    """List the labels of some voxels of a region, without 0: label, number of these voxels, and one of them."""
    chosen = np.argwhere(where)
    found, first, counts = np.unique(labels[where], return_index=True, return_counts=True)
    places = chosen[first] + [side.start for side in region]
    return [
        (int(label), int(count), (int(z), int(y), int(x)))
        for label, count, (z, y, x) in zip(found, counts, places.tolist(), strict=True)
        if label
    ]
