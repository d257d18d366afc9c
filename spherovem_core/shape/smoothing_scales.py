"""Smoothings, grid cells and tube radii of a label, chosen from its thickness and its voxels.

Voxels make a staircase of the surface. On a surface of radius R and for voxels of side h its terraces are ``sqrt(2 R h)`` wide.
The area needs little smoothing against it; second derivatives need more, and the more the larger the object. A thin label must
be smoothed by less than its thickness. Lengths are in nm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spherovem_core.spacing import SpacingNm

# Smoothing for areas: this many largest voxel sides, but no more than this fraction of the thickness radius.
AREA_VOXELS = 1.75
AREA_FRACTION = 0.2
# Smoothing for curvatures: this times the geometric mean of thickness radius and voxel side, but no more than this fraction
# of the radius. Balls with a radius of 4, 8 and 40 voxels then have a shape index of 0.967, 0.989 and 0.994.
CURVATURE_FACTOR = 0.9
CURVATURE_FRACTION = 1 / 3
# Smoothing over cell side: below 2.5 the differences no longer resolve the curvature of an edge.
CELLS_FOR_AREA = 1.5
CELLS_FOR_CURVATURE = 2.5
# Extrapolation to no smoothing begins at the first fraction of bending at edges and has its full weight from the second on; it
# needs two smoothings with at least this ratio.
FEW_EDGES, MANY_EDGES, MIN_RATIO = 0.3, 0.6, 1.2
# The spread of curvature is followed to no smoothing from that for curvatures and two finer ones. The finest is this times the
# cube root of thickness radius times voxel side squared, where noise of voxels is a twentieth of the curvature; it is at least
# the first of these ratios above that for areas, and at least the second below that for curvatures.
SPREAD_FACTOR = 1.0
SPREAD_ABOVE_AREA, SPREAD_BELOW_CURVATURE = 1.15, 1.3
CELLS_FOR_SPREAD = 2.0
MIN_ROOM = 1.1
# Larger grids are made coarser, so that a label that fills the volume does not fill the memory.
MAX_CELLS = 1 << 24
# Tube radii over the thickness radius.
TUBE_LOW, TUBE_HIGH, TUBE_LIMIT = 1 / 12, 1 / 3, 1 / 2


@dataclass(frozen=True)
class SmoothingScales:
    """Smoothings, cells and tube radii for one label, in nm.

    Attributes
    ----------
    radius
        Thickness radius, ``3 V / A``: a ball's radius, 1.5 times a cylinder's, 1.5 times a sheet's thickness.
    area_smoothing, area_cell
        Gaussian width and grid cell for area.
    curvature_smoothing, curvature_cell
        The same for curvatures.
    spread_smoothing
        Finest of the smoothings from which the spread of curvature is followed to none.
    tube
        Smallest and largest tube radius of the fractal dimension.
    coarsened
        Factor by which the grid is coarser than the voxels require; 1 for all but very large labels.
    """

    radius: float
    area_smoothing: float
    area_cell: float
    curvature_smoothing: float
    curvature_cell: float
    spread_smoothing: float
    tube: tuple[float, float]
    coarsened: float

    @property
    def resolves_spread(self) -> bool:
        """True if there is room for two smoothings between those for areas and for curvatures."""
        return self.spread_smoothing * MIN_ROOM < self.curvature_smoothing

    @property
    def smoothings(self) -> tuple[float, ...]:
        """All smoothings from which the spread of curvature is followed to none."""
        return (self.area_smoothing, *self.spread_smoothings, self.curvature_smoothing)

    def area_gains(self, areas: Sequence[float]) -> list[float]:
        """Compute the growth of log area over that of log(1/smoothing), between neighbouring smoothings."""
        if len(areas) != len(self.smoothings):
            return []
        return (-np.diff(np.log(areas)) / np.diff(np.log(self.smoothings))).tolist()  # type: ignore[no-any-return]

    @property
    def largest_smoothing(self) -> float:
        """Largest smoothing that a label of this thickness keeps its shape at."""
        return CURVATURE_FRACTION * self.radius

    @property
    def spread_smoothings(self) -> tuple[float, float]:
        """The two smoothings, finer than that for curvatures, from which the spread of curvature is followed to none."""
        return self.spread_smoothing, math.sqrt(self.spread_smoothing * self.curvature_smoothing)

    @property
    def ratio(self) -> float:
        """Smoothing for curvatures over that for area."""
        return self.curvature_smoothing / self.area_smoothing

    def edge_fraction(self, fine: float, coarse: float) -> float:
        """Estimate the fraction of a label's bending at edges, from its integral of H² at the two smoothings.

        An edge smoothed with width s has an H in proportion to 1/s over a strip as wide as s. Its integral of H² is in
        proportion to 1/s, while that of a curved surface does not depend on s. Cubes of 16 to 64 voxels have 0.8 to 0.95,
        spheres, ellipsoids, capsules and tori 0.2 or less.
        """
        if self.ratio < MIN_RATIO or fine <= 0:
            return 0.0
        return (fine - coarse) / (1 - 1 / self.ratio) / fine

    def extrapolate(self, fine: float, coarse: float, edge_fraction: float, power: float = 1.0) -> float:
        """Extrapolate a measure from the two smoothings to no smoothing, as far as edges cause the difference.

        Smoothing rounds edges and reduces the area in proportion to its width, so that the value without smoothing follows from
        those at two widths. Without edges, curved tips cause the difference; their loss grows with the fourth power of the
        width, and the value at the finer smoothing is closer to the truth than a line through both.
        """
        weight = np.clip((edge_fraction - FEW_EDGES) / (MANY_EDGES - FEW_EDGES), 0, 1)
        return float(fine + weight * (fine - coarse) / (max(self.ratio, MIN_RATIO) ** power - 1))


def choose_smoothing_scales(
    volume_nm3: float,
    face_area_nm2: float,
    extent_nm3: float,
    spacing_nm: SpacingNm,
    smoothing_nm: float | None,
) -> SmoothingScales:
    """Choose smoothings, cells and tube radii for a label.

    Parameters
    ----------
    volume_nm3
        Voxel count times voxel volume.
    face_area_nm2
        Area of its voxel faces, including cut ones; on average over directions it is 3/2 of the surface area.
    extent_nm3
        Volume of its bounding box.
    spacing_nm
        Voxel size.
    smoothing_nm
        Smoothing for areas of thick labels; None or 0 takes 1.75 times the largest voxel side.
    """
    side = max(spacing_nm)
    radius = 3 * volume_nm3 / max(face_area_nm2 / 1.5, 1e-9)
    area = min(smoothing_nm or AREA_VOXELS * side, max(side, AREA_FRACTION * radius))
    cell = (extent_nm3 / MAX_CELLS) ** (1 / 3)
    coarsened = max(1.0, cell * CELLS_FOR_AREA / area)
    area *= coarsened
    curvature = max(area, min(CURVATURE_FACTOR * np.sqrt(radius * side), CURVATURE_FRACTION * radius))
    spread = min(
        SPREAD_FACTOR * np.cbrt(radius * (side * coarsened) ** 2), curvature / SPREAD_BELOW_CURVATURE
    )
    low = max(area, TUBE_LOW * radius)
    high = min(max(TUBE_HIGH * radius, 2 * low), TUBE_LIMIT * radius)
    return SmoothingScales(
        radius=float(radius),
        area_smoothing=area,
        area_cell=area / CELLS_FOR_AREA,
        curvature_smoothing=float(curvature),
        curvature_cell=float(curvature) / CELLS_FOR_CURVATURE,
        spread_smoothing=float(max(spread, SPREAD_ABOVE_AREA * area)),
        tube=(float(low), float(high)),
        coarsened=coarsened,
    )
