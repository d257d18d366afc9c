"""Codes of the specimen mask, and their look-up at voxels of the image."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.spacing import SpacingNm

OUTSIDE, SPECIMEN, LUMEN, CHARGING = range(4)
CODES: Mapping[int, str] = {
    OUTSIDE: "outside",
    SPECIMEN: "specimen",
    LUMEN: "lumen",
    CHARGING: "charging",
}


@dataclass(frozen=True, eq=False)
class Specimen:
    """Specimen mask of a volume.

    Attributes
    ----------
    codes : (Z, Y, X) array-like of uint8
        0 outside (resin or empty frame), 1 specimen, 2 lumen (resin that tissue encloses), 3 charging.
    spacing_nm : (dz, dy, dx)
        Voxel size of the mask.
    factors : (fz, fy, fx)
        Voxels of the image per voxel of the mask.
    fractions
        Fraction of the mask with each code, by name.
    """

    codes: ArrayLike
    spacing_nm: SpacingNm
    factors: tuple[int, int, int]
    fractions: Mapping[str, float]

    def at(self, positions: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Look up the codes at voxels of the image.

        Parameters
        ----------
        positions : (N, 3) ndarray of int
            Voxel indices z, y, x in the image.
        """
        z, y, x = (np.asarray(positions) // self.factors).T
        return np.asarray(np.asarray(self.codes[:])[z, y, x], np.uint8)

    def region(self, region: Region) -> NDArray[np.uint8]:
        """Look up the codes of a region of the image, one per voxel of the image.

        Parameters
        ----------
        region
            Slices along z, y and x with start and stop, in voxels of the image.
        """
        return codes_of_region(self.codes, self.factors, region)


def codes_of_region(codes: ArrayLike, factors: tuple[int, int, int], region: Region) -> NDArray[np.uint8]:
    """Repeat the codes of a mask for every voxel of a region of the image; reads only the tiles of the region."""
    indices = [np.arange(s.start, s.stop) // f for s, f in zip(region, factors, strict=True)]
    box = tuple(slice(int(i[0]), int(i[-1]) + 1) for i in indices)
    tiles: NDArray[np.uint8] = np.asarray(codes[box], np.uint8)
    return np.asarray(tiles[np.ix_(*(i - i[0] for i in indices))])


def code_fractions(codes: NDArray[np.uint8]) -> dict[str, float]:
    """Compute the fraction of a mask with each code, by name."""
    counts = np.bincount(codes.ravel(), minlength=len(CODES)) / max(codes.size, 1)
    return {name: float(counts[code]) for code, name in CODES.items()}
