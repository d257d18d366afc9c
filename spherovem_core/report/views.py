"""Planes of a multiscale image, read only at the resolution and extent that the page shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.intensity_ranges import percentile_range
from spherovem_core.report.inputs import OpenLevel
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store import StoredArray

AXES = "zyx"

Extent = tuple[float, float, float, float]
Bounds = Mapping[int, tuple[float, float]]
"""Lowest and highest position in µm by axis (0 z, 1 y, 2 x)."""


@dataclass(frozen=True)
class View:
    """One plane of a volume.

    Attributes
    ----------
    values : (rows, columns) ndarray
    extent_um
        Left, right, bottom and top of the plane for matplotlib, with rows downwards.
    plane
        ``xy``, ``xz`` or ``yz``.
    position_um
        Position of the plane on the third axis.
    """

    values: NDArray[Any]
    extent_um: Extent
    plane: str
    position_um: float

    @property
    def title(self) -> str:
        """Plane and position as a title."""
        third = next(axis for axis in AXES if axis not in self.plane)
        return f"{self.plane} at {third} = {self.position_um:.2f} µm"


def fitting_level(
    open_level: OpenLevel, group: str, longest_px: int, across: int | None = None
) -> StoredArray:
    """Open the finest level of a group whose longest side does not exceed `longest_px`, else the coarsest.

    The axis `across`, along which a plane is to be cut, does not count.
    """
    stored = open_level(group)
    for level in range(len(stored.details["level_factors"])):
        stored = open_level(group, level)
        if max(n for axis, n in enumerate(stored.shape[-3:]) if axis != across) <= longest_px:
            break
    return stored


def level_for(open_level: OpenLevel, group: str, bounds_um: Bounds, longest_px: int) -> StoredArray:
    """Open the finest level on which no side of a part exceeds `longest_px`, else the coarsest; bounds are along all axes."""
    stored = open_level(group)
    for level in range(len(stored.details["level_factors"])):
        stored = open_level(group, level)
        sides = [
            (high - low) * NM_PER_UM / stored.spacing_nm[axis] for axis, (low, high) in bounds_um.items()
        ]
        if max(sides) <= longest_px:
            break
    return stored


def cut(
    stored: StoredArray, axis: int, position_um: float | None = None, bounds_um: Bounds | None = None
) -> View:
    """Read the plane across `axis` (0 z, 1 y, 2 x) nearest to `position_um`, by default the middle one.

    Parameters
    ----------
    bounds_um
        Part of the plane to read, by axis; by default all of it.
    """
    region = [_range(stored, a, (bounds_um or {}).get(a)) for a in range(3)]
    index = nearest_index(stored, axis, position_um)
    place: list[Any] = [*region]
    place[axis] = index
    return _view(stored, axis, index, region, stored[tuple(place)])


def cuts_through(stored: StoredArray, position_um: Sequence[float], bounds_um: Bounds) -> tuple[View, ...]:
    """Read the planes across z, y and x through a position, as `cut` does, where they share chunks each chunk once.

    Parameters
    ----------
    position_um
        Position along z, y and x in µm.
    bounds_um
        Part of each plane to read, for all axes.
    """
    region = [_range(stored, axis, bounds_um[axis]) for axis in range(3)]
    indices = [nearest_index(stored, axis, position_um[axis]) for axis in range(3)]
    chunks = stored.array.chunks
    counts = [
        (side.stop - 1) // chunk - side.start // chunk + 1 for side, chunk in zip(region, chunks, strict=True)
    ]
    inside = all(side.start <= index < side.stop for side, index in zip(region, indices, strict=True))
    if not inside or prod(counts) > sum(prod(counts) // count for count in counts):
        bounds = [{a: b for a, b in bounds_um.items() if a != axis} for axis in range(3)]
        return tuple(cut(stored, axis, position_um[axis], bounds[axis]) for axis in range(3))
    y, x = (indices[axis] - region[axis].start for axis in (1, 2))
    across_y, across_x, across_z = [], [], np.empty((0, 0))
    # One layer of chunks is in memory at a time.
    for start in range(region[0].start // chunks[0] * chunks[0], region[0].stop, chunks[0]):
        first = max(start, region[0].start)
        part = stored[first : min(start + chunks[0], region[0].stop), region[1], region[2]]
        across_y.append(part[:, y].copy())
        across_x.append(part[:, :, x].copy())
        if first <= indices[0] < first + len(part):
            across_z = part[indices[0] - first].copy()
    planes = (across_z, np.concatenate(across_y), np.concatenate(across_x))
    return tuple(_view(stored, axis, indices[axis], region, planes[axis]) for axis in range(3))


def _view(stored: StoredArray, axis: int, index: int, region: Sequence[slice], values: NDArray[Any]) -> View:
    """Describe the part `region` of the plane at an index along `axis`."""
    spacing, origin = _grid(stored)
    rows, columns = (a for a in range(3) if a != axis)
    ends = [
        (origin[a] + (region[a].start - 0.5) * spacing[a], origin[a] + (region[a].stop - 0.5) * spacing[a])
        for a in (columns, rows)
    ]
    return View(
        values,
        (*ends[0], ends[1][1], ends[1][0]),
        AXES[columns] + AXES[rows],
        float(origin[axis] + index * spacing[axis]),
    )


def cuts_along_z(stored: StoredArray, positions_um: Sequence[float]) -> Iterator[View]:
    """Read planes across z in rising order, those of one layer of chunks in one read: they are decoded together."""
    spacing, origin = _grid(stored)
    left, top = origin[2] - spacing[2] / 2, origin[1] - spacing[1] / 2
    extent = (
        float(left),
        float(left + stored.shape[2] * spacing[2]),
        float(top + stored.shape[1] * spacing[1]),
        float(top),
    )
    depth = stored.array.chunks[0]
    indices = [nearest_index(stored, 0, position) for position in positions_um]
    for _, group in groupby(indices, key=lambda index: index // depth):
        members = list(group)
        first, last = members[0], members[-1] + 1
        planes = stored[first:last]
        for index in members:
            yield View(planes[index - first], extent, "xy", float(origin[0] + index * spacing[0]))


def nearest_index(stored: StoredArray, axis: int, position_um: float | None = None) -> int:
    """Find the index of the voxels nearest to a position, by default the middle one."""
    extent = stored.shape[axis]
    if position_um is None:
        return extent // 2
    spacing, origin = _grid(stored)
    return int(np.clip(np.rint((position_um - origin[axis]) / spacing[axis]), 0, extent - 1))


def window_around(
    stored: StoredArray, centre_um: Mapping[int, float], side_px: int
) -> dict[int, tuple[float, float]]:
    """Compute the bounds of a window of up to `side_px` voxels per axis, moved to lie within the volume."""
    spacing, origin = _grid(stored)
    bounds = {}
    for axis, centre in centre_um.items():
        count = min(side_px, stored.shape[axis])
        start = int(
            np.clip(
                np.rint((centre - origin[axis]) / spacing[axis] - count / 2), 0, stored.shape[axis] - count
            )
        )
        low = origin[axis] + start * spacing[axis]
        bounds[axis] = (float(low), float(low + (count - 1) * spacing[axis]))
    return bounds


def contrast_limits(values: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Find the intensities at the 0.5 and 99.8 percentile, for one grey scale over several pictures."""
    sample = np.concatenate([v.ravel() for v in values]).astype(np.float32)
    low, high = percentile_range(sample, (0.5, 99.8))
    return low, max(high, low + 1)


def _grid(stored: StoredArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array(stored.spacing_nm) / NM_PER_UM, np.array(stored.origin_nm) / NM_PER_UM


def _range(stored: StoredArray, axis: int, bounds: tuple[float, float] | None) -> slice:
    if bounds is None:
        return slice(0, stored.shape[axis])
    low, high = (nearest_index(stored, axis, position) for position in bounds)
    return slice(low, high + 1)
