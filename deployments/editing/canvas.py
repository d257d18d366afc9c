"""Effect of operations on the labels of a session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deployments.editing.edited_labels import Changes, EditedLabels, Index
from deployments.editing.known_objects import KnownObject, ObjectRegister, shrunk
from spherovem_core.blocks import Region
from spherovem_core.corrections import Anchor, Applied, Entry, Operation, Undo
from spherovem_core.corrections.grid import LabelGrid
from spherovem_core.corrections.label_index import LabelledObject
from spherovem_core.corrections.painted_labels import blocks_in
from spherovem_core.corrections.rules import Rules
from spherovem_core.errors import CorrectionError
from spherovem_core.spacing import SpacingNm

FIRST_NEW_LABEL = 2**31
"""Numbers of new objects while they are edited; the application numbers them anew."""

MOST_CODES = 255
"""Labels of one patch."""

Mark = Literal["accepted", "excluded"]


@dataclass(frozen=True)
class Snapshot:
    """State of a canvas at one moment."""

    changes: Changes
    objects: Mapping[int, KnownObject | None]
    applied: Applied
    done: int


class Canvas:
    """Labels, their objects and the marks on them, changed by the rules that apply a journal.

    Attributes
    ----------
    labels, objects
        What there is now.
    grid
        Their place.
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
        self.grid = LabelGrid(labels.shape, spacing_nm, origin_nm)
        self._rules = Rules(_RuledLabels(labels, self.objects), self.grid)
        self._done = 0

    @property
    def marks(self) -> dict[int, frozenset[Mark]]:
        """Which objects are accepted or excluded."""
        applied = self._rules.applied
        found: dict[int, frozenset[Mark]] = {}
        for label in applied.accepted_labels:
            found[label] = frozenset({"accepted"})
        for label in applied.excluded_labels:
            found[label] = found.get(label, frozenset()) | {"excluded"}
        return found

    def snapshot(self) -> Snapshot:
        """Return the present state."""
        return Snapshot(self.labels.changes, self.objects.changed, self._rules.applied, self._done)

    def restore(self, state: Snapshot) -> None:
        """Go back to a state."""
        self.labels.changes, self.objects.changed = state.changes, dict(state.objects)
        self._rules.restore(state.applied)
        self._done = state.done

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

    def apply(self, operation: Operation) -> None:
        """Apply an operation as the journal will, whole or not at all.

        Raises
        ------
        CorrectionError
            If it does not fit the labels.
        """
        if isinstance(operation, Undo):
            raise CorrectionError("an undo belongs into the journal: spherovem labels undo")
        before = self.snapshot()
        self._done += 1
        try:
            outcome = self._rules.apply(Entry(self._done, str(self._done), "", "", "", operation))
            if outcome.reason:
                raise CorrectionError(outcome.reason)
        except BaseException:
            self.restore(before)
            raise


class _RuledLabels:
    """Edited labels as the rules of corrections see them."""

    largest_automatic = FIRST_NEW_LABEL

    def __init__(self, labels: EditedLabels, objects: ObjectRegister) -> None:
        self._labels, self._objects = labels, objects

    @property
    def count(self) -> int:
        """Number of objects that operations changed; all are not known."""
        return sum(found is not None for found in self._objects.changed.values())

    def find(self, label: int) -> LabelledObject | None:
        """Return an object; None if there is none, or it was not seen and no table knows it."""
        known = self._objects.find(label)
        if known is None:
            return None
        if known.voxels is None:
            raise CorrectionError(
                f"object {label} is too large to be measured here, and no table holds its size; process the acquisition first"
            )
        blocks = frozenset(place for place, _, _ in blocks_in(known.region))
        return LabelledObject(known.voxels, known.low, known.high, blocks)

    def voxel(self, index: Index) -> int:
        """Return the label of one voxel; its object is known from then on."""
        label = self._labels.at(index)
        if label:
            # Measured before it changes, where no table knows it.
            self._objects.find(label, index)
        return label

    def read(self, region: Region) -> NDArray[np.uint32]:
        """Return the labels of a region."""
        return self._labels.read(region)

    def relabel(self, label: int, to: int) -> None:
        """Give the voxels of an object the number of another object; 0 deletes it."""
        known = self._objects.find(label)
        if known is None or label == to:
            return
        self._labels.renumber(label, to)
        self._objects.set(label, None)
        if to:
            self._objects.give(to, known)

    def paint(self, region: Region, values: NDArray[np.uint32], where: NDArray[np.bool_]) -> None:
        """Set the labels of some voxels of a region."""
        before = self._labels.read(region)
        where = where & (before != values)
        for label, count, index in _first_voxels(before, where, region):
            self._objects.find(label, index)
            self._objects.take(label, count)
        given = np.unique(values[where])
        for start in range(0, len(given), MOST_CODES):
            labels = given[start : start + MOST_CODES]
            chosen = where & (values >= labels[0]) & (values <= labels[-1])
            codes = np.zeros(values.shape, np.uint8)
            codes[chosen] = np.searchsorted(labels, values[chosen]) + 1
            for code, label in enumerate(labels.tolist(), 1):
                if label:
                    self._objects.give(label, shrunk(codes == code, region))
            self._labels.paint(region, codes, labels.tolist())


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
