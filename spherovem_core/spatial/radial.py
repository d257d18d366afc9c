"""Radial distribution: volume of cells and of their particles by distance to the nucleus."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from spherovem_core.blocks import ArrayLike, Block, block_grid, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spacing import SpacingNm, voxel_volume_um3
from spherovem_core.spatial.cell_bins import known_cell_bins
from spherovem_core.spatial.distance_bins import count_by_bin
from spherovem_core.spatial.grids import (
    BLOCK_EDGE,
    SAME_GRID,
    SERIAL,
    Factors,
    check_same_grid,
    pair_grids,
)
from spherovem_core.spatial.known_space import CellContents, KnownSpace
from spherovem_core.spatial.particle_blocks import ParticleSums, sum_particles


def radial_distribution(
    particles: ArrayLike,
    cells: ArrayLike,
    distance: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: SpatialParameters,
    execution: Execution = SERIAL,
    *,
    factors: Factors = SAME_GRID,
    contents: CellContents | None = None,
    known: KnownSpace | None = None,
    sums: ParticleSums | None = None,
) -> pd.DataFrame:
    """Measure the volume of cells and of particles in bins of the distance to the nucleus.

    Every voxel counts for the cell that it lies in, also if its particle has another parent. Runs on the CPU.

    Parameters
    ----------
    particles : (Z, Y, X) array-like of unsigned integers
        Labels of the particles; read block by block, like the other arrays.
    cells, distance : array-like
        Labels, and the map of `write_distance_map`, on one grid.
    spacing_nm : (dz, dy, dx)
        Voxel size of `cells` in nm.
    parameters
        ``radial_bin_um`` is used.
    execution
        Executor, deadline and progress.
    factors
        Voxels of `particles` per voxel of `cells` along z, y, x.
    contents, known
        The cells with their keys, and counts of cells so far; cells that did not change are not read. Without either, all are.
    sums
        Sums over the voxels of the particles, in bins of ``radial_bin_um``; None reads the volumes for them.

    Returns
    -------
    DataFrame
        One row per cell with a nucleus and bin that the cell reaches: ``cell``; ``distance_low_um`` (exclusive) and
        ``distance_high_um`` (inclusive), both 0 for the nucleus; ``cell_volume_um3`` and ``nanoparticle_volume_um3`` in the
        bin.

    Raises
    ------
    ShapeMismatchError
        If the volumes do not cover one region.
    """
    check_same_grid(cells=cells, distance=distance)
    grids = pair_grids(particles, cells, factors, "particles and cells")
    width = parameters.radial_bin_um
    if sums is None:
        # Which voxels lie in a nucleus is not asked here.
        sums = sum_particles(particles, (cells, cells, distance), grids, width, execution)
    if contents is None or known is None:
        volume = _sum(_count_blocks(cells, distance, width, execution))
    else:
        volume = _sum([known_cell_bins(contents, cells, distance, width, execution, known)])
    particle = _sum([sums.bins])
    voxel = voxel_volume_um3(spacing_nm)
    table = pd.DataFrame(
        {
            "cell_volume_um3": volume * voxel,
            "nanoparticle_volume_um3": particle.reindex(volume.index, fill_value=0)
            * (voxel / float(np.prod(factors))),
        }
    ).reset_index()
    bins = table.pop("bin").to_numpy(np.int64)
    table.insert(1, "distance_low_um", np.maximum(bins - 1, 0) * width)
    table.insert(2, "distance_high_um", bins * width)
    return table.assign(cell=table["cell"].astype(np.uint32))


def _sum(tables: Iterable[pd.DataFrame]) -> "pd.Series[int]":
    """Sum the voxels of each pair of cell and bin."""
    found = [pd.DataFrame({name: np.empty(0, np.int64) for name in ("cell", "bin", "voxels")}), *tables]
    return pd.concat(found).groupby(["cell", "bin"])["voxels"].sum()


def _count_blocks(
    cells: ArrayLike, distance: ArrayLike, width: float, execution: Execution
) -> Iterator[pd.DataFrame]:
    blocks = block_grid(cells.shape, (BLOCK_EDGE,) * 3)
    shared = (cells, distance, width)
    ahead = execution.workers + 2
    for done, (_, table) in enumerate(
        map_blocks(_count_cells, blocks, *shared, executor=execution.executor, ahead=ahead), 1
    ):
        yield table
        execution.report(done, len(blocks))


def _count_cells(block: Block, cells: ArrayLike, distance: ArrayLike, width: float) -> pd.DataFrame:
    return count_by_bin(np.asarray(cells[block.core]), np.asarray(distance[block.core]), width)
