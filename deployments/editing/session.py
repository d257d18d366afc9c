"""An editing session: what a person does with labels becomes operations, shown at once and saved to the journal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployments.editing.anchoring import inner_voxel, voxel_of_object
from deployments.editing.canvas import Canvas, Mark, Snapshot
from deployments.editing.edited_labels import Index
from deployments.editing.operation_texts import describe
from deployments.editing.suspects import Suspect
from deployments.editing.unsaved import UnsavedOperations, read_operations, write_operations
from spherovem_core.blocks import Region
from spherovem_core.corrections import (
    Accept,
    CutLine,
    Delete,
    Entry,
    Exclude,
    Journal,
    MaskCodes,
    Merge,
    Operation,
    Reject,
    Replace,
    Split,
)
from spherovem_core.corrections.operations import FIRST_TARGET
from spherovem_core.errors import CorrectionError

Point = Sequence[float]
MARKING = {"delete": Delete, "reject": Reject, "accept": Accept, "exclude": Exclude}
MARKS: dict[str, Mark] = {"accept": "accepted", "exclude": "excluded"}


@dataclass(frozen=True)
class Pending:
    """An operation that is not saved, and the state before it."""

    operation: Operation
    before: Snapshot


@dataclass
class EditingSession:
    """Session on the labels of one kind of one acquisition.

    All positions are z, y, x in µm, in the frame of the tables' centroids. Every action applies one operation, or raises a
    `CorrectionError` that says in one sentence why it does not fit, and changes nothing. Used by one thread at a time.

    Attributes
    ----------
    canvas
        Labels with all operations in them.
    journal
        Journal that `save` writes to.
    unsaved
        File of the unsaved operations, written after every action.
    author
        Name under which operations are saved.
    head
        Digest of the journal's last line when it was read.
    suspects
        Suspects of the review.
    pending
        Operations that are not saved, in order.
    saved
        Number of operations that this session saved.
    changed
        Called after every change.
    """

    canvas: Canvas
    journal: Journal
    unsaved: UnsavedOperations
    author: str
    head: str
    suspects: Sequence[Suspect] = ()
    pending: list[Pending] = field(default_factory=list)
    saved: int = 0
    changed: Callable[[], None] = lambda: None
    _undone: list[Operation] = field(default_factory=list)

    @property
    def operations(self) -> list[Operation]:
        """Operations that are not saved, in order."""
        return [each.operation for each in self.pending]

    def object_at(self, point_um: Point) -> int:
        """Return the label at a position; 0 for background and outside."""
        return self.canvas.object_at(point_um)

    def present_label(self, label: int) -> int:
        """Return the number that an object of the labels on disk has now; 0 if it is gone."""
        return self.canvas.labels.changes.numbers.get(label, label)

    def merge(self, points: Sequence[Point]) -> str:
        """Merge the objects at these points."""
        self._check_hits(points)
        return self._do(Merge(objects=tuple(self.canvas.anchor(self._inner(point)) for point in points)))

    def split_between(self, points: Sequence[Point]) -> str:
        """Split the object in which these points lie, one part for each."""
        if len(points) < 2:
            raise CorrectionError("set two points or more in one object, one for each part")
        self._check_hits(points)
        # Seeds stay where they were set.
        return self._do(
            Split(objects=tuple(self.canvas.anchor(self.canvas.index_of(point)) for point in points))
        )

    def split_along(self, start: Point, end: Point) -> str:
        """Split the object that a line in one slice crosses most."""
        start_index, end_index = self.canvas.index_of(start), self.canvas.index_of(end)
        if start_index[0] != end_index[0]:
            raise CorrectionError("a line must lie in one slice; draw it in the view of y and x")
        crossed = self._longest_crossing(np.asarray(start, float), np.asarray(end, float))
        z = self.canvas.point_of(start_index)[0]
        line = CutLine(
            start_um=(z, float(start[1]), float(start[2])), end_um=(z, float(end[1]), float(end[2]))
        )
        return self._do(Split(objects=(self.canvas.anchor(crossed),), line=line))

    def mark(self, action: str, points: Sequence[Point]) -> str:
        """Delete, reject, accept or exclude the objects at these points."""
        self._check_hits(points)
        anchors = [self.canvas.anchor(self._inner(point)) for point in points]
        for point in points:
            if MARKS.get(action) in self.canvas.marks.get(self.object_at(point), frozenset()):
                raise CorrectionError(f"this object is {MARKS[action]} already")
        return self._do(*(MARKING[action](object=anchor) for anchor in anchors))

    def paint(
        self,
        region: Region,
        codes: NDArray[np.uint8],
        targets: Sequence[Point | None],
        *,
        keep_others: bool = False,
    ) -> str:
        """Paint in a box of voxels: 0 stays, 1 becomes background, 2 goes to the first target and so on.

        A target is a point in the object that grows, or None for a new object. With `keep_others`, only the background and the
        targets are painted over.
        """
        if not codes.any():
            raise CorrectionError("nothing is painted yet")
        if keep_others:
            own = [0, *(self.object_at(each) for each in targets if each is not None)]
            codes = np.where(np.isin(self.canvas.labels.read(region), own), codes, np.uint8(0))
            if not codes.any():
                raise CorrectionError("all of it lies on other objects, which are kept")
        used = np.nonzero(codes)
        crop = tuple(slice(int(each.min()), int(each.max()) + 1) for each in used)
        low = [side.start + inside.start for side, inside in zip(region, crop, strict=True)]
        mask = MaskCodes.pack(codes[crop], self.canvas.point_of(low), self.canvas.grid.spacing_nm)
        last = int(codes.max()) - FIRST_TARGET + 1
        anchors = [None if each is None else self.canvas.anchor(self._inner(each)) for each in targets[:last]]
        return self._do(Replace(mask=mask, targets=tuple(anchors)))

    def follow(self, suspect: Suspect) -> str:
        """Do what the review suggests for a suspect."""
        if suspect.operation == "merge":
            return self.merge(
                [self.place_of(label, suspect.point_um) for label in (suspect.label, suspect.other_label)]
            )
        if suspect.operation == "split" and len(suspect.seeds_um) > 1:
            return self.split_between(suspect.seeds_um)
        if suspect.operation in MARKING:
            return self.mark(suspect.operation, [self.place_of(suspect.label, suspect.point_um)])
        raise CorrectionError("the review suggests no operation here; look and decide")

    def is_dealt_with(self, suspect: Suspect) -> bool:
        """Return True if an operation changed the object of a suspect, or accepted or excluded it."""
        canvas = self.canvas
        present = self.present_label(suspect.label)
        return (
            present != suspect.label or bool(canvas.marks.get(present)) or present in canvas.objects.changed
        )

    def place_of(self, label: int, near_um: Point | None = None) -> tuple[float, float, float]:
        """Return a point in an object of the labels on disk, for instance of a suspect; `near_um` where it lies there.

        Raises
        ------
        CorrectionError
            If it is gone, or its place is not known.
        """
        present = self.present_label(label)
        if present and near_um is not None and self.object_at(near_um) == present:
            z, y, x = near_um
            return z, y, x
        near = None if near_um is None else self.canvas.index_of(near_um)
        found = voxel_of_object(self.canvas, present, near) if present else None
        if found is None:
            raise CorrectionError(f"object {label} is not there any more")
        return self.canvas.point_of(found)

    def undo(self) -> str:
        """Take back the last operation that is not saved."""
        if not self.pending:
            raise CorrectionError("nothing to undo; `spherovem labels undo` takes back saved operations")
        last = self.pending.pop()
        self.canvas.restore(last.before)
        self._undone.append(last.operation)
        self._keep()
        return f"undone: {describe(last.operation)}"

    def redo(self) -> str:
        """Do the operation again that was undone last."""
        if not self._undone:
            raise CorrectionError("nothing to do again")
        *rest, operation = self._undone
        text = self._do(operation)
        self._undone = rest
        return text

    def save(self, reason: str = "") -> tuple[Entry, ...]:
        """Append the unsaved operations to the journal, all or none.

        Raises
        ------
        CorrectionError
            If there are none, or somebody else wrote to the journal since it was read. They stay unsaved then, and in their file.
        """
        if not self.pending:
            raise CorrectionError("there is nothing to save")
        if self.journal.head != self.head:
            last = self.journal.entries()[-1:]
            by = f" by {last[0].author}" if last else ""
            raise CorrectionError(
                f"the journal was written{by} since this session began. Your {len(self.pending)} operations are kept in "
                f"{self.unsaved.path}: close the viewer, then `spherovem labels apply` with that file, or `labels edit` again"
            )
        entries = self.journal.append(self.operations, author=self.author, reason=reason, after=self.head)
        self.head = self.journal.head
        self.saved += len(entries)
        self.pending.clear()
        self._undone.clear()
        self._keep()
        return entries

    def take_over(self, path: Path) -> str:
        """Apply the unsaved operations of an ended session, as unsaved ones of this session.

        Those that do not fit stay in the file; without any, it is removed.
        """
        operations = read_operations(path)
        failed: list[Operation] = []
        reason = ""
        for operation in operations:
            try:
                self._do(operation)
            except CorrectionError as error:
                failed.append(operation)
                reason = reason or str(error)
        done = len(operations) - len(failed)
        write_operations(path, failed)
        if not failed:
            return f"{done} unsaved operations are back; save them, or undo them"
        return f"{done} of {len(operations)} operations are back; the others do not fit ({reason}) and stay in {path}"

    def close(self) -> None:
        """End the session; unsaved operations stay in their file."""
        self.unsaved.close()
        self.canvas.labels.close()

    def _do(self, *operations: Operation) -> str:
        start, done = self.canvas.snapshot(), []
        try:
            for operation in operations:
                done.append(Pending(operation, self.canvas.snapshot()))
                self.canvas.apply(operation)
        except CorrectionError:
            self.canvas.restore(start)
            raise
        self.pending += done
        self._undone = []
        self._keep()
        return "; ".join(describe(operation) for operation in operations)

    def _keep(self) -> None:
        self.unsaved.write(self.operations)
        self.changed()

    def _check_hits(self, points: Sequence[Point]) -> None:
        if not points:
            raise CorrectionError("choose an object first: click on it")
        for number, point in enumerate(points, start=1):
            if not self.object_at(point):
                which = "the point" if len(points) == 1 else f"point {number}"
                raise CorrectionError(f"{which} lies in no object; click inside one")

    def _inner(self, point: Point) -> Index:
        return inner_voxel(self.canvas, self.canvas.index_of(point))

    def _longest_crossing(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> Index:
        """Return a voxel in the middle of the object that a line crosses on the longest way."""
        voxels = np.array([self.canvas.index_of(start.tolist()), self.canvas.index_of(end.tolist())])
        steps = 2 * int(np.abs(voxels[1] - voxels[0]).max()) + 1
        points = np.linspace(start, end, steps)
        points[:, 0] = start[0]
        places = np.unique([self.canvas.index_of(point) for point in points.tolist()], axis=0)
        inside = ((places >= 0) & (places < self.canvas.labels.shape)).all(axis=1)
        places = places[inside]
        if not len(places):
            raise CorrectionError("the line lies outside the volume")
        low, high = places.min(axis=0), places.max(axis=0) + 1
        labels = self.canvas.labels.read(tuple(map(slice, low.tolist(), high.tolist())))[
            tuple((places - low).T)
        ]
        counts = np.bincount(np.unique(labels, return_inverse=True)[1])
        known = np.unique(labels)
        counts[known == 0] = 0
        if not counts.any():
            raise CorrectionError("the line crosses no object; draw it across the object to cut")
        own = places[labels == known[np.argmax(counts)]]
        z, y, x = own[len(own) // 2].tolist()
        return z, y, x
