"""Two grids over one volume, one coarser by whole factors, and the blocks in which both are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region, block_grid
from spherovem_core.errors import ParameterError, ShapeMismatchError
from spherovem_core.execution import Execution

Factors = tuple[int, int, int]
SAME_GRID: Factors = (1, 1, 1)

BLOCK_EDGE = 256
SERIAL = Execution()


@dataclass(frozen=True)
class GridPair:
    """A fine grid and a coarse one whose voxels each hold `factors` fine ones.

    Fine voxel i lies in coarse voxel i // factor. Fine voxels beyond the last whole coarse one belong to the last.
    """

    fine: tuple[int, ...]
    coarse: tuple[int, ...]
    factors: Factors

    def blocks(self) -> list[Block]:
        """Blocks of the fine grid that start at whole coarse voxels, of at most 256 fine voxels a side."""
        return block_grid(self.fine, [max(f, BLOCK_EDGE // f * f) for f in self.factors])

    def coarse_region(self, region: Region) -> Region:
        """Region of the coarse grid that a region of the fine grid lies in."""
        return tuple(
            slice(min(s.start // f, n - 1), min(-(-s.stop // f), n))
            for s, f, n in zip(region, self.factors, self.coarse, strict=True)
        )

    def gather(
        self, block: Block, where: tuple[NDArray[np.int64], ...]
    ) -> tuple[Region, tuple[NDArray[np.int64], ...]]:
        """Coarse region of a fine block, and in it the coarse voxels that hold the block's fine voxels `where`."""
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
        If the factors are not three whole numbers of 1 or more.
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


def check_same_grid(**arrays: ArrayLike) -> None:
    """Check that arrays, given by name, have one shape of three axes.

    Raises
    ------
    ShapeMismatchError
        If they have not.
    """
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 3 for shape in shapes.values()):
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeMismatchError(
            f"expected volumes of one shape (Z, Y, X), got {found}; give all of them on the same grid"
        )
