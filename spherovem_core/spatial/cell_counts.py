"""Nuclei and particles per cell, and the density of particles."""

import numpy as np
import pandas as pd

from spherovem_core.blocks import ArrayLike
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import LabelStatistics, collect_label_statistics
from spherovem_core.spacing import SpacingNm, voxel_volume_um3
from spherovem_core.spatial.grids import SERIAL


def measure_cells(
    cells: ArrayLike,
    nuclei: pd.DataFrame,
    particles: pd.DataFrame,
    spacing_nm: SpacingNm,
    execution: Execution = SERIAL,
    *,
    statistics: LabelStatistics | None = None,
) -> pd.DataFrame:
    """Count the nuclei and particles of each cell.

    Parameters
    ----------
    cells : (Z, Y, X) array-like of unsigned integers
        Labels of the cells; read block by block.
    nuclei
        Table with ``parent_cell``, from `assign_parent_cells`; those that count.
    particles
        Table with ``parent_cell`` and ``volume_um3``, from `measure_particles`; those that count.
    spacing_nm : (dz, dy, dx)
        Voxel size of `cells` in nm.
    execution
        Its executor maps blocks.
    statistics
        Statistics of the cells, if they are known; None reads the cells for them.

    Returns
    -------
    DataFrame
        One row per cell, rising: ``label``, ``nucleus_count``, ``nanoparticle_count``, ``nanoparticle_volume_um3``, and
        ``nanoparticle_density_per_um3``, the number of particles per volume of the cell's voxels.
    """
    boxes = collect_label_statistics(cells, execution.executor) if statistics is None else statistics
    labels = pd.Index(boxes.labels, name="label")
    by_cell = (
        particles.groupby("parent_cell")["volume_um3"].agg(["size", "sum"]).reindex(labels, fill_value=0)
    )
    count = by_cell["size"].to_numpy(np.int64)
    return pd.DataFrame(
        {
            "label": boxes.labels,
            "nucleus_count": nuclei.groupby("parent_cell")
            .size()
            .reindex(labels, fill_value=0)
            .to_numpy(np.int64),
            "nanoparticle_count": count,
            "nanoparticle_volume_um3": by_cell["sum"].to_numpy(np.float64),
            "nanoparticle_density_per_um3": count / (boxes.voxel_count * voxel_volume_um3(spacing_nm)),
        }
    )
