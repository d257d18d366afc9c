"""The editor in napari: clicks, drawings and keys become actions of a session."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deployments.editing.napari_layers import ERASE, TARGET, EditorLayers
from deployments.editing.napari_panel import PAINT_TARGETS, Action, Panel
from deployments.editing.opening import Scene
from deployments.editing.operation_texts import describe
from deployments.editing.unsaved import read_operations
from spherovem_core.blocks import Region
from spherovem_core.corrections.codes import LARGEST_MASK
from spherovem_core.errors import SpheroVemError

CLICK_PX = 4
"""A press that moves farther is a drag."""
PAINT_MARGIN = 24
PAINT_SLICES = 8
START = "Click an object to select it, shift-click more. Then press a button or its key."


class NapariEditor:
    """Editor of one session in a napari viewer.

    Parameters
    ----------
    viewer
        An empty viewer.
    scene
        Session, and what is shown beside its labels.
    kind
        Kind of object.
    leftovers
        Files of ended sessions with unsaved operations.
    """

    def __init__(self, viewer: Any, scene: Scene, kind: str, leftovers: list[Path]) -> None:
        self.viewer, self.session, self.kind = viewer, scene.session, kind
        self.selected: list[tuple[float, float, float]] = []
        self.tool = "select"
        self.suspect: int | None = None
        self._leftovers = leftovers
        self.layers = EditorLayers(viewer, scene, kind, self._selected_labels)
        self.panel = Panel(self._sections(), self.show_suspect, self.restore)
        self.panel.add_save(
            Action("save", "Save", "Alt-S", "Append these operations to the journal", self.save)
        )
        self.panel.list_suspects(self.session.suspects)
        viewer.window.add_dock_widget(self.panel, name=f"correct {kind}", area="right")
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.canvas.overlays.scale_bar.visible = True
        self._bind_keys()
        self.session.changed = self._changed
        self.set_tool("select")
        self._changed()
        self._offer()
        self.say("; ".join(scene.notes) or START, failed=bool(scene.notes))

    def _sections(self) -> list[tuple[str, list[Action]]]:
        def marking(name: str, text: str, key: str, hint: str) -> Action:
            return Action(name, text, key, hint, lambda: self.act(lambda: self._mark(name)))

        return [
            (
                "Selected objects",
                [
                    Action("merge", "Merge", "M", "Join the selected objects to one", self.merge),
                    marking("delete", "Delete", "D", "Remove the selected objects"),
                    marking("reject", "Reject", "J", "Remove them, and count them as false detections"),
                    marking("accept", "Accept", "A", "Confirm that they are right"),
                    marking(
                        "exclude", "Exclude", "X", "Leave them out of statistics; they stay in the labels"
                    ),
                    Action("clear", "None", "Escape", "Select nothing, and put tools away", self.reset),
                ],
            ),
            (
                "Split",
                [
                    Action(
                        "points",
                        "Points",
                        "P",
                        "Click one point in each part",
                        lambda: self.set_tool("points"),
                    ),
                    Action(
                        "line", "Line", "L", "Draw a line across the object", lambda: self.set_tool("line")
                    ),
                    Action("split", "Split", "S", "Cut between the points, or along the line", self.split),
                ],
            ),
            (
                "Paint",
                [
                    Action(
                        "paint",
                        "Paint",
                        "B",
                        "Paint with napari's brush around the selected object",
                        self.paint,
                    ),
                    Action(
                        "apply_paint", "Apply", "Enter", "Make what is painted an operation", self.apply_paint
                    ),
                ],
            ),
            (
                "Steps",
                [
                    Action(
                        "undo",
                        "Undo",
                        "U",
                        "Take back the last operation",
                        lambda: self.act(self.session.undo),
                    ),
                    Action("redo", "Redo", "Shift-U", "Do it again", lambda: self.act(self.session.redo)),
                ],
            ),
            (
                "Suspects",
                [
                    Action("next", "Next", "N", "Go to the next suspect", lambda: self._step(1)),
                    Action("previous", "Previous", "Shift-N", "Go to the one before", lambda: self._step(-1)),
                    Action("follow", "As suggested", "G", "Do what the review suggests", self.follow),
                ],
            ),
        ]

    def _bind_keys(self) -> None:
        keys = {action.key: action.run for _, actions in self._sections() for action in actions}
        keys["Alt-S"] = self.save
        for target in (self.viewer, *self.layers.own):
            for key, run in keys.items():
                # Called with the layer or the viewer that has the focus.
                target.bind_key(key, _ignoring_argument(run), overwrite=True)

    def act(self, action: Callable[[], str]) -> bool:
        """Do something, and say what was done or why not."""
        try:
            self.say(action())
        except SpheroVemError as error:
            self.say(str(error), failed=True)
            return False
        return True

    def say(self, text: str, *, failed: bool = False) -> None:
        """Show a message."""
        self.panel.say(text, failed=failed)
        self.viewer.status = text

    def select(self, point: tuple[float, float, float], *, more: bool = False) -> None:
        """Select the object at a point, beside others with `more`; one that is selected is left out then."""
        label = self.session.object_at(point)
        kept = [each for each in self.selected if self.session.object_at(each) != label] if more else []
        again = more and len(kept) < len(self.selected)
        self.selected = [*kept, *([point] if label and not again else [])]
        self.layers.selection.refresh()
        marks = ", ".join(sorted(self.session.canvas.marks.get(label, ())))
        count = f"; {len(self.selected)} selected" if len(self.selected) > 1 else ""
        self.say(f"object {label}{f' ({marks})' if marks else ''}{count}" if label else "no object there")

    def merge(self) -> None:
        """Merge the selected objects."""
        if self.act(lambda: self.session.merge(self.selected) if len(self.selected) > 1 else _needs_two()):
            self._after_operation()

    def split(self) -> None:
        """Split between the points that are set, or along the line that is drawn."""
        lines = self.layers.line.data
        if len(lines):
            ends = lines[-1]
            done = self.act(lambda: self.session.split_along(ends[0], ends[-1]))
        else:
            points = [tuple(point) for point in self.layers.points.data]
            done = self.act(lambda: self.session.split_between(points))
        if done:
            self._after_operation()

    def _mark(self, action: str) -> str:
        points = self.selected
        if not points and self.suspect is not None:
            suspect = self.session.suspects[self.suspect]
            points = [self.session.place_of(suspect.label, suspect.point_um)]
        text = self.session.mark(action, points)
        self._after_operation()
        return text

    def follow(self) -> None:
        """Do what the review suggests for the suspect that is shown."""
        if self.suspect is None:
            self.say("choose a suspect first: press N, or click it in the list", failed=True)
            return
        suspect = self.session.suspects[self.suspect]
        if self.act(lambda: self.session.follow(suspect)):
            self._after_operation()

    def show_suspect(self, row: int) -> None:
        """Go to a suspect and select its objects."""
        suspects = self.session.suspects
        if not 0 <= row < len(suspects):
            self.say("no more suspects" if suspects else "there is no list of suspects", failed=True)
            return
        self.suspect = row
        suspect = suspects[row]
        self.panel.select_suspect(row)
        self.viewer.dims.set_point((0, 1, 2), suspect.point_um)
        self.viewer.scene.camera.center = tuple(suspect.point_um)
        self.selected = []
        for label in filter(None, (suspect.label, suspect.other_label)):
            try:
                self.selected.append(self.session.place_of(label, suspect.point_um))
            except SpheroVemError:
                continue
        self._zoom_to(suspect.label)
        self.set_tool("select")
        self.layers.selection.refresh()
        gone = "" if self.selected else "; the object is not there any more"
        self.say(f"suspect {suspect.rank}: {suspect.explanation or suspect.reason}{gone}")

    def _zoom_to(self, label: int) -> None:
        known = self.session.canvas.objects.find(self.session.present_label(label))
        if known is None:
            return
        spacing = np.array(self.session.canvas.grid.spacing_nm) / 1000
        size = max(
            (np.array(known.high) - known.low)[axis] * spacing[axis] for axis in self.viewer.dims.displayed
        )
        self.viewer.scene.camera.zoom = 0.4 * min(self.viewer.window._qt_viewer.canvas.size) / size

    def _step(self, by: int) -> None:
        """Go to the next suspect in a direction that is not dealt with."""
        row = (-1 if self.suspect is None else self.suspect) + by
        while 0 <= row < len(self.session.suspects) and self.session.is_dealt_with(
            self.session.suspects[row]
        ):
            row += by
        self.show_suspect(row)

    def set_tool(self, tool: str) -> None:
        """Take a tool: select, points or line."""
        self.tool = tool
        layer, mode, text = {
            "select": (self.layers.labels, "pan_zoom", ""),
            "points": (
                self.layers.points,
                "add",
                "Click one point in each part of the object, then press S.",
            ),
            "line": (
                self.layers.line,
                "add_line",
                "Draw a line across the object in one slice, then press S.",
            ),
        }[tool]
        if tool != "select":
            self.layers.clear_drawn()
        self.viewer.layers.selection.active = layer
        layer.mode = mode
        if text:
            self.say(text)

    def reset(self) -> None:
        """Select nothing, remove what is drawn, and take the tool that selects."""
        self.selected = []
        self.layers.clear_drawn()
        self.layers.end_painting()
        self.set_tool("select")
        self.layers.selection.refresh()
        self.say(START)

    def paint(self) -> None:
        """Add a layer to paint in: around the selected object, or over what is visible."""
        region = self._paint_region()
        if np.prod([side.stop - side.start for side in region], dtype=np.int64) > LARGEST_MASK // 2:
            self.say("too much to paint in: zoom in, or select one object", failed=True)
            return
        self.layers.clear_drawn()
        self.layers.begin_painting(region)
        self.tool = "paint"
        for key, run in {"Enter": self.apply_paint, "Escape": self.reset}.items():
            self.layers.paint.bind_key(key, _ignoring_argument(run), overwrite=True)
        self.panel.paint_target.setCurrentIndex(0 if self.selected else 1)
        self.panel.paint_target.currentIndexChanged.connect(self._set_brush)
        self.viewer.layers.selection.active = self.layers.paint
        self.say(
            "Paint within the frame with the left button; napari's brush, fill and eraser work. Enter applies it."
        )

    def _set_brush(self, row: int) -> None:
        if self.layers.paint is not None:
            self.layers.paint.selected_label = ERASE if row == len(PAINT_TARGETS) - 1 else TARGET

    def _paint_region(self) -> Region:
        region = self.layers.visible_region()
        known = None
        if self.selected:
            index = self.session.canvas.index_of(self.selected[-1])
            known = self.session.canvas.objects.find(self.session.canvas.labels.at(index), index)
        wider = []
        for axis, (side, n) in enumerate(zip(region, self.session.canvas.labels.shape, strict=True)):
            margin = PAINT_SLICES if axis == 0 else PAINT_MARGIN
            low, high = side.start, side.stop
            if known is not None:
                low, high = known.low[axis], known.high[axis]
                if axis == 0:
                    low, high = min(side.start, low), max(side.stop, high)
            wider.append(slice(max(0, low - margin), min(n, high + margin)))
        return tuple(wider)

    def apply_paint(self) -> None:
        """Make what is painted an operation."""
        if self.layers.paint is None:
            self.say("nothing is painted: press B first", failed=True)
            return
        codes = np.asarray(self.layers.paint.data)
        to_selected = self.panel.paint_target.currentIndex() == 0
        if to_selected and not self.selected and (codes >= TARGET).any():
            self.say("select the object that grows first, or choose “a new object”", failed=True)
            return
        # Labels beyond the first that napari's user painted are further new objects.
        more = max(0, int(codes.max()) - TARGET)
        targets = [self.selected[-1] if to_selected and self.selected else None, *([None] * more)]
        keep = self.panel.keep_others.isChecked()
        if self.act(lambda: self.session.paint(self.layers.paint_region, codes, targets, keep_others=keep)):
            self._after_operation()

    def restore(self) -> None:
        """Bring back the unsaved operations of an ended session."""
        if self._leftovers and self.act(lambda: self.session.take_over(self._leftovers[0])):
            self._leftovers = self._leftovers[1:]
            self._offer()

    def _offer(self) -> None:
        if not self._leftovers:
            self.panel.offer("")
            return
        path = self._leftovers[0]
        try:
            self.panel.offer(f"Bring back {len(read_operations(path))} unsaved operations: {path.stem}")
        except SpheroVemError as error:
            self.say(str(error), failed=True)

    def save(self) -> None:
        """Append the unsaved operations to the journal."""

        def saving() -> str:
            entries = self.session.save(self.panel.reason.text())
            return f"{len(entries)} operations saved to {self.session.journal.path}"

        self.act(saving)
        self._changed()

    def _after_operation(self) -> None:
        self.selected = []
        self.layers.clear_drawn()
        self.layers.end_painting()
        self.set_tool("select")
        self.layers.refresh()

    def _changed(self) -> None:
        self.panel.list_pending([describe(each) for each in self.session.operations])
        self.layers.refresh()
        for row, suspect in enumerate(self.session.suspects):
            self.panel.mark_suspect(row, "dealt with" if self.session.is_dealt_with(suspect) else "")

    def _selected_labels(self) -> set[int]:
        return {label for label in map(self.session.object_at, self.selected) if label}

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        if self.tool != "select" or event.button != 1:
            return
        start, moved = np.array(event.pos), 0.0
        position, modifiers = tuple(event.position), {getattr(each, "name", each) for each in event.modifiers}
        yield
        while event.type == "mouse_move":
            moved = max(moved, float(np.abs(np.array(event.pos) - start).max()))
            yield
        if moved > CLICK_PX:
            return
        if viewer.dims.ndisplay == 3:
            self.say("objects are selected in slices; press Ctrl-Y to leave the 3D view", failed=True)
        else:
            z, y, x = (float(value) for value in position[-3:])
            self.select((z, y, x), more=bool(modifiers & {"Shift", "Control"}))


def _needs_two() -> str:
    raise SpheroVemError("select two objects or more: click one, shift-click the others")


def _ignoring_argument(run: Callable[[], object]) -> Callable[[Any], None]:
    def call(_: Any) -> None:
        run()

    return call
