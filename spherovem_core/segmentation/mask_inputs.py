"""Inputs of the masks: flows and image, read by regions of the masks' grid."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.boundary_gradient import MARGIN, boundary_gradient
from spherovem_core.parameters import MaskParameters
from spherovem_core.segmentation.filters import CUBE, Sides, filter_margin, filter_probability, filter_vectors
from spherovem_core.segmentation.grid import Grid, crop_grid
from spherovem_core.segmentation.resample import axis_weights, resample


@dataclass(frozen=True)
class MaskInputs:
    """Flows on their coarse grid, and the image on the fine grid on which masks are made.

    Attributes
    ----------
    flows : (4, Z, Y, X) array
        (dz, dy, dx) in voxels of `grid`, times 5 as networks predict them, and the probability's logit.
    grid, target
        Grids of the flows and of the masks.
    image : (Z, Y, X) array, optional
        The registered image on `target`, for the boundaries between objects and for the guided filter.
    in_sections
        True if the network saw each section by itself, and no flow leads across sections.
    """

    flows: ArrayLike
    grid: Grid
    target: Grid
    image: ArrayLike | None = None
    in_sections: bool = False

    @property
    def sides(self) -> Sides:
        """Sides of a voxel of the flows for the filters: multiples of the shortest in sections, else a cube."""
        if not self.in_sections:
            return CUBE
        dz, dy, dx = self.grid.spacing_nm
        least = min(dz, dy, dx)
        return dz / least, dy / least, dx / least

    def upsampled_flows(self, region: Region, parameters: MaskParameters) -> NDArray[np.float32]:
        """Return filtered flows (4, z, y, x) in a region of the target, the vectors in voxels of the target."""
        place = self.coarse_region(region, filter_margin(parameters))
        coarse = np.asarray(self.flows[(slice(None), *place)])
        values = np.empty(coarse.shape, np.float32)
        values[:3] = filter_vectors(coarse[:3], parameters, self.sides)
        for component, from_nm, to_nm in zip(
            values, self.grid.spacing_nm, self.target.spacing_nm, strict=False
        ):
            component *= np.float32(from_nm / to_nm)
        values[3] = filter_probability(coarse[3], parameters, self._guide(place, parameters), self.sides)
        return resample(values, crop_grid(self.grid, place), self.target, region)

    def upsampled_logit(self, region: Region, parameters: MaskParameters) -> NDArray[np.float32]:
        """Return the filtered logit (z, y, x) in a region of the target."""
        place = self.coarse_region(region, filter_margin(parameters))
        values = self._filtered_logit(place, parameters)
        return resample(values, crop_grid(self.grid, place), self.target, region)

    def has_foreground(self, region: Region, parameters: MaskParameters) -> bool:
        """Return whether any flow voxel that a region depends on is above the threshold.

        Upsampling never raises the maximum, so a region without such a voxel has no foreground.
        """
        place = self.coarse_region(region, filter_margin(parameters))
        values = self._filtered_logit(place, parameters)
        return bool((values > parameters.probability_threshold).any())

    def boundary_evidence(
        self, region: Region, logit: NDArray[np.float32], parameters: MaskParameters
    ) -> NDArray[np.float32]:
        """Measure the two maps (2, z, y, x) that separate objects: confidence, and gradient of the image.

        The confidence is the logit above the threshold; the probability itself is 1 to three digits within cells, also at
        their contacts. The gradient is the range of the smoothed image within 3 x 3 x 3 voxels: unlike
        a difference it does not vanish in the middle of a thin membrane. Without an image it is zero.
        """
        values = np.zeros((2, *logit.shape), np.float32)
        values[0] = np.maximum(logit - parameters.probability_threshold, 0)
        if self.image is not None:
            outer = tuple(
                slice(max(0, s.start - MARGIN), min(n, s.stop + MARGIN))
                for s, n in zip(region, self.target.shape, strict=True)
            )
            inner = tuple(
                slice(s.start - o.start, s.stop - o.start) for s, o in zip(region, outer, strict=True)
            )
            values[1] = boundary_gradient(np.asarray(self.image[outer]))[inner]
        return values

    def coarse_region(self, region: Region, margin: int) -> Region:
        """Return the flow voxels that a region of the target needs, with a margin of flow voxels for filters."""
        needed = [
            axis_weights(part, side, origin, extent, source_side, source_origin).region
            for part, side, origin, extent, source_side, source_origin in zip(
                region,
                self.target.spacing_nm,
                self.target.origin_nm,
                self.grid.shape,
                self.grid.spacing_nm,
                self.grid.origin_nm,
                strict=True,
            )
        ]
        return tuple(
            slice(max(0, s.start - margin), min(n, s.stop + margin))
            for s, n in zip(needed, self.grid.shape, strict=True)
        )

    def _filtered_logit(self, place: Region, parameters: MaskParameters) -> NDArray[np.float32]:
        """Read and filter the logit in a region of the flow grid."""
        return filter_probability(
            np.asarray(self.flows[(3, *place)]), parameters, self._guide(place, parameters), self.sides
        )

    def _guide(self, place: Region, parameters: MaskParameters) -> NDArray[np.float32] | None:
        """Return the image with values from 0 to 1 in a region of the flow grid."""
        if self.image is None or parameters.probability_filter != "guided":
            return None
        dtype: np.dtype[Any] = np.dtype(self.image.dtype)
        scale = np.iinfo(dtype).max if dtype.kind == "u" else 1.0
        return resample(self.image, self.target, self.grid, place) / np.float32(scale)
