"""Size and place of the objects of a session, from the table where it fits the labels, else from the labels around a point."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.label_statistics import BOX_COLUMNS
from spherovem_core.store import Layout, StoredArray
from spherovem_core.store.layout import CorrectedKind, stage_table_path
from spherovem_core.store.tables import read_table, table_digest, table_history

FIRST_MARGIN = 64
LARGEST_BOX = 2**29
"""Voxels of the largest box that is searched for one object."""


@dataclass(frozen=True)
class KnownObject:
    """An object.

    Attributes
    ----------
    voxels
        Number of voxels; None where it was not counted.
    low, high
        Bounding box in voxels, `high` exclusive; it may be larger than the object after an edit.
    """

    voxels: int | None
    low: tuple[int, ...]
    high: tuple[int, ...]

    @property
    def region(self) -> Region:
        """The bounding box."""
        return tuple(map(slice, self.low, self.high))

    def joined(self, other: "KnownObject") -> "KnownObject":
        """Return the object of both."""
        voxels = None if self.voxels is None or other.voxels is None else self.voxels + other.voxels
        return KnownObject(
            voxels, tuple(map(min, self.low, other.low)), tuple(map(max, self.high, other.high))
        )


def tabled_objects(layout: Layout, kind: CorrectedKind, labels: StoredArray) -> dict[int, KnownObject]:
    """Return the objects of the table that was measured on exactly these labels; empty if there is none."""
    path = stage_table_path("nanoparticles" if kind == "nanoparticles" else f"shape-{kind}")
    history = table_history(layout, path)
    fits = table_digest(layout, path) == labels.digest or (
        bool(history) and labels.digest in history[-1].get("inputs", [])
    )
    if not fits:
        return {}
    try:
        table = read_table(layout, path)
    except IncompleteArtifactError:
        return {}
    if not {"label", "voxel_count", *BOX_COLUMNS} <= set(table.columns):
        return {}
    boxes = table[list(BOX_COLUMNS)].to_numpy(np.int64).tolist()
    counted = zip(table["label"].tolist(), table["voxel_count"].tolist(), boxes, strict=True)
    return {
        int(label): KnownObject(int(voxels), tuple(box[:3]), tuple(box[3:])) for label, voxels, box in counted
    }


def measure_around(
    read: Callable[[Region], NDArray[Any]], shape: Sequence[int], label: int, index: Sequence[int]
) -> KnownObject:
    """Measure an object in a box around one of its voxels, which grows until the object touches none of its sides.

    Pieces of the object beyond a gap of 64 voxels are missed. An object whose box exceeds `LARGEST_BOX` is not counted.
    """
    low = [max(0, i - FIRST_MARGIN) for i in index]
    high = [min(n, i + FIRST_MARGIN + 1) for i, n in zip(index, shape, strict=True)]
    while True:
        region = tuple(map(slice, low, high))
        if np.prod([side.stop - side.start for side in region], dtype=np.int64) > LARGEST_BOX:
            return KnownObject(None, tuple(low), tuple(high))
        own = read(region) == label
        grown = False
        for axis in range(3):
            step = max(FIRST_MARGIN, high[axis] - low[axis])
            if low[axis] > 0 and own.take(0, axis).any():
                low[axis], grown = max(0, low[axis] - step), True
            if high[axis] < shape[axis] and own.take(-1, axis).any():
                high[axis], grown = min(shape[axis], high[axis] + step), True
        if not grown:
            return shrunk(own, region)


def shrunk(own: NDArray[np.bool_], region: Region) -> KnownObject:
    """Return the object of a mask in a region."""
    low, high = [], []
    for axis, side in enumerate(region):
        present = np.flatnonzero(own.any(axis=tuple(each for each in range(3) if each != axis)))
        first, last = (int(present[0]), int(present[-1])) if len(present) else (0, 0)
        low.append(side.start + first)
        high.append(side.start + last + 1)
    return KnownObject(int(np.count_nonzero(own)), tuple(low), tuple(high))


class ObjectRegister:
    """Objects of a session by their present labels.

    Parameters
    ----------
    tabled
        Objects before the session, as far as they are known.
    read
        Returns the labels of a region as they are now.
    shape
        Shape of the labels.
    """

    def __init__(
        self,
        tabled: Mapping[int, KnownObject],
        read: Callable[[Region], NDArray[np.uint32]],
        shape: Sequence[int],
    ) -> None:
        self._tabled = dict(tabled)
        self._read, self._shape = read, shape
        self.changed: dict[int, KnownObject | None] = {}

    def find(self, label: int, index: Sequence[int] | None = None) -> KnownObject | None:
        """Return an object; one that no table holds is measured around `index`."""
        if label in self.changed:
            return self.changed[label]
        if label not in self._tabled and index is not None:
            self._tabled[label] = measure_around(self._read, self._shape, label, index)
        return self._tabled.get(label)

    def set(self, label: int, found: KnownObject | None) -> None:
        """Record what became of an object; None if it is gone."""
        self.changed = {**self.changed, label: found}

    def give(self, label: int, added: KnownObject) -> None:
        """Add voxels to an object."""
        known = self.find(label)
        self.set(label, added if known is None else known.joined(added))

    def take(self, label: int, voxels: int) -> None:
        """Take voxels from an object."""
        known = self.find(label)
        if known is not None and known.voxels is not None:
            left = known.voxels - voxels
            self.set(label, KnownObject(left, known.low, known.high) if left > 0 else None)
