"""Grid of label voxels in µm: from positions to voxels, and from masks on other grids to this one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.corrections.codes import MaskCodes
from spherovem_core.spacing import NM_PER_UM, SpacingNm

Index = tuple[int, int, int]
PointUmTuple = tuple[float, float, float]


@dataclass(frozen=True)
class LabelGrid:
    """Place of an array of labels.

    Attributes
    ----------
    shape
        Extents z, y, x in voxels.
    spacing_nm
        Voxel size z, y, x.
    origin_nm
        Position of the centre of voxel (0, 0, 0).
    """

    shape: tuple[int, ...]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm = (0.0, 0.0, 0.0)

    @property
    def spacing_um(self) -> PointUmTuple:
        """Voxel size in µm."""
        z, y, x = (side / NM_PER_UM for side in self.spacing_nm)
        return z, y, x

    @property
    def voxel_um3(self) -> float:
        """Volume of a voxel."""
        return math.prod(self.spacing_um)

    def voxel_of(self, point_um: Sequence[float]) -> Index:
        """Return the voxel that holds a position, also outside the volume."""
        z, y, x = (
            math.floor((value * NM_PER_UM - origin) / side + 0.5)
            for value, origin, side in zip(point_um, self.origin_nm, self.spacing_nm, strict=True)
        )
        return z, y, x

    def index_of(self, point_um: Sequence[float]) -> Index | None:
        """Return the voxel that holds a position; None outside the volume."""
        index = self.voxel_of(point_um)
        outside = any(i < 0 or i >= n for i, n in zip(index, self.shape, strict=True))
        return None if outside else index

    def point_of(self, index: Sequence[float]) -> PointUmTuple:
        """Return the position of the centre of a voxel."""
        z, y, x = (
            (origin + side * i) / NM_PER_UM
            for i, origin, side in zip(index, self.origin_nm, self.spacing_nm, strict=True)
        )
        return z, y, x

    def place(self, mask: MaskCodes) -> tuple[Region, tuple[NDArray[np.intp], ...]]:
        """Find the voxels whose centres lie in a mask.

        Returns
        -------
        region
            Region of this grid; empty where the mask lies outside.
        indices
            Along each axis, the voxel of the mask that is nearest to each voxel of the region.
        """
        region, indices = [], []
        for axis in range(3):
            side, origin = self.spacing_nm[axis], self.origin_nm[axis]
            mask_side, mask_origin = mask.spacing_nm[axis], mask.origin_um[axis] * NM_PER_UM
            low = (mask_origin - mask_side / 2 - origin) / side
            high = low + mask.shape[axis] * mask_side / side
            # One voxel more at each end: rounding decides below.
            own = np.arange(max(0, math.floor(low)), min(self.shape[axis], math.ceil(high) + 1))
            found = np.floor((own * side + origin - mask_origin) / mask_side + 0.5).astype(np.intp)
            inside = np.flatnonzero((found >= 0) & (found < mask.shape[axis]))
            if inside.size:
                region.append(slice(int(own[inside[0]]), int(own[inside[-1]]) + 1))
            else:
                region.append(slice(0, 0))
            indices.append(found[inside])
        return tuple(region), tuple(indices)


def sample(codes: NDArray[Any], indices: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
    """Return the codes at the voxels that `LabelGrid.place` found."""
    z, y, x = indices
    return np.ascontiguousarray(codes[np.ix_(z, y, x)])
