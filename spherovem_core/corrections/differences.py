"""Differences between present and wanted labels as operations that turn one into the other, voxel for voxel."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.corrections.codes import MaskCodes
from spherovem_core.corrections.inner_points import Inside, find_inner_point
from spherovem_core.corrections.operations import (
    Add,
    Anchor,
    Delete,
    Merge,
    Operation,
    Replace,
)
from spherovem_core.corrections.painting import cut_box, paint_object
from spherovem_core.corrections.renumbering import Renumbering
from spherovem_core.errors import CorrectionError
from spherovem_core.label_overlaps import Contingency
from spherovem_core.spacing import NM_PER_UM, SpacingNm, voxel_volume_um3

Voxel = tuple[int, int, int]

MASK_VOXELS = 2**25
"""Largest box of one operation; who applies it needs some 20 bytes per voxel."""


def find_operations(
    present: ArrayLike,
    wanted: ArrayLike,
    table: Contingency,
    goes: Mapping[int, int],
    spacing_nm: SpacingNm,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
) -> tuple[Operation, ...]:
    """Find operations that make the wanted labels of the present ones, up to the numbers of new objects.

    Whole objects come first: gone ones are deleted, and those that go to one object are merged. What still differs is then
    painted, with one `replace` for each object that gains voxels or loses some to the background, and one `add` or `replace` for
    each new one. Its mask is the box of the differing voxels; a mask of more than `MASK_VOXELS` voxels is cut. Each voxel is
    painted at most once, and operations are anchored in voxels that none of them paints.

    Parameters
    ----------
    present : (Z, Y, X) array-like of integers
        The labels as they are.
    wanted : (Z, Y, X) array-like of integers
        The labels as they should be. An object that continues a present one has its number; a new one has a number above all
        present ones.
    table
        Overlaps of `present` (`true`) with `wanted` (`predicted`).
    goes
        Number of the wanted object that continues each present one; 0 if it is gone.
    spacing_nm, origin_nm
        Voxel size, and centre of the first voxel.

    Returns
    -------
    tuple of Operation
        In the order in which they are applied; empty if nothing differs.
    """
    return tuple(_Differences(present, wanted, table, goes, spacing_nm, origin_nm).operations())


@dataclass
class _Differences:
    present: ArrayLike
    wanted: ArrayLike
    table: Contingency
    goes: Mapping[int, int]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm
    voxels: dict[int, int] = field(default_factory=dict)
    """Voxels of each object after the operations so far."""

    def __post_init__(self) -> None:
        labels, wanted = self.table.true.labels, self.table.predicted.labels
        self.before = labels[self.table.rows]
        self.after = wanted[self.table.columns]
        stays = np.array([self.goes[label] if label else 0 for label in self.before.tolist()], np.int64)
        # An object of which no voxel stays where it goes has no place for an anchor; it is deleted and painted.
        held = set(self.before[(stays == self.after) & (stays > 0)].tolist())
        self.goes = {label: number if label in held else 0 for label, number in self.goes.items()}
        self.middle = np.array([self.goes[label] if label else 0 for label in self.before.tolist()], np.int64)
        self.after_merging = Renumbering(self.goes)
        self.sizes = dict(zip(labels.tolist(), self.table.true.sizes.tolist(), strict=True))

    def operations(self) -> Iterator[Operation]:
        yield from self._deletions()
        yield from self._merges()
        yield from self._paintings()

    def _deletions(self) -> Iterator[Delete]:
        for label in sorted(label for label, number in self.goes.items() if not number):
            row = int(np.searchsorted(self.table.true.labels, label))

            def inside(region: Region, label: int = label) -> NDArray[np.bool_]:
                found: NDArray[np.bool_] = np.asarray(self.present[region]) == label
                return found

            point = self._inside(self.table.true.boxes[row], inside)
            yield Delete(object=self._at(point, self.sizes[label]))

    def _merges(self) -> Iterator[Merge]:
        sources: dict[int, list[int]] = defaultdict(list)
        for label, number in self.goes.items():
            if number:
                sources[number].append(label)
                self.voxels[number] = self.voxels.get(number, 0) + self.sizes[label]
        for number, labels in sorted(sources.items()):
            if len(labels) > 1:
                labels.sort(key=lambda label: (label != number, -self.sizes[label], label))
                yield Merge(
                    objects=tuple(
                        self._at(self._shared_point(label, number), self.sizes[label]) for label in labels
                    )
                )

    def _paintings(self) -> Iterator[Operation]:
        differs = self.middle != self.after
        owner = np.where(self.after > 0, self.after, self.middle)
        known = set(self.voxels)
        found = np.unique(owner[differs]).tolist()
        for number in sorted(found, key=lambda number: (number not in known, number)):
            boxes = self.table.boxes[differs & (owner == number)]
            box = np.stack([boxes[:, :, 0].min(0), boxes[:, :, 1].max(0)], axis=1)
            yield from self._paint(number, box, new=number not in known)

    def _paint(self, number: int, box: NDArray[np.int64], *, new: bool) -> Iterator[Operation]:
        """Paint what an object gains, and what it loses to the background."""
        target = None if new else self._stable_point(number)
        for region in cut_box(box, MASK_VOXELS):
            painting = paint_object(self.present, self.wanted, self.after_merging, number, region)
            if painting is None:
                continue
            place = self._position(painting.corner)
            if target is None and not painting.taken:
                yield Add(mask=MaskCodes.pack(painting.codes > 0, place, self.spacing_nm))
            else:
                mask = MaskCodes.pack(painting.codes, place, self.spacing_nm)
                yield Replace(mask=mask, targets=(target and self._at(target, self.voxels[number]),))
            self.voxels[number] = self.voxels.get(number, 0) + painting.gained - painting.lost
            for other, count in painting.taken.items():
                self.voxels[other] -= count
            target = target or self._inside(painting.box, painting.gains)

    def _stable_point(self, number: int) -> Voxel:
        """Return a voxel that belongs to an object before, between and after all operations."""
        stays = np.flatnonzero((self.middle == number) & (self.after == number))
        pair = stays[np.argmax(self.table.voxels[stays])]
        return self._shared_point(int(self.before[pair]), number)

    def _shared_point(self, label: int, number: int) -> Voxel:
        """Return a voxel of a present object that goes where the object goes."""
        (pair,) = np.flatnonzero((self.before == label) & (self.after == number))

        def inside(region: Region) -> NDArray[np.bool_]:
            found: NDArray[np.bool_] = (np.asarray(self.present[region]) == label) & (
                np.asarray(self.wanted[region]) == number
            )
            return found

        return self._inside(self.table.boxes[pair], inside)

    def _inside(self, box: NDArray[np.int64], inside: Inside) -> Voxel:
        point = find_inner_point(box, inside, self.spacing_nm)
        if point is None:
            raise CorrectionError(
                "the labels changed while they were compared; leave both alone until the import has ended"
            )
        return point

    def _at(self, voxel: Voxel, size: int) -> Anchor:
        return Anchor(point_um=self._position(voxel), volume_um3=size * voxel_volume_um3(self.spacing_nm))

    def _position(self, voxel: Voxel) -> tuple[float, float, float]:
        z, y, x = (
            (index * side + origin) / NM_PER_UM
            for index, side, origin in zip(voxel, self.spacing_nm, self.origin_nm, strict=True)
        )
        return z, y, x
