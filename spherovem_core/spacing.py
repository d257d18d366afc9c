"""Voxel spacing: always (dz, dy, dx) in nm."""

import math
from typing import Annotated

from pydantic import Field

SMALLEST_SIDE_NM = 0.01
LARGEST_SIDE_NM = 1e6

SideNm = Annotated[float, Field(ge=SMALLEST_SIDE_NM, le=LARGEST_SIDE_NM)]
"""Side of a voxel that a person states; volumes of larger ones overflow, those of smaller ones vanish."""

SpacingNm = tuple[float, float, float]

NM_PER_UM = 1000.0


def spacing_um(spacing_nm: SpacingNm) -> SpacingNm:
    """Convert a voxel spacing from nm to µm."""
    dz, dy, dx = spacing_nm
    return dz / NM_PER_UM, dy / NM_PER_UM, dx / NM_PER_UM


def voxel_volume_um3(spacing_nm: SpacingNm) -> float:
    """Compute the volume of one voxel in µm³."""
    dz, dy, dx = spacing_um(spacing_nm)
    return dz * dy * dx


def pixel_nm(spacing_nm: SpacingNm) -> float:
    """Compute the side in nm of the square with the area of a pixel."""
    return math.sqrt(spacing_nm[1] * spacing_nm[2])
