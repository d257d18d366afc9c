"""Grids over one volume: their placement, and pairs of which one is coarser by whole factors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, block_grid
from spherovem_core.errors import ParameterError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.spacing import SpacingNm

Factors = tuple[int, int, int]
SAME_GRID: Factors = (1, 1, 1)

BLOCK_EDGE = 256
SERIAL = Execution()


@dataclass(frozen=True)
class Placement:
    """Voxel size and origin of a volume.

    Attributes
    ----------
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    origin_nm : (z, y, x)
        Position of the centre of the first voxel in nm.
    """

    spacing_nm: SpacingNm
    origin_nm: SpacingNm = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class GridPair:
    """A fine grid, and a coarse grid whose voxels each hold `factors` fine voxels.

    Fine voxel i lies in coarse voxel i // factor. Fine voxels beyond the last whole coarse voxel belong to the last one.
    """

    fine: tuple[int, ...]
    coarse: tuple[int, ...]
    factors: Factors

    def blocks(self) -> list[Block]:
        """Cut the fine grid into blocks that start at whole coarse voxels, of at most 256 fine voxels per side."""
        return block_grid(self.fine, [max(f, BLOCK_EDGE // f * f) for f in self.factors])

    def coarse_region(self, region: Region) -> Region:
        """Return the region of the coarse grid that contains a region of the fine grid."""
        return tuple(
            slice(min(s.start // f, n - 1), min(-(-s.stop // f), n))
            for s, f, n in zip(region, self.factors, self.coarse, strict=True)
        )

    def gather(
        self, block: Block, where: tuple[NDArray[np.int64], ...]
    ) -> tuple[Region, tuple[NDArray[np.int64], ...]]:
        """Find the coarse region of a fine block, and in it the coarse voxels that hold the block's fine voxels `where`."""
        region = self.coarse_region(block.core)
        place = tuple(
            np.minimum((index + fine.start) // f, n - 1) - coarse.start
            for index, fine, f, n, coarse in zip(
                where, block.core, self.factors, self.coarse, region, strict=True
            )
        )
        return region, place


def pair_grids(fine: ArrayLike, coarse: ArrayLike, factors: Sequence[int], names: str) -> GridPair:
    """Check that two arrays lie on grids related by `factors`.

    Raises
    ------
    ParameterError
        If the factors are not three whole numbers greater than or equal to 1.
    ShapeMismatchError
        If the shapes do not fit the factors.
    """
    if len(factors) != 3 or any(f != int(f) or f < 1 for f in factors):
        raise ParameterError(f"factors {tuple(factors)} must be three whole numbers of 1 or more (z, y, x)")
    fits = len(fine.shape) == len(coarse.shape) == 3 and all(
        abs(m - n / f) < 1 for n, m, f in zip(fine.shape, coarse.shape, factors, strict=True)
    )
    if not fits:
        raise ShapeMismatchError(
            f"{names} have shapes {fine.shape} and {coarse.shape}, which factors {tuple(factors)} do not relate; "
            "pass arrays of one region and the factors between their voxel sizes"
        )
    z, y, x = (int(f) for f in factors)
    return GridPair(tuple(fine.shape), tuple(coarse.shape), (z, y, x))


def grid_factors(fine_nm: SpacingNm, coarse_nm: SpacingNm) -> Factors:
    """Compute the fine voxels per coarse voxel along z, y, x from the voxel sizes in nm.

    Raises
    ------
    ShapeMismatchError
        If a coarse voxel size is not a whole multiple of the fine one.
    """
    ratios = [coarse / fine for fine, coarse in zip(fine_nm, coarse_nm, strict=True)]
    factors = [round(ratio) for ratio in ratios]
    if any(abs(ratio - factor) > 1e-6 for ratio, factor in zip(ratios, factors, strict=True)):
        raise ShapeMismatchError(
            f"voxels of {coarse_nm} nm are not whole multiples of {fine_nm} nm; take both volumes from one pyramid"
        )
    return factors[0], factors[1], factors[2]


def check_same_grid(**arrays: ArrayLike) -> None:
    """Check that arrays, passed by name, have three axes and one shape.

    Raises
    ------
    ShapeMismatchError
        If they do not.
    """
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 3 for shape in shapes.values()):
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeMismatchError(
            f"expected volumes of one shape (Z, Y, X), got {found}; give all of them on the same grid"
        )
