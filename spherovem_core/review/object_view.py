"""One object and its surroundings on the grid of the review."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.review.review_grid import ReviewGrid

MARGIN = 3
"""Voxels of the grid around an object's bounding box: closed gaps reach one voxel out, the faces beyond them two, and what is
at a face depends on the labels one voxel farther."""

LARGEST_VIEW_VOXELS = 1 << 19
"""Voxels of an object's bounding box on the grid; a larger object is examined on a coarser one."""


@dataclass(frozen=True)
class ObjectBox:
    """A label and its bounding box in voxels; `high` is exclusive."""

    label: int
    low: tuple[int, int, int]
    high: tuple[int, int, int]


@dataclass(frozen=True)
class ObjectView:
    """An object and its surroundings.

    Attributes
    ----------
    label
        Number of the object.
    grid
        The grid of the view.
    low : (3,) ndarray of int64
        Index of the view's first voxel in the grid.
    labels : (z, y, x) ndarray of int64
        Labels; gaps of background of one voxel between objects are closed.
    mask : (z, y, x) ndarray of bool
        The object itself, without closed gaps.
    gradient : (z, y, x) ndarray of float32, optional
        Mean boundary gradient of the image.
    logit : (z, y, x) ndarray of float32, optional
        Logit of the probability.
    flow : (3, z, y, x) ndarray of float32, optional
        Flow, in any unit of length.
    nuclei : (z, y, x) ndarray of int64, optional
    """

    label: int
    grid: ReviewGrid
    low: NDArray[np.int64]
    labels: NDArray[np.int64]
    mask: NDArray[np.bool_]
    gradient: NDArray[np.float32] | None = None
    logit: NDArray[np.float32] | None = None
    flow: NDArray[np.float32] | None = None
    nuclei: NDArray[np.int64] | None = None

    @property
    def spacing_um(self) -> NDArray[np.float64]:
        """Sides of a voxel in µm."""
        return self.grid.spacing_um

    @property
    def face_areas_um2(self) -> NDArray[np.float64]:
        """Area of a voxel's face that points along z, y, x."""
        return float(np.prod(self.spacing_um)) / self.spacing_um

    def place(self, indices: NDArray[Any]) -> NDArray[np.float64]:
        """Return the positions in µm of voxel indices (..., 3)."""
        return self.grid.place(self.low + indices)


def fitting_times(box: ObjectBox) -> int:
    """Return by how much coarser the grid is on which an object is examined: a power of two."""
    times = 1
    sides = [high - low for low, high in zip(box.low, box.high, strict=True)]
    while math.prod(-(-side // times) for side in sides) > LARGEST_VIEW_VOXELS:
        times *= 2
    return times


def view_region(box: ObjectBox, grid: ReviewGrid) -> Region:
    """Return the region of a grid around a box on the grid with `times` 1."""
    return tuple(
        slice(max(0, low // grid.times - MARGIN), min(n, -(-high // grid.times) + MARGIN))
        for low, high, n in zip(box.low, box.high, grid.shape, strict=True)
    )


def read_view(label: int, grid: ReviewGrid, region: Region) -> ObjectView:
    """Read a region of a grid as the surroundings of an object."""
    level = grid.level
    labels = grid.sample(level.labels, region).astype(np.int64)
    field = grid.flow_field(region)
    return ObjectView(
        label,
        grid,
        np.array([s.start for s in region], np.int64),
        close_gaps(labels),
        labels == label,
        grid.gradient(region),
        None if field is None else field[3],
        None if field is None else field[:3],
        None if level.nuclei is None else grid.sample(level.nuclei, region).astype(np.int64),
    )


def close_gaps(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give background beside an object to it, so that objects with a gap of one or two voxels touch."""
    closed = labels.copy()
    for axis in range(3):
        here, there = (
            tuple(part if a == axis else slice(None) for a in range(3))
            for part in (slice(1, None), slice(None, -1))
        )
        for target, source in ((here, there), (there, here)):
            empty = (closed[target] == 0) & (labels[source] > 0)
            closed[target][empty] = labels[source][empty]
    return closed
