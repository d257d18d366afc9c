"""The grid on which imported labels are compared with the present ones: that of the file, but no finer than the volume's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import StoredArray
from spherovem_core.store.label_files import LabelsOnGrid
from spherovem_core.store.label_files.placement import SPACING_TOLERANCE
from spherovem_core.store.ome import Factors

TIE = 1e-6
"""Of two voxels that are equally near, rounding must not choose a different one at each place."""
MOST_READ = 2**24


@dataclass(frozen=True)
class SampledLabels:
    """Voxels of an array at chosen places; indexed like an array.

    Attributes
    ----------
    source : (Z, Y, X) array-like of integers
    indices
        Per axis, the voxels to take, none before the one before.
    """

    source: ArrayLike
    indices: tuple[NDArray[np.int64], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the sample."""
        return tuple(map(len, self.indices))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return np.dtype(self.source.dtype)

    def __getitem__(self, region: Region, /) -> NDArray[Any]:
        chosen = [axis[part] for axis, part in zip(self.indices, region, strict=True)]
        out = np.empty([len(axis) for axis in chosen], self.dtype)
        # Slice by slice where a box with all voxels between would be large.
        step = max(1, MOST_READ // max(1, int(np.prod([axis[-1] - axis[0] + 1 for axis in chosen[1:]]))))
        start = 0
        while start < len(chosen[0]):
            stop = max(start + 1, int(np.searchsorted(chosen[0], chosen[0][start] + step)))
            part = [chosen[0][start:stop], *chosen[1:]]
            box = tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in part)
            values = np.asarray(self.source[box])
            out[start:stop] = values[
                np.ix_(*(axis - side.start for axis, side in zip(part, box, strict=True)))
            ]
            start = stop
        return out


@dataclass(frozen=True)
class ImportGrid:
    """Present and imported labels on one grid.

    Attributes
    ----------
    present, imported : (Z, Y, X) array-like of integers
        On this grid.
    spacing_nm, origin_nm
        Voxel size and centre of the first voxel.
    centres
        Per axis, the voxel of the volume at the centre of each of its voxels.
    places
        Per axis, the voxel of this grid in which each voxel of the volume lies; -1 outside of it.
    level
        Level of the pyramid that the grid is; None if it is none.
    steps
        Factors from each level to the next, up to `level`.
    """

    present: ArrayLike
    imported: ArrayLike
    spacing_nm: SpacingNm
    origin_nm: SpacingNm
    centres: tuple[NDArray[np.int64], ...]
    places: tuple[NDArray[np.int64], ...]
    level: int | None
    steps: tuple[tuple[int, ...], ...]

    @property
    def covers_the_volume(self) -> bool:
        """True if every voxel of the volume lies in it."""
        return all((axis >= 0).all() for axis in self.places)

    @property
    def is_coarser(self) -> bool:
        """True if one of its voxels holds several of the volume."""
        return any((np.diff(axis) == 0)[axis[1:] >= 0].any() for axis in self.places)


def find_import_grid(
    labels: LabelsOnGrid, levels: Sequence[StoredArray], factors: Sequence[Factors]
) -> ImportGrid:
    """Find the grid of imported labels, and the present labels on it.

    On a level of the pyramid these are the labels of that level. On another grid they are sampled: the voxel nearest to the
    centre of each of its voxels.

    Parameters
    ----------
    labels
        The imported labels on the grid of the volume.
    levels
        The present labels, all levels, the finest first.
    factors
        Factors of each level relative to the finest.
    """
    axes = [
        _axis(*of_axis)
        for of_axis in zip(
            labels.nearest,
            labels.file_spacing_nm,
            labels.file_origin_nm,
            labels.spacing_nm,
            labels.origin_nm,
            strict=True,
        )
    ]
    z, y, x = axes
    imported = replace(
        labels,
        shape=(len(z.file), len(y.file), len(x.file)),
        spacing_nm=(z.spacing_nm, y.spacing_nm, x.spacing_nm),
        origin_nm=(z.origin_nm, y.origin_nm, x.origin_nm),
        nearest=(z.file, y.file, x.file),
    )
    level = next((number for number, stored in enumerate(levels) if _lies_on(imported, stored)), None)
    centres = (z.volume, y.volume, x.volume)
    present = SampledLabels(levels[0], centres)
    steps = [
        tuple(b // a for a, b in zip(finer, coarser, strict=True))
        for finer, coarser in pairwise(factors[: (level or 0) + 1])
    ]
    return ImportGrid(
        present if level is None else levels[level],
        imported,
        imported.spacing_nm,
        imported.origin_nm,
        centres,
        (z.places, y.places, x.places),
        level,
        tuple(steps),
    )


def _lies_on(grid: LabelsOnGrid, level: StoredArray) -> bool:
    return grid.shape == level.shape and all(
        math.isclose(own, side, rel_tol=SPACING_TOLERANCE) and abs(place - origin) < side / 2
        for own, side, place, origin in zip(
            grid.spacing_nm, level.spacing_nm, grid.origin_nm, level.origin_nm, strict=True
        )
    )


@dataclass(frozen=True)
class _Axis:
    """One axis of the grid: its voxels in the file and in the volume, and those of the volume in it."""

    file: NDArray[np.int64]
    volume: NDArray[np.int64]
    places: NDArray[np.int64]
    spacing_nm: float
    origin_nm: float


def _axis(
    nearest: NDArray[np.int64], file_spacing: float, file_origin: float, spacing: float, origin: float
) -> _Axis:
    """Take the file's voxels along an axis where they are longer than the volume's, else those of the volume."""
    inside = np.flatnonzero(nearest >= 0)
    if file_spacing <= spacing * (1 + SPACING_TOLERANCE):
        first = int(inside[0])
        places = np.where(nearest >= 0, np.arange(len(nearest)) - first, -1)
        return _Axis(nearest[inside], inside, places, spacing, origin + first * spacing)
    first = int(nearest[inside[0]])
    file = np.arange(first, int(nearest[inside[-1]]) + 1)
    start = file_origin + first * file_spacing
    centres = (start + np.arange(len(file)) * file_spacing - origin) / spacing
    volume = np.clip(np.floor(centres + 0.5 + TIE).astype(np.int64), 0, len(nearest) - 1)
    return _Axis(file, volume, np.where(nearest >= 0, nearest - first, -1), file_spacing, start)
