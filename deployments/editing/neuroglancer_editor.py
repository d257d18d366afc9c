"""The editor in a browser: Neuroglancer, whose keys become actions of a session."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import neuroglancer
import numpy as np

from deployments.editing.neuroglancer_volumes import M_PER_NM, PyramidVolume
from deployments.editing.opening import Scene
from deployments.editing.suspects import Point
from deployments.viewing.neuroglancer import SHADER
from spherovem_core.errors import SpheroVemError
from spherovem_core.spacing import SpacingNm

logger = logging.getLogger(__name__)

SELECTED_ALPHA, OTHERS_ALPHA = 0.6, 0.25
MESSAGE, PENDING, HELP = "message", "pending", "keys"
KEYS = (
    "At the mouse: E selects, P sets a split point, L an end of a line. "
    "M merge, C cut, D delete, J reject, A accept, X exclude; U undo, shift-U redo; "
    "N next suspect, G as suggested; W save, Q clear"
)
PROBABILITY_SHADER = (
    "#uicontrol invlerp normalized\nvoid main() {\n  emitRGB(colormapJet(normalized()));\n}\n"
)


@dataclass(frozen=True)
class Grid:
    """Place of an array: voxel size and position of the centre of the first voxel, in nm."""

    spacing_nm: SpacingNm
    origin_nm: SpacingNm


class NeuroglancerEditor:
    """Editor of one session on a page of Neuroglancer.

    Actions run one after another in a thread of their own, so that the page stays alive while a split is computed.

    Parameters
    ----------
    viewer
        A viewer of Neuroglancer's server.
    scene
        Session, and what is shown beside its labels.
    kind
        Kind of object; name of the layer.
    leftovers
        Files of ended sessions with unsaved operations.
    reason
        Reason that is kept with saved operations.
    """

    def __init__(
        self,
        viewer: neuroglancer.Viewer,
        scene: Scene,
        kind: str,
        leftovers: Sequence[Path],
        reason: str = "",
    ) -> None:
        self.viewer, self.session, self.kind, self.reason = viewer, scene.session, kind, reason
        self.selected: list[Point] = []
        self.points: list[Point] = []
        self.line: list[Point] = []
        self.suspect: int | None = None
        self.message = ""
        self._leftovers = list(leftovers)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="edit")
        canvas = self.session.canvas
        self._grid = Grid(canvas.grid.spacing_nm, canvas.grid.origin_nm)
        levels = canvas.labels.views(merged=False)
        factors = [canvas.labels.factors(level) for level in range(len(levels))]
        self._volume = PyramidVolume(levels, factors, canvas.grid.spacing_nm, "segmentation")
        self._shown_changes = canvas.labels.changes
        with viewer.txn() as state:
            self._lay_out(state, scene)
        self._bind_keys()
        self.session.changed = self._changed
        self._changed()
        notes = list(scene.notes)
        if self._leftovers:
            notes.append(
                f"{len(self._leftovers)} ended sessions left unsaved operations: press R to bring them back"
            )
        self.say("; ".join(notes) or "Point at an object and press E to select it.")

    def _lay_out(self, state: Any, scene: Scene) -> None:
        spacing = self._grid.spacing_nm
        state.dimensions = neuroglancer.CoordinateSpace(
            names=["x", "y", "z"], units="m", scales=[side * M_PER_NM for side in reversed(spacing)]
        )
        shape = self.session.canvas.labels.shape
        state.position = [side / 2 for side in reversed(shape)]
        smallest = min(spacing)
        longest = max(side * step for side, step in zip(shape, spacing, strict=True)) / smallest
        state.crossSectionScale = longest / 700
        state.projectionScale = 1.5 * longest
        state.layout = "xy"
        if scene.image is not None:
            levels = scene.image.levels
            factors = levels[0].details.get("level_factors", [[1, 1, 1]])
            volume = PyramidVolume([each.array for each in levels], factors, levels[0].spacing_nm, "image")
            grid = Grid(levels[0].spacing_nm, levels[0].origin_nm)
            state.layers["image"] = self._image_layer(volume, grid, SHADER, scene.image.value_range)
        if scene.probability is not None:
            found = scene.probability
            volume = PyramidVolume(found.levels[:1], [(1, 1, 1)], found.spacing_nm, "image")
            grid = Grid(found.spacing_nm, found.origin_nm)
            state.layers.append(
                name="probability",
                layer=self._image_layer(volume, grid, PROBABILITY_SHADER, found.value_range),
                visible=False,
            )
        state.layers[self.kind] = neuroglancer.SegmentationLayer(
            source=self._source(self._volume, self._grid),
            selectedAlpha=SELECTED_ALPHA,
            notSelectedAlpha=OTHERS_ALPHA,
        )
        for name, colour in (("split", "#ffe040"), ("suspects", "#ff5050")):
            state.layers[name] = neuroglancer.LocalAnnotationLayer(
                dimensions=state.dimensions, annotationColor=colour
            )
        state.layers["suspects"].annotations = [
            neuroglancer.PointAnnotation(
                id=f"suspect-{each.rank}",
                point=self._position(each.point_um),
                description=f"{each.rank}: {each.reason}",
            )
            for each in self.session.suspects
        ]
        state.selectedLayer.layer = self.kind
        state.selectedLayer.visible = False

    def _source(self, volume: PyramidVolume, grid: Grid) -> neuroglancer.LayerDataSource:
        """Place a volume by the outer face of its first voxel, which is where Neuroglancer's coordinates begin."""
        steps = zip(grid.origin_nm, grid.spacing_nm, self._grid.origin_nm, self._grid.spacing_nm, strict=True)
        shift = [((origin - side / 2) - (first - step / 2)) / side for origin, side, first, step in steps]
        matrix = np.eye(3, 4)
        matrix[:, 3] = shift
        space = neuroglancer.CoordinateSpace(
            names=["z", "y", "x"], units="m", scales=[side * M_PER_NM for side in grid.spacing_nm]
        )
        transform = neuroglancer.CoordinateSpaceTransform(output_dimensions=space, matrix=matrix.tolist())
        return neuroglancer.LayerDataSource(url=volume, transform=transform)

    def _image_layer(
        self, volume: PyramidVolume, grid: Grid, shader: str, value_range: tuple[float, float] | None
    ) -> neuroglancer.ImageLayer:
        controls = {"normalized": {"range": list(value_range or (0.0, 1.0))}}
        return neuroglancer.ImageLayer(
            source=self._source(volume, grid), shader=shader, shaderControls=controls
        )

    def _bind_keys(self) -> None:
        session = self.session
        actions: dict[str, tuple[tuple[str, ...], Callable[[Point | None], str]]] = {
            "select": (("keye", "dblclick0"), self._select),
            "split-point": (("keyp",), self._add_point),
            "split-line": (("keyl",), self._add_line_end),
            "merge": (("keym",), lambda _: self._finish(session.merge(self._needs(2)))),
            "cut": (("keyc",), lambda _: self._cut()),
            "undo": (("keyu",), lambda _: session.undo()),
            "redo": (("shift+keyu",), lambda _: session.redo()),
            "next": (("keyn",), lambda _: self._go(1)),
            "previous": (("shift+keyn",), lambda _: self._go(-1)),
            "follow": (("keyg",), lambda _: self._follow()),
            "restore": (("keyr",), lambda _: self._restore()),
            "save": (("keyw",), lambda _: self._save()),
            "clear": (("keyq",), lambda _: self._clear()),
        }
        for name, key in (("delete", "keyd"), ("reject", "keyj"), ("accept", "keya"), ("exclude", "keyx")):
            actions[name] = ((key,), self._marking(name))
        for name, (_, run) in actions.items():
            self.viewer.actions.add(f"spherovem-{name}", self._handler(run))
        with self.viewer.config_state.txn() as config:
            for name, (keys, _) in actions.items():
                for key in keys:
                    config.input_event_bindings.viewer[key] = f"spherovem-{name}"
                    config.input_event_bindings.data_view[key] = f"spherovem-{name}"
            config.status_messages[HELP] = KEYS

    def _handler(self, run: Callable[[Point | None], str]) -> Callable[[Any], None]:
        def handle(action: Any) -> None:
            position = action.mouse_voxel_coordinates
            # Positions count from the outer face of the first voxel: the voxel's index is the part before the point.
            index = None if position is None else [int(np.floor(value)) for value in position[:3]]
            point = None if index is None else self.session.canvas.point_of(index[::-1])
            self._worker.submit(self.act, run, point)

        return handle

    def act(self, run: Callable[[Point | None], str], point: Point | None) -> None:
        """Do something at a point, and say what was done or why not."""
        try:
            self.say(run(point))
        except SpheroVemError as error:
            self.say(f"✗ {error}")
        except Exception as error:
            logger.exception("an action of the editor failed")
            self.say(f"✗ {type(error).__name__}: {error}; this is an error in spherovem, please report it")

    def say(self, text: str) -> None:
        """Show a message below the page."""
        self.message = text
        with self.viewer.config_state.txn() as config:
            config.status_messages[MESSAGE] = text

    def stop(self) -> None:
        """End the thread of the actions, after the one that is running."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _at_mouse(self, point: Point | None) -> Point:
        if point is None:
            raise SpheroVemError("point at the object with the mouse")
        return point

    def _needs(self, count: int) -> list[Point]:
        if len(self.selected) < count:
            raise SpheroVemError(f"select {count} objects or more: point at each and press E")
        return self.selected

    def _select(self, point: Point | None) -> str:
        here = self._at_mouse(point)
        label = self.session.object_at(here)
        if not label:
            raise SpheroVemError("no object there")
        kept = [each for each in self.selected if self.session.object_at(each) != label]
        self.selected = kept if len(kept) < len(self.selected) else [*kept, here]
        self._show()
        marks = ", ".join(sorted(self.session.canvas.marks.get(label, ())))
        return f"object {label}{f' ({marks})' if marks else ''}; {len(self.selected)} selected"

    def _add_point(self, point: Point | None) -> str:
        self.points.append(self._at_mouse(point))
        self.line = []
        self._show()
        return f"{len(self.points)} split points; one in each part, then C cuts"

    def _add_line_end(self, point: Point | None) -> str:
        self.line = (
            [*self.line[-1:], self._at_mouse(point)] if len(self.line) < 2 else [self._at_mouse(point)]
        )
        self.points = []
        self._show()
        return (
            "C cuts along the line" if len(self.line) == 2 else "press L again at the other end of the line"
        )

    def _cut(self) -> str:
        if len(self.line) == 2:
            return self._finish(self.session.split_along(*self.line))
        return self._finish(self.session.split_between(self.points))

    def _marking(self, action: str) -> Callable[[Point | None], str]:
        def run(point: Point | None) -> str:
            points = self.selected or ([point] if point is not None and self.session.object_at(point) else [])
            if not points and self.suspect is not None:
                suspect = self.session.suspects[self.suspect]
                points = [self.session.place_of(suspect.label, suspect.point_um)]
            return self._finish(self.session.mark(action, points))

        return run

    def _follow(self) -> str:
        if self.suspect is None:
            raise SpheroVemError("go to a suspect first: press N")
        return self._finish(self.session.follow(self.session.suspects[self.suspect]))

    def _go(self, by: int) -> str:
        suspects = self.session.suspects
        row = (-1 if self.suspect is None else self.suspect) + by
        while 0 <= row < len(suspects) and self.session.is_dealt_with(suspects[row]):
            row += by
        if not 0 <= row < len(suspects):
            raise SpheroVemError("no more suspects" if suspects else "there is no list of suspects")
        self.suspect, suspect = row, suspects[row]
        self.selected = []
        for label in filter(None, (suspect.label, suspect.other_label)):
            try:
                z, y, x = self.session.place_of(label, suspect.point_um)
            except SpheroVemError:
                continue
            self.selected.append((z, y, x))
        self._show(suspect.point_um)
        return f"suspect {suspect.rank}: {suspect.explanation or suspect.reason}" + (
            f" (suggested: {suspect.operation})" if suspect.operation else ""
        )

    def _restore(self) -> str:
        if not self._leftovers:
            raise SpheroVemError("there are no unsaved operations of ended sessions")
        text = self.session.take_over(self._leftovers[0])
        del self._leftovers[0]
        return text

    def _save(self) -> str:
        entries = self.session.save(self.reason)
        return f"{len(entries)} operations saved to {self.session.journal.path}"

    def _clear(self) -> str:
        self._finish("")
        return "nothing is selected"

    def _finish(self, text: str) -> str:
        self.selected, self.points, self.line = [], [], []
        self._show()
        return text

    def _position(self, point_um: Point) -> list[float]:
        """Return a point in Neuroglancer's coordinates x, y, z."""
        index = [
            (value * 1000 - origin) / side + 0.5
            for value, origin, side in zip(point_um, self._grid.origin_nm, self._grid.spacing_nm, strict=True)
        ]
        return index[::-1]

    def _show(self, center_um: Point | None = None) -> None:
        """Show what is selected and drawn."""
        annotations: list[Any] = [
            neuroglancer.PointAnnotation(id=f"point-{number}", point=self._position(point))
            for number, point in enumerate(self.points + (self.line if len(self.line) == 1 else []))
        ]
        if len(self.line) == 2:
            start, end = map(self._position, self.line)
            annotations.append(neuroglancer.LineAnnotation(id="line", point_a=start, point_b=end))
        selected = {self.session.object_at(point) for point in self.selected} - {0}
        with self.viewer.txn() as state:
            state.layers["split"].annotations = annotations
            state.layers[self.kind].segments = sorted(selected)
            if center_um is not None:
                state.position = self._position(center_um)

    def _changed(self) -> None:
        """Show the labels as they are now: merges as equivalences, all else by reading the volume again."""
        before, now = self._shown_changes, self.session.canvas.labels.changes
        self._shown_changes = now
        gone = [{number for number, to in each.numbers.items() if not to} for each in (before, now)]
        if before.patches != now.patches or gone[0] != gone[1]:
            self._volume.invalidate()
        groups: dict[int, list[int]] = {}
        for number, to in now.numbers.items():
            if to:
                groups.setdefault(to, [to]).append(number)
        pending = len(self.session.pending)
        with self.viewer.txn() as state:
            state.layers[self.kind].equivalences = neuroglancer.EquivalenceMap(groups.values())
        with self.viewer.config_state.txn() as config:
            config.status_messages[PENDING] = (
                f"{pending} operations not saved: W saves" if pending else "all saved"
            )
