"""Regular grids in physical coordinates, and the isotropic grid on which networks see a volume."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import ParameterError
from spherovem_core.parameters import FlowParameters
from spherovem_core.spacing import SpacingNm


@dataclass(frozen=True)
class Grid:
    """A regular grid in the volume's physical coordinates.

    Attributes
    ----------
    shape
        Voxels along z, y, x.
    spacing_nm
        Voxel size in nm.
    origin_nm
        Position of the centre of voxel (0, 0, 0), as in OME-Zarr's translation.
    """

    shape: tuple[int, int, int]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm = (0.0, 0.0, 0.0)


class PlacedArray(ArrayLike, Protocol):
    """An array that knows its voxel size and position, such as a stored array or a `PlacedVolume`."""

    @property
    def spacing_nm(self) -> SpacingNm:
        """Voxel size in nm."""

    @property
    def origin_nm(self) -> SpacingNm:
        """Position of the centre of voxel (0, 0, 0) in nm."""


@dataclass(frozen=True)
class PlacedVolume:
    """An array in memory with its voxel size and position.

    Attributes
    ----------
    array : (..., Z, Y, X) ndarray
    spacing_nm, origin_nm
        As in `Grid`.
    """

    array: NDArray[Any]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm = (0.0, 0.0, 0.0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return self.array.dtype

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        return np.asarray(self.array[region])


def grid_of(array: PlacedArray) -> Grid:
    """Return the grid of the last three axes of an array."""
    depth, rows, columns = array.shape[-3:]
    return Grid((depth, rows, columns), array.spacing_nm, array.origin_nm)


def check_spacing(spacing_nm: SpacingNm) -> None:
    """Refuse a voxel size that is not three positive numbers.

    Raises
    ------
    ParameterError
    """
    if len(spacing_nm) != 3 or not all(math.isfinite(side) and side > 0 for side in spacing_nm):
        raise ParameterError(
            f"spacing_nm is {spacing_nm}; expected three positive sizes in nm along z, y and x"
        )


def flow_grid(
    shape: Sequence[int],
    spacing_nm: SpacingNm,
    parameters: FlowParameters,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
) -> Grid:
    """Lay the grid of the flows over a volume.

    Parameters
    ----------
    shape, spacing_nm, origin_nm
        The registered image at full resolution.
    parameters
        `flow_spacing_nm` is the side of the grid's cubic voxels.

    Returns
    -------
    Grid
        Covers the volume and shares its centre; at most half a voxel lies outside on each side.
    """
    step = parameters.flow_spacing_nm
    extents = [n * s for n, s in zip(shape[-3:], spacing_nm, strict=True)]
    counts = [max(1, math.ceil(extent / step - 1e-6)) for extent in extents]
    origin = [
        first - side / 2 + (extent - count * step) / 2 + step / 2
        for first, side, extent, count in zip(origin_nm, spacing_nm, extents, counts, strict=True)
    ]
    return Grid((counts[0], counts[1], counts[2]), (step, step, step), (origin[0], origin[1], origin[2]))


def source_level(level_spacings_nm: Sequence[SpacingNm], parameters: FlowParameters) -> int:
    """Choose the pyramid level to compute flows from.

    Returns
    -------
    int
        The coarsest level without a voxel side longer than `flow_spacing_nm`, except sides that are as long in the
        finest level; 0 if there is none.
    """
    finest = level_spacings_nm[0]
    chosen = 0
    for level, spacing in enumerate(level_spacings_nm):
        limits = [max(parameters.flow_spacing_nm * (1 + 1e-6), side) for side in finest]
        if all(side <= limit for side, limit in zip(spacing, limits, strict=True)):
            chosen = level
    return chosen


def crop_grid(grid: Grid, region: Sequence[slice]) -> Grid:
    """Return the grid of a region of an array that lies on `grid`."""
    shape = [s.stop - s.start for s in region]
    origin = [
        first + s.start * side for first, s, side in zip(grid.origin_nm, region, grid.spacing_nm, strict=True)
    ]
    return Grid((shape[0], shape[1], shape[2]), grid.spacing_nm, (origin[0], origin[1], origin[2]))
