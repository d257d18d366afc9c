"""Parent cell of each nanoparticle, and its distance to the nucleus of that cell."""

import numpy as np
import pandas as pd

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spatial.grids import SAME_GRID, SERIAL, Factors, check_same_grid, pair_grids
from spherovem_core.spatial.known_space import KnownSpace
from spherovem_core.spatial.parents import choose_parents
from spherovem_core.spatial.particle_blocks import ParticleSums, sum_particles


def measure_particles(
    particles: ArrayLike,
    particle_table: pd.DataFrame,
    cells: ArrayLike,
    nuclei: ArrayLike,
    distance: ArrayLike,
    parameters: SpatialParameters,
    execution: Execution = SERIAL,
    *,
    factors: Factors = SAME_GRID,
    known: KnownSpace | None = None,
    sums: ParticleSums | None = None,
) -> pd.DataFrame:
    """Add the parent cell and the distance to its nucleus to the table of particles.

    Only the voxels of a particle inside its parent cell are measured: outside, the nearest nucleus is that of another cell.

    Parameters
    ----------
    particles : (Z, Y, X) array-like of unsigned integers
        Labels of the particles; read block by block.
    particle_table
        One row per particle, with its ``label``.
    cells, nuclei, distance : array-like
        Labels, and the map of `write_distance_map`, on one grid.
    parameters
        ``min_parent_fraction`` is used.
    execution
        Executor, deadline and progress. Runs on the CPU.
    factors
        Voxels of `particles` per voxel of `cells` along z, y, x.
    known
        Sums over blocks so far; blocks in which nothing changed are not evaluated.
    sums
        Sums over the voxels of the particles; None reads the volumes for them.

    Returns
    -------
    DataFrame
        The table with ``parent_cell`` and ``parent_fraction`` as `assign_parent_cells` defines them,
        ``distance_to_nucleus_um`` and ``distance_to_nucleus_min_um``, mean and minimum over the voxels (NaN without a
        parent or if the parent has no nucleus), and ``in_nucleus``: more than half of the particle lies in nuclei of any cell.

    Raises
    ------
    ShapeMismatchError
        If the volumes do not cover one region, or the table and the volume name different particles.
    """
    check_same_grid(cells=cells, nuclei=nuclei, distance=distance)
    grids = pair_grids(particles, cells, factors, "particles and cells")
    if sums is None:
        width = parameters.radial_bin_um
        sums = sum_particles(particles, (cells, nuclei, distance), grids, width, execution, known)
    pieces = sums.pieces.copy()
    pieces["in_nucleus"] = pieces.groupby("label")["in_nucleus"].transform("sum")
    places = _places(choose_parents(pieces, parameters.min_parent_fraction))
    _check_labels(particle_table, places)
    return particle_table.merge(places, on="label", how="left", validate="one_to_one")


def _places(chosen: pd.DataFrame) -> pd.DataFrame:
    known = (chosen["parent_cell"] > 0) & (chosen["measured"] > 0)
    mean = chosen["distance_sum"] / chosen["measured"].where(known)
    return pd.DataFrame(
        {
            "label": chosen["label"],
            "parent_cell": chosen["parent_cell"],
            "parent_fraction": chosen["parent_fraction"],
            "distance_to_nucleus_um": mean.astype(np.float64),
            "distance_to_nucleus_min_um": chosen["distance_min"].where(known, np.nan).astype(np.float64),
            "in_nucleus": 2 * chosen["in_nucleus"] > chosen["parts"],
        }
    )


def _check_labels(table: pd.DataFrame, places: pd.DataFrame) -> None:
    unknown = sorted(set(table["label"].tolist()) ^ set(places["label"].tolist()))
    if unknown:
        raise ShapeMismatchError(
            f"{len(unknown)} labels, such as {unknown[0]}, are only in the table of particles or only in their volume; "
            "both must come from one run of the nanoparticles stage"
        )
