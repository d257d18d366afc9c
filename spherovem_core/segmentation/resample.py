"""Resampling between regular grids in physical coordinates: area-averaged downwards, linear upwards."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.segmentation.grid import Grid


@dataclass(frozen=True)
class AxisWeights:
    """Weights by which voxels of a source along one axis make up those of a target.

    Attributes
    ----------
    region
        Needed voxels of the source.
    index : (count, taps) ndarray of int
        Voxels in coordinates of `region`.
    weight : (count, taps) ndarray of float32
        Their weights; each row sums to 1.
    """

    region: slice
    index: NDArray[np.intp]
    weight: NDArray[np.float32]


def axis_weights(
    target: slice, side: float, origin: float, source_extent: int, source_side: float, source_origin: float
) -> AxisWeights:
    """Compute the weights along one axis.

    A target voxel takes the mean of the source over its own width where it is wider than a source voxel,
    which keeps finer structure from aliasing, and interpolates linearly between source centres where it is
    narrower. Beyond its border the source repeats.

    Parameters
    ----------
    target
        Voxels of the target.
    side, origin
        Voxel size and centre of voxel 0 of the target.
    source_extent, source_side, source_origin
        The source along this axis, in the same unit.
    """
    centre = (np.arange(target.start, target.stop) * side + origin - source_origin) / source_side
    width = side / source_side
    if width > 1:
        first = np.floor(centre - width / 2 + 0.5).astype(int)
        taps = int(np.ceil(width)) + 1
        index = first[:, None] + np.arange(taps)
        low, high = centre[:, None] - width / 2, centre[:, None] + width / 2
        weight = np.clip(np.minimum(index + 0.5, high) - np.maximum(index - 0.5, low), 0, None) / width
    else:
        first = np.floor(centre).astype(int)
        index = first[:, None] + np.arange(2)
        weight = 1 - np.abs(centre[:, None] - index)
    index = np.clip(index, 0, source_extent - 1)
    region = slice(int(index.min()), int(index.max()) + 1)
    return AxisWeights(region, index - region.start, weight.astype(np.float32))


def resample(
    source: ArrayLike, source_grid: Grid, target_grid: Grid, region: Region | None = None
) -> NDArray[np.float32]:
    """Resample part of a volume onto another grid.

    Parameters
    ----------
    source : (..., Z, Y, X) array
        Read only where needed. Axes before the last three are kept.
    source_grid, target_grid
        Grids of both.
    region
        Part of the target to compute; by default the whole.

    Returns
    -------
    (..., z, y, x) ndarray of float32
    """
    region = region or tuple(slice(0, n) for n in target_grid.shape)
    axes = [
        axis_weights(part, side, origin, extent, source_side, source_origin)
        for part, side, origin, extent, source_side, source_origin in zip(
            region,
            target_grid.spacing_nm,
            target_grid.origin_nm,
            source_grid.shape,
            source_grid.spacing_nm,
            source_grid.origin_nm,
            strict=True,
        )
    ]
    lead = len(source.shape) - 3
    values = np.asarray(source[(slice(None),) * lead + tuple(axis.region for axis in axes)])
    # The axis that shrinks most goes first, which leaves the others less work.
    for number in sorted(range(3), key=lambda n: len(axes[n].index) / values.shape[lead + n]):
        values = _mix(values, axes[number], lead + number)
    return np.ascontiguousarray(values, dtype=np.float32)


def _mix(values: NDArray[Any], weights: AxisWeights, axis: int) -> NDArray[Any]:
    used = weights.weight.any(axis=0)
    index, weight = weights.index[:, used], weights.weight[:, used]
    if index.shape[1] == 1 and np.array_equal(index[:, 0], np.arange(values.shape[axis])):
        return values
    shape = [1] * values.ndim
    shape[axis] = -1
    total = np.take(values, index[:, 0], axis=axis) * weight[:, 0].reshape(shape)
    for tap in range(1, index.shape[1]):
        total += np.take(values, index[:, tap], axis=axis) * weight[:, tap].reshape(shape)
    return total
