"""Contacts measured before, of which only those are measured again that a change of labels can have touched.

A face depends on the labels as far as they grow (`gap_reach`), and its normal on faces of the same two labels around it. What
changed since lies in the boxes of the labels that are gone or new, by number and content. Outside of these boxes, widened by the
reach of growth, all faces are as they were. So the piece of a contact in a block stays if both its labels are the same, none of
its faces lay in a widened box, and none lies there now. The faces of all other pairs are in the widened boxes, or in the boxes
that their faces filled before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, corners
from spherovem_core.known_blocks import KnownResults, columns_from_text, columns_to_text
from spherovem_core.label_statistics import LabelStatistics
from spherovem_core.spatial.contact_areas import Pieces

WORK = "pieces of contacts"
"""Name of this work among the known results."""

AROUND, CHANGED = 1, 2
"""Marks of voxels whose faces are looked at again: of pairs that something touched, and where something changed."""

Boxes = NDArray[np.int64]
Present = tuple[NDArray[np.uint32], NDArray[np.uint64], Boxes]


@dataclass(frozen=True, eq=False)
class BlockChanges:
    """Changes in a block since its contacts were measured: which contacts stay, and where to measure again.

    Attributes
    ----------
    block
        The block.
    kept
        Pieces that stay as they are if no face of theirs is found in a changed box.
    changed : (N, 6) ndarray of int64
        Boxes, in voxels of the volume, that hold all faces which changed.
    around : (N, 6) ndarray of int64
        Boxes of the former faces of pairs that are measured again.
    """

    block: Block
    kept: Pieces
    changed: Boxes
    around: Boxes

    @property
    def is_same(self) -> bool:
        """True if nothing changed in the block or around it."""
        return not len(self.changed)


def whole_block(block: Block) -> BlockChanges:
    """Return a block of which nothing is known."""
    outer = np.concatenate(corners(block.outer))
    return BlockChanges(block, Pieces.none(), outer[None], np.empty((0, 6), np.int64))


class KnownContacts:
    """Pieces of contacts by block, with the labels in and around each block by number and content.

    Parameters
    ----------
    known
        Results so far.
    statistics
        Statistics of the present labels.
    growth
        Voxels along z, y, x as far as a face depends on labels (`gap_reach`).
    """

    def __init__(self, known: KnownResults, statistics: LabelStatistics, growth: Sequence[int]) -> None:
        self._known = known
        self._statistics = statistics
        self._growth = np.array(growth, np.int64) + 1
        self._present: dict[tuple[int, ...], Present] = {}

    def changes(self, block: Block) -> BlockChanges:
        """Find what is to be measured again in a block."""
        labels, content, boxes = self._present[block.index] = self._labels_in(block)
        entry = self._known.find(_key(block))
        if entry is None:
            return whole_block(block)
        before = columns_from_text(entry)
        gone, fresh = _unlike((before["labels"], before["content"]), (labels, content))
        changed = np.concatenate([before["boxes"][gone], boxes[fresh]])
        changed[:, :3] -= self._growth
        changed[:, 3:] += self._growth
        changed = _within(changed, block)
        pieces = Pieces(before["pairs"], before["faces"], before["sums"])
        stays = ~np.isin(pieces.pairs, before["labels"][gone]).any(axis=1)
        touched = stays & _meet(pieces.faces, changed)
        around = _within(pieces.faces[touched], block)
        return BlockChanges(block, pieces.select(stays & ~touched), changed, around)

    def add(self, block: Block, pieces: Pieces, taken_over: int) -> None:
        """Keep the pieces of a block whose changes were found, of which some were taken over."""
        labels, content, boxes = self._present.pop(block.index)
        columns = {"labels": labels, "content": content, "boxes": boxes, **pieces._asdict()}
        self._known.add(_key(block), columns_to_text(columns))
        self._known.count(WORK, len(pieces.pairs) - taken_over, taken_over)

    def _labels_in(self, block: Block) -> Present:
        """Return the labels in a block and around it, with their content and boxes."""
        own = self._statistics
        low, high = corners(block.outer)
        rows = ((own.low < high) & (own.high > low)).all(axis=1)
        return own.labels[rows], own.content[rows], np.hstack([own.low[rows], own.high[rows]])


def mark_boxes(changes: BlockChanges, widen: Sequence[int] = (0, 0, 0)) -> NDArray[np.uint8]:
    """Mark the voxels of a block with its surroundings: `CHANGED` in changed boxes, `AROUND` in the others, 0 elsewhere."""
    start, stop = corners(changes.block.outer)
    marks = np.zeros(stop - start, np.uint8)
    for value, boxes in ((AROUND, changes.around), (CHANGED, changes.changed)):
        for box in boxes:
            low = np.maximum(box[:3] - start - widen, 0)
            high = box[3:] - start + widen
            marks[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))] = value
    return marks


def _key(block: Block) -> str:
    sides = zip(block.core, block.outer, strict=True)
    return f"{WORK} " + " ".join(f"{o.start}:{c.start}:{c.stop}:{o.stop}" for c, o in sides)


def _unlike(
    before: tuple[NDArray[np.uint32], NDArray[np.uint64]], now: tuple[NDArray[np.uint32], NDArray[np.uint64]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which labels of before are not there now as they were, and which of now were not there before."""
    rows = [
        [(int(label), *content) for label, content in zip(labels, contents.tolist(), strict=True)]
        for labels, contents in (before, now)
    ]
    known, present = map(set, rows)
    return (
        np.array([row not in present for row in rows[0]], np.bool_),
        np.array([row not in known for row in rows[1]], np.bool_),
    )


def _within(boxes: Boxes, block: Block) -> Boxes:
    """Cut boxes to a block with its surroundings, and leave out those beside it."""
    low, high = corners(block.outer)
    cut = np.hstack([np.maximum(boxes[:, :3], low), np.minimum(boxes[:, 3:], high)])
    return cut[(cut[:, :3] < cut[:, 3:]).all(axis=1)]


def _meet(boxes: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Return which boxes meet any of some others."""
    lower = boxes[:, None, :3] < others[None, :, 3:]
    upper = boxes[:, None, 3:] > others[None, :, :3]
    return np.asarray(np.any(np.all(lower & upper, axis=2), axis=1), np.bool_)
