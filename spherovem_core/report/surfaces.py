"""Shaded pictures of label surfaces."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LightSource
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import (  # type: ignore[import-untyped]
    Line3DCollection,
    Poly3DCollection,
)
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.measure import marching_cubes

from spherovem_core.report.data_uris import encode
from spherovem_core.report.figures import SOFT
from spherovem_core.report.inputs import OpenLevel
from spherovem_core.report.memory import remembered
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store import StoredArray

BOX_VOXELS = 48
ELEVATION, AZIMUTH = 22, -58
LIGHT = LightSource(azdeg=315, altdeg=50)
SUPERSAMPLING = 2

Triangles = NDArray[np.float64]


@dataclass(frozen=True)
class Body:
    """Triangles (N, 3, 3) in µm, with corners as x, y, z and z upwards, their colour and opacity."""

    triangles: Triangles
    colour: str
    opacity: float = 1.0


@dataclass(frozen=True)
class Drawing:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def surface_of(
    labels: NDArray[Any], spacing_um: NDArray[np.float64], origin_um: NDArray[np.float64]
) -> Triangles:
    """Triangulate the surface of all labels, smoothed by about a voxel and closed at the border of the array."""
    inside = np.pad(labels != 0, 2).astype(np.float32)
    soft = ndimage.gaussian_filter(inside, np.maximum(0.9 * spacing_um.min() / spacing_um, 0.8))
    if soft.max() <= 0.5:
        return np.empty((0, 3, 3))
    vertices, faces, _, _ = marching_cubes(soft, 0.5, spacing=tuple(spacing_um))
    corners = vertices + origin_um - 2 * spacing_um
    # Swapping two axes and flipping one turns the triangles inside out; reversing their corners undoes it.
    return np.asarray(corners[:, ::-1][faces[:, ::-1]] * (1, 1, -1))


def label_surface(open_level: OpenLevel, group: str, label: int, box: Mapping[str, int]) -> Triangles:
    """Triangulate one label at a level where its bounding box has at most `BOX_VOXELS` voxels per side.

    Parameters
    ----------
    box
        Bounding box at the finest level, ``bbox_z0`` to ``bbox_x1``.
    """
    low, high = (np.array([box[f"bbox_{axis}{end}"] for axis in "zyx"]) for end in "01")
    finest = open_level(group)
    for level, factors in enumerate(finest.details["level_factors"]):
        chosen, step = level, np.array(factors)
        if (-(-(high - low) // step)).max() <= BOX_VOXELS:
            break
    stored = finest if chosen == 0 else open_level(group, chosen)
    start = low // step
    region = tuple(slice(int(a), int(b)) for a, b in zip(start, -(-high // step), strict=True))
    return surface_of(stored[region] == label, *_place(stored, start))


def volume_surface(stored: StoredArray) -> Triangles:
    """Triangulate all labels of a coarse level together."""
    return surface_of(stored[:], *_place(stored, np.zeros(3)))


def balls(centres_um: NDArray[np.float64], radii_um: NDArray[np.float64]) -> Triangles:
    """Make octahedra, which look like small balls, at centres (N, 3) given as z, y, x."""
    faces = np.array(
        [np.diag(signs)[:: int(np.prod(signs))] for signs in itertools.product((1, -1), repeat=3)], float
    )
    centres = centres_um[:, ::-1] * (1, 1, -1)
    return np.asarray(
        (centres[:, None, None, :] + radii_um[:, None, None, None] * faces[None]).reshape(-1, 3, 3)
    )


def draw(bodies: Sequence[Body], side_px: int, frame_um: tuple[Any, Any] | None = None) -> Drawing:
    """Draw bodies to scale, seen obliquely from above, on a transparent ground.

    Parameters
    ----------
    frame_um
        Lower and upper corner (z, y, x) of a box to draw around them. Without it they fill the picture.

    Returns
    -------
    Drawing
        Picture without empty margins.
    """
    triangles = np.concatenate([body.triangles for body in bodies] or [np.empty((0, 3, 3))])
    colours = np.concatenate(
        [np.tile(_rgba(body), (len(body.triangles), 1)) for body in bodies] or [np.empty((0, 4))]
    )
    corners, framed = _frame(triangles, frame_um), frame_um is not None
    drawn = remembered(
        lambda: _draw(triangles, colours, corners, side_px, framed),
        "surfaces",
        triangles,
        colours,
        corners,
        f"{side_px} {framed}",
    )
    return Drawing(*drawn)


def _draw(
    triangles: Triangles,
    colours: NDArray[np.float64],
    corners: NDArray[np.float64],
    side_px: int,
    framed: bool,
) -> list[Any]:
    """Draw triangles; return data URI, width and height."""
    figure = Figure(figsize=(side_px / 100, side_px / 100), dpi=100 * SUPERSAMPLING)
    axes: Any = figure.add_axes((0, 0, 1, 1), projection="3d")
    if len(triangles):
        axes.add_collection3d(
            Poly3DCollection(triangles, facecolors=colours, linewidths=0, shade=True, lightsource=LIGHT)
        )
    if framed:
        axes.add_collection3d(Line3DCollection(_edges(corners), colors=SOFT, linewidths=0.8))
    axes.set(xlim=corners[:, 0], ylim=corners[:, 1], zlim=corners[:, 2])
    axes.set_box_aspect(np.ptp(corners, axis=0))
    axes.view_init(ELEVATION, AZIMUTH)
    axes.set_axis_off()
    axes.patch.set_alpha(0)
    figure.patch.set_alpha(0)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    drawn = picture.getbbox() or (0, 0, *picture.size)
    small = picture.crop(drawn).reduce(SUPERSAMPLING)
    return [encode(small, lossless=True, method=2), small.width, small.height]


def _place(stored: StoredArray, start: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spacing = np.array(stored.spacing_nm) / NM_PER_UM
    return spacing, np.array(stored.origin_nm) / NM_PER_UM + start * spacing


def _frame(triangles: Triangles, frame_um: tuple[Any, Any] | None) -> NDArray[np.float64]:
    """Find the lowest and highest x, y, z as drawn, (2, 3)."""
    if frame_um is not None:
        ends = np.array(frame_um, float)[:, ::-1] * (1, 1, -1)
        return np.sort(ends, axis=0)
    if not len(triangles):
        return np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    points = triangles.reshape(-1, 3)
    return np.array([points.min(axis=0), points.max(axis=0)])


def _edges(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """List the twelve edges of a box, (12, 2, 3)."""
    low, high = corners
    edges = []
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        for first in (low, high):
            for second in (low, high):
                start = np.empty(3)
                start[others[0]], start[others[1]] = first[others[0]], second[others[1]]
                end = start.copy()
                start[axis], end[axis] = low[axis], high[axis]
                edges.append([start, end])
    return np.array(edges)


def _rgba(body: Body) -> NDArray[np.float64]:
    colour = [int(body.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.array([*colour, body.opacity])
