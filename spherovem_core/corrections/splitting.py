"""Split of one object between seed points, through its necks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from spherovem_core.blocks import Region
from spherovem_core.corrections.grid import Index, PointUmTuple
from spherovem_core.corrections.necks import parts_of_seeds
from spherovem_core.corrections.object_box import Factors, ObjectBox, coarse_factors, spread_out
from spherovem_core.errors import CorrectionError

FindParts = Callable[[NDArray[np.bool_], PointUmTuple, Sequence[Index]], NDArray[np.uint16]]

DEPTH = 2
"""Coarse voxels to which the distance to the surface is looked at beside a cut."""


@dataclass(frozen=True)
class SeedCut:
    """A cut through the necks of an object between seeds, each of which gets one part.

    Pieces of the object that hold no seed go to the part of the nearest seed.

    Attributes
    ----------
    coarse : (Z, Y, X) ndarray of uint16
        Parts on the coarse grid.
    beside_cut : (Z, Y, X) ndarray of bool
        Voxels of the coarse grid that touch another part.
    factors
        Voxels in one of the coarse grid.
    spacing
        Voxel size.
    seeds
        Voxels of the seeds.
    """

    coarse: NDArray[np.uint16]
    beside_cut: NDArray[np.bool_]
    factors: Factors
    spacing: PointUmTuple
    seeds: Sequence[Index]

    def parts(self, box: ObjectBox, region: Region) -> NDArray[np.uint16]:
        """Return the parts in a region of the box.

        Beside the cut, the parts that the coarse grid gives grow at full resolution: through thick places before thin ones, so
        that gaps and necks thinner than a coarse voxel part them.
        """
        if self.factors == (1, 1, 1):
            return self.coarse[region]
        if not spread_out(self.beside_cut, region, self.factors).any():
            return self._filled(region, box.read(region))
        wide = tuple(
            slice(max(0, side.start - (DEPTH + 1) * factor), min(n, side.stop + (DEPTH + 1) * factor))
            for side, factor, n in zip(region, self.factors, box.shape, strict=True)
        )
        inner = tuple(
            slice(side.start - around.start, side.stop - around.start)
            for side, around in zip(region, wide, strict=True)
        )
        mask = box.read(wide)
        parts = self._filled(wide, mask)
        open_ = spread_out(self.beside_cut, wide, self.factors) & mask
        markers = np.where(open_, 0, parts).astype(np.int32)
        for number, seed in enumerate(self.seeds, 1):
            if all(side.start <= i < side.stop for i, side in zip(seed, wide, strict=True)):
                markers[tuple(i - side.start for i, side in zip(seed, wide, strict=True))] = number
        grown = watershed(-self._depth(mask), markers, mask=mask)
        # What no part reaches stays with the coarse grid.
        return np.where(grown > 0, grown, parts).astype(np.uint16)[inner]

    def _filled(self, region: Region, mask: NDArray[np.bool_]) -> NDArray[np.uint16]:
        parts: NDArray[np.uint16] = spread_out(self.coarse, region, self.factors)
        parts[~mask] = 0
        return parts

    def _depth(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the distance to the surface, as far as it is known within the region."""
        most = DEPTH * min(side * factor for side, factor in zip(self.spacing, self.factors, strict=True))
        depth = edt.edt(np.ascontiguousarray(mask), anisotropy=self.spacing, black_border=False, parallel=1)
        limited: NDArray[np.float32] = np.minimum(depth, np.float32(most))
        return limited


def find_seed_cut(
    box: ObjectBox, spacing: PointUmTuple, seeds: Sequence[Index], find_parts: FindParts = parts_of_seeds
) -> SeedCut:
    """Find the cut of an object between seeds, on a coarser grid where its box has more than `LARGEST_GRID` voxels.

    Parameters
    ----------
    box
        The object, with a margin of one voxel except where the volume ends: the border of the box is no surface.
    spacing
        Voxel size z, y, x.
    seeds
        Different voxels of the object.

    Raises
    ------
    CorrectionError
        If two seeds lie in one voxel of that grid.
    """
    factors = coarse_factors(box.shape, spacing)
    fz, fy, fx = factors
    places = [(z // fz, y // fy, x // fx) for z, y, x in seeds]
    if len(set(places)) < len(places):
        if math.prod(factors) == 1:
            raise CorrectionError("two points lie in one voxel")
        block = " × ".join(map(str, factors))
        raise CorrectionError(
            f"two points lie in one block of {block} voxels (z × y × x), the precision to which an object of this size is cut; "
            "set them farther apart"
        )
    sides = (spacing[0] * fz, spacing[1] * fy, spacing[2] * fx)
    coarse = find_parts(box.coarse(factors), sides, places)
    return SeedCut(coarse, _beside_cut(coarse), factors, spacing, seeds)


def _beside_cut(parts: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return the voxels that touch another part, but for parts of which nothing would be left."""
    highest = ndimage.maximum_filter(parts, 3)
    lowest = ndimage.minimum_filter(np.where(parts, parts, np.uint16(2**16 - 1)), 3)
    beside: NDArray[np.bool_] = (parts > 0) & (lowest < highest)
    inside = np.bincount(parts[~beside], minlength=int(parts.max()) + 1) > 0
    return beside & inside[parts]
