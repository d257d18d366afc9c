"""One object and its surroundings on a coarse grid: labels, boundary gradient, flows and nuclei."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.boundary_gradient import boundary_gradient
from spherovem_core.spacing import NM_PER_UM, SpacingNm

MARGIN = 3
"""Voxels of the coarse grid around an object's bounding box."""

LARGEST_BOX_VOXELS = 1 << 23
"""Voxels of a bounding box that are read at once; of a larger object a coarser level or every second, third … voxel is read."""

LARGEST_VIEW_VOXELS = 1 << 18
"""Voxels of a view; those of a larger object are larger."""

FINENESS = 0.7
"""Along each axis, the level that is read has voxels of at most this fraction of the view's voxels, or as the finest level."""


class PlacedField(ArrayLike, Protocol):
    """A field (C, Z, Y, X) that knows its voxel size and the position of its first voxel."""

    @property
    def spacing_nm(self) -> SpacingNm:
        """Voxel size in nm."""

    @property
    def origin_nm(self) -> SpacingNm:
        """Position of the centre of voxel (0, 0, 0) in nm."""


@dataclass(frozen=True)
class ReviewLevel:
    """Arrays of one level of the pyramid, all on one grid.

    Attributes
    ----------
    labels : (Z, Y, X) array of unsigned integers
        The objects that are reviewed.
    spacing_nm, origin_nm
        Voxel size, and position of the centre of voxel (0, 0, 0).
    image : (Z, Y, X) array, optional
        Registered image.
    nuclei : (Z, Y, X) array, optional
        Labels of nuclei, for a review of cells.
    """

    labels: ArrayLike
    spacing_nm: SpacingNm
    origin_nm: SpacingNm = (0.0, 0.0, 0.0)
    image: ArrayLike | None = None
    nuclei: ArrayLike | None = None


@dataclass(frozen=True)
class ObjectBox:
    """A label and its bounding box in voxels of the finest level; `high` is exclusive."""

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
    labels : (z, y, x) ndarray of int64
        Labels; gaps of background of one voxel between objects are closed.
    mask : (z, y, x) ndarray of bool
        The object itself, without closed gaps.
    spacing_um, first_um, last_um : (3,) ndarray
        Voxel size, position of the centre of voxel (0, 0, 0), and that of the last one, which may be closer to the one before.
    gradient : (z, y, x) ndarray of float32, optional
        Mean boundary gradient of the image.
    logit : (z, y, x) ndarray of float32, optional
        Logit of the probability.
    flow : (3, z, y, x) ndarray of float32, optional
        Flow, in any unit of length.
    nuclei : (z, y, x) ndarray of int64, optional
    """

    label: int
    labels: NDArray[np.int64]
    mask: NDArray[np.bool_]
    spacing_um: NDArray[np.float64]
    first_um: NDArray[np.float64]
    last_um: NDArray[np.float64]
    gradient: NDArray[np.float32] | None = None
    logit: NDArray[np.float32] | None = None
    flow: NDArray[np.float32] | None = None
    nuclei: NDArray[np.int64] | None = None

    @property
    def face_areas_um2(self) -> NDArray[np.float64]:
        """Area of a voxel's face that points along z, y, x."""
        return float(np.prod(self.spacing_um)) / self.spacing_um

    def place(self, indices: NDArray[Any]) -> NDArray[np.float64]:
        """Return the positions in µm of voxel indices (..., 3)."""
        return np.minimum(self.first_um + indices * self.spacing_um, self.last_um)


def view_object(
    box: ObjectBox, levels: Sequence[ReviewLevel], flows: PlacedField | None, voxel_nm: float
) -> ObjectView:
    """Read an object with its surroundings.

    Parameters
    ----------
    levels
        Levels of the pyramid, the finest first.
    flows : (4, Z, Y, X) array, optional
        dz, dy, dx and the logit.
    voxel_nm
        Wanted side of the view's voxels.
    """
    finest = np.array(levels[0].spacing_nm)
    extent_nm = (np.array(box.high) - box.low) * finest
    voxel_nm = max(voxel_nm, (float(np.prod(extent_nm)) / LARGEST_VIEW_VOXELS) ** (1 / 3))
    level = _fitting_level(levels, extent_nm, voxel_nm)
    spacing = np.array(level.spacing_nm)
    stride = np.maximum(
        1, math.ceil((float(np.prod(extent_nm / spacing)) / LARGEST_BOX_VOXELS) ** (1 / 3) - 1e-9)
    )
    sides = spacing * stride
    factors = np.maximum(1, np.rint(voxel_nm / sides)).astype(int)
    ratio = spacing / finest
    low = np.floor(np.array(box.low) / ratio).astype(int) - MARGIN * factors * stride
    high = np.ceil(np.array(box.high) / ratio).astype(int) + MARGIN * factors * stride
    low, high = np.maximum(low, 0), np.minimum(high, level.labels.shape)
    region = tuple(slice(int(a), int(b), int(stride)) for a, b in zip(low, high, strict=True))
    labels = _centres(np.asarray(level.labels[region]), factors).astype(np.int64)
    coarse = sides * factors
    offsets = np.array([min(f // 2, b - a - 1) for f, a, b in zip(factors, low, high, strict=True)])
    first = np.array(level.origin_nm) + (low + offsets * stride) * spacing
    read = -(-(high - low) // stride)
    middles = np.minimum((np.array(labels.shape) - 1) * factors + factors // 2, read - 1)
    last = np.array(level.origin_nm) + (low + middles * stride) * spacing
    gradient = nuclei = logit = flow = None
    if level.image is not None:
        gradient = _block_means(boundary_gradient(np.asarray(level.image[region])), factors)
    if level.nuclei is not None:
        nuclei = _centres(np.asarray(level.nuclei[region]), factors).astype(np.int64)
    if flows is not None:
        field = _nearest(flows, first, coarse, labels.shape)
        flow, logit = field[:3], field[3]
    return ObjectView(
        box.label,
        close_gaps(labels),
        labels == box.label,
        coarse / NM_PER_UM,
        first / NM_PER_UM,
        last / NM_PER_UM,
        gradient,
        logit,
        flow,
        nuclei,
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


def _fitting_level(
    levels: Sequence[ReviewLevel], extent_nm: NDArray[np.float64], voxel_nm: float
) -> ReviewLevel:
    """Return the coarsest level with voxels fine enough; of a huge object the coarsest whose box fits into memory."""
    chosen = levels[0]
    for level in levels[1:]:
        finest = np.maximum(FINENESS * voxel_nm, levels[0].spacing_nm)
        fine = (np.array(level.spacing_nm) <= finest).all()
        large = np.prod(extent_nm / np.array(chosen.spacing_nm)) > LARGEST_BOX_VOXELS
        if fine or large:
            chosen = level
    return chosen


def _centres(values: NDArray[Any], factors: NDArray[Any]) -> NDArray[Any]:
    """Take the middle voxel of every block of `factors` voxels; the last block may be smaller."""
    return values[
        np.ix_(
            *(
                np.minimum(np.arange(0, n, f) + f // 2, n - 1)
                for n, f in zip(values.shape, factors, strict=True)
            )
        )
    ]


def _block_means(values: NDArray[np.float32], factors: NDArray[Any]) -> NDArray[np.float32]:
    """Average every block of `factors` voxels; the last block may be smaller."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, values.shape[axis], factor)
            counts = np.minimum(starts + factor, values.shape[axis]) - starts
            shape = [-1 if a == axis else 1 for a in range(3)]
            values = np.add.reduceat(values, starts, axis=axis) / counts.reshape(shape).astype(np.float32)
    return values.astype(np.float32, copy=False)


def _nearest(
    field: PlacedField, first_nm: NDArray[np.float64], sides_nm: NDArray[np.float64], shape: Sequence[int]
) -> NDArray[np.float32]:
    """Take the field's voxels nearest to those of a grid."""
    indices, region = [], []
    for axis in range(3):
        places = first_nm[axis] + np.arange(shape[axis]) * sides_nm[axis]
        index = np.rint((places - field.origin_nm[axis]) / field.spacing_nm[axis]).astype(int)
        index = np.clip(index, 0, field.shape[1 + axis] - 1)
        step = max(1, int(sides_nm[axis] / field.spacing_nm[axis]))
        region.append(slice(int(index[0]), int(index[-1]) + 1, step))
        indices.append((index - index[0]) // step)
    values = np.asarray(field[(slice(None), *region)])
    return values[:, *np.ix_(*indices)].astype(np.float32)
