"""Layers of the napari editor: image, probability, labels, selection, and what the user draws."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.editing.canvas import Canvas
from deployments.editing.edited_labels import LevelView
from deployments.editing.opening import Scene
from spherovem_core.blocks import Region
from spherovem_core.spacing import NM_PER_UM, SpacingNm, spacing_um

UNITS = ("µm", "µm", "µm")
ERASE, TARGET = 1, 2
PAINT_COLORS = {None: "transparent", 0: "transparent", ERASE: "#d04040", TARGET: "#40e0ff"}


class SelectionView:
    """Selected objects at a level of the labels, numbered from 1."""

    def __init__(self, labels: LevelView, selected: Callable[[], set[int]]) -> None:
        self._labels, self._selected = labels, selected
        self.shape, self.ndim, self.size = labels.shape, labels.ndim, labels.size
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        chosen = self._selected()
        if not chosen:
            # Nothing is read where nothing is selected.
            empty: NDArray[np.uint8] = np.broadcast_to(np.uint8(0), self.shape)[key].copy()
            return empty
        values = self._labels[key]
        found = np.zeros(values.shape, np.uint8)
        for number, label in enumerate(sorted(chosen)):
            # Of different numbers, so that each has an outline of its own.
            found[values == label] = number % 250 + 1
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


class EditorLayers:
    """The layers, in µm and at their places.

    Attributes
    ----------
    labels, selection, points, line
        Layers that are always there.
    paint
        Layer to paint in; None while nothing is painted.
    paint_region
        Its box in voxels of the labels.
    """

    def __init__(self, viewer: Any, scene: Scene, kind: str, selected: Callable[[], set[int]]) -> None:
        self.viewer = viewer
        self._canvas: Canvas = scene.session.canvas
        spacing, origin = self._canvas.grid.spacing_nm, self._canvas.grid.origin_nm
        if scene.image is not None:
            levels = scene.image.levels
            viewer.add_image(
                [each.array for each in levels],
                name="image",
                contrast_limits=scene.image.value_range,
                multiscale=True,
                **placed(levels[0].spacing_nm, levels[0].origin_nm),
            )
        if scene.probability is not None:
            found = scene.probability
            viewer.add_image(
                list(found.levels),
                name="probability",
                contrast_limits=found.value_range,
                multiscale=True,
                visible=False,
                colormap="viridis",
                opacity=0.5,
                blending="translucent",
                **placed(found.spacing_nm, found.origin_nm),
            )
        views = self._canvas.labels.views()
        here = placed(spacing, origin)
        self.labels = viewer.add_labels(views, name=kind, multiscale=True, opacity=0.45, **here)
        self.selection = viewer.add_labels(
            [SelectionView(view, selected) for view in views],
            name="selected",
            multiscale=True,
            opacity=1.0,
            colormap=_colours({None: "#ffffff", 0: "transparent"}),
            **here,
        )
        self.selection.contour = 2
        across = spacing_um(spacing)[2]
        self.points = viewer.add_points(
            np.empty((0, 3)),
            name="split points",
            ndim=3,
            size=12 * across,
            face_color="#ffe040",
            border_color="#000000",
            units=UNITS,
        )
        self.line = viewer.add_shapes(
            name="split line", ndim=3, edge_color="#ffe040", edge_width=3 * across, units=UNITS
        )
        self.paint: Any = None
        self.paint_region: Region = ()

    @property
    def own(self) -> list[Any]:
        """Layers whose keys are those of the editor."""
        return [layer for layer in self.viewer.layers if layer is not self.paint]

    def refresh(self) -> None:
        """Show the labels and the selection as they are now."""
        self.labels.refresh()
        self.selection.refresh()

    def clear_drawn(self) -> None:
        """Remove the points and lines of a split."""
        self.points.data = np.empty((0, 3))
        self.line.data = []

    def begin_painting(self, region: Region) -> None:
        """Add a layer to paint in, over a box of voxels."""
        self.end_painting()
        spacing = self._canvas.grid.spacing_nm
        corner = self._canvas.point_of([side.start for side in region])
        self.paint = self.viewer.add_labels(
            np.zeros([side.stop - side.start for side in region], np.uint8),
            name="paint",
            colormap=_colours(PAINT_COLORS),
            opacity=0.6,
            scale=spacing_um(spacing),
            translate=corner,
            units=UNITS,
        )
        self.paint_region = region
        self.paint.bounding_box.visible = True
        self.paint.selected_label = TARGET
        self.paint.brush_size = 12
        self.paint.mode = "paint"

    def end_painting(self) -> None:
        """Remove the layer to paint in."""
        if self.paint is not None and self.paint in self.viewer.layers:
            self.viewer.layers.remove(self.paint)
        self.paint = None

    def visible_region(self) -> Region:
        """Return the box of voxels of the labels that is on the screen; one slice thick along the axis that is not shown."""
        level = self.labels.data_level
        factors = self._canvas.labels.factors(level)
        low, high = self.labels.corner_pixels.astype(int)
        shown = set(self.viewer.dims.displayed)
        current = self._canvas.index_of(self.viewer.dims.point)
        region = []
        for axis, (factor, side) in enumerate(zip(factors, self._canvas.labels.shape, strict=True)):
            if axis in shown:
                start, stop = int(low[axis]) * factor, (int(high[axis]) + 1) * factor
            else:
                start, stop = current[axis], current[axis] + 1
            region.append(slice(min(max(0, start), side - 1), max(1, min(stop, side))))
        return tuple(region)


def placed(spacing_nm: SpacingNm, origin_nm: Sequence[float]) -> dict[str, Any]:
    """Return napari's options for the place of a layer in µm."""
    return {
        "scale": spacing_um(spacing_nm),
        "translate": tuple(value / NM_PER_UM for value in origin_nm),
        "units": UNITS,
    }


def _colours(table: dict[int | None, str]) -> Any:
    from napari.utils.colormaps import DirectLabelColormap

    return DirectLabelColormap(color_dict=table)
