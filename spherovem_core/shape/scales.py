"""Lengths at which a label is measured, chosen from its thickness and its voxels.

The staircase of a label's voxels is a disturbance whose terraces, on a surface of radius R, are ``sqrt(2 R h)``
wide for voxels of side h: area needs little smoothing against it, second derivatives need more, the larger the
object. What is thin must be smoothed less than its thickness. Lengths are in nm.
"""

from dataclasses import dataclass

import numpy as np

from spherovem_core.spacing import SpacingNm

# Smoothing for areas: this many largest voxel sides, but no more than this share of the thickness radius.
AREA_VOXELS = 1.75
AREA_SHARE = 0.2
# Smoothing for curvatures, times the geometric mean of thickness radius and voxel side, and its largest share of
# the radius: the shape index of balls of radius 4, 8 and 40 voxels comes out at 0.967, 0.989 and 0.994.
CURVATURE_FACTOR = 0.9
CURVATURE_SHARE = 1 / 3
# Smoothing over cell side: below 2.5 the differences no longer resolve an edge's curvature.
CELLS_FOR_AREA = 1.5
CELLS_FOR_CURVATURE = 2.5
# Extrapolation to no smoothing: from which share of bending at edges it begins, and from which it counts in full; it needs
# two smoothings this far apart.
FEW_EDGES, MANY_EDGES, MIN_RATIO = 0.3, 0.6, 1.2
# A label's grid is coarsened beyond this, so that one that fills the volume does not fill the memory.
MAX_CELLS = 1 << 24
# Tube radii over the thickness radius.
TUBE_LOW, TUBE_HIGH, TUBE_LIMIT = 1 / 12, 1 / 3, 1 / 2


@dataclass(frozen=True)
class Scales:
    """Lengths for one label, in nm.

    Attributes
    ----------
    radius
        Thickness radius, ``3 V / A``: a ball's radius, 1.5 times a cylinder's, 1.5 times a sheet's thickness.
    area_smoothing, area_cell
        Gaussian width and grid cell for area.
    curvature_smoothing, curvature_cell
        The same for curvatures.
    tube
        Smallest and largest tube radius of the fractal dimension.
    coarsened
        How many times the grid is coarser than the voxels ask for; 1 for all but very large labels.
    """

    radius: float
    area_smoothing: float
    area_cell: float
    curvature_smoothing: float
    curvature_cell: float
    tube: tuple[float, float]
    coarsened: float

    @property
    def ratio(self) -> float:
        """Smoothing for curvatures over that for area."""
        return self.curvature_smoothing / self.area_smoothing

    def edge_share(self, fine: float, coarse: float) -> float:
        """Share of a label's bending that is at edges, from its integral of H² at the two smoothings.

        An edge smoothed with width s bends with H in proportion to 1/s over a strip as wide as s, so that its integral of
        H² goes with 1/s, while that of a curved surface stays. Cubes of 16 to 64 voxels come out at 0.8 to 0.95, spheres,
        ellipsoids, capsules and tori at 0.2 or less.
        """
        if self.ratio < MIN_RATIO or fine <= 0:
            return 0.0
        return (fine - coarse) / (1 - 1 / self.ratio) / fine

    def extrapolate(self, fine: float, coarse: float, edge_share: float, power: float = 1.0) -> float:
        """Extrapolate what was measured at the two smoothings to no smoothing, as far as edges are what changes it.

        Smoothing rounds edges, which takes off area in proportion to its width: two widths tell what none would
        leave. Without edges the difference is that of curved tips, whose loss grows with the fourth power: what the finer
        smoothing says is closer to the truth than a line through both.
        """
        weight = np.clip((edge_share - FEW_EDGES) / (MANY_EDGES - FEW_EDGES), 0, 1)
        return float(fine + weight * (fine - coarse) / (max(self.ratio, MIN_RATIO) ** power - 1))


def choose_scales(
    volume_nm3: float, face_area_nm2: float, extent_nm3: float, spacing_nm: SpacingNm, smoothing_nm: float
) -> Scales:
    """Choose the scales of a label.

    Parameters
    ----------
    volume_nm3
        Voxel count times voxel volume.
    face_area_nm2
        Area of its voxel faces, cut ones included, which over all directions is 3/2 of the surface's.
    extent_nm3
        Volume of its bounding box.
    spacing_nm
        Voxel size.
    smoothing_nm
        Smoothing for areas of thick labels; 0 takes 1.75 times the largest voxel side.
    """
    side = max(spacing_nm)
    radius = 3 * volume_nm3 / max(face_area_nm2 / 1.5, 1e-9)
    area = min(smoothing_nm or AREA_VOXELS * side, max(side, AREA_SHARE * radius))
    cell = (extent_nm3 / MAX_CELLS) ** (1 / 3)
    coarsened = max(1.0, cell * CELLS_FOR_AREA / area)
    area *= coarsened
    curvature = max(area, min(CURVATURE_FACTOR * np.sqrt(radius * side), CURVATURE_SHARE * radius))
    low = max(area, TUBE_LOW * radius)
    high = min(max(TUBE_HIGH * radius, 2 * low), TUBE_LIMIT * radius)
    return Scales(
        radius=float(radius),
        area_smoothing=area,
        area_cell=area / CELLS_FOR_AREA,
        curvature_smoothing=float(curvature),
        curvature_cell=float(curvature) / CELLS_FOR_CURVATURE,
        tube=(float(low), float(high)),
        coarsened=coarsened,
    )
