"""Stage 7: where nuclei and nanoparticles lie in their cells."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect import task

from spherovem_core.blocks import block_grid
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import SpatialParameters
from spherovem_core.references import ArtifactRef
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.spatial import (
    assign_parent_cells,
    default_radii,
    measure_cells,
    measure_centroids,
    measure_particles,
    nearest_neighbours,
    radial_distribution,
    radial_rank,
    ripley,
    write_distance_map,
)
from spherovem_core.store import StoredArray
from spherovem_core.store.layout import DISTANCE, array_path, stage_table_path
from tasks.artifacts import show_figures
from tasks.nanoparticles import PARTICLES
from tasks.plans import Stage
from tasks.policies import stage_policy
from tasks.stage import StageRun, run_stage

Table = Literal["cells", "nuclei", "nanoparticles", "radial", "ripley"]
TABLES: tuple[Table, ...] = ("cells", "nuclei", "nanoparticles", "radial", "ripley")


def space_table(name: Table) -> str:
    """Path of a table that this stage leaves."""
    return stage_table_path(f"space-{name}")


STAGE = Stage("measure_space", 2, (array_path(DISTANCE), *map(space_table, TABLES)), gpu_library="cupy")


@task(**stage_policy(STAGE), tags=["gpu"])
def measure_space(
    cells: ArtifactRef,
    nuclei: ArtifactRef,
    nanoparticles: ArtifactRef,
    parameters: SpatialParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Write the distance to the nucleus, and say which cell each nucleus and nanoparticle belongs to."""
    return run_stage(STAGE, locals(), _measure_space)


def _measure_space(
    run: StageRun,
    cells: ArtifactRef,
    nuclei: ArtifactRef,
    nanoparticles: ArtifactRef,
    parameters: SpatialParameters,
) -> None:
    cell_labels, nucleus_labels, particle_labels = (
        run.open(labels) for labels in (cells, nuclei, nanoparticles)
    )
    spacing, origin = cell_labels.spacing_nm, cell_labels.origin_nm
    writer = run.writer(DISTANCE, "field", cell_labels.shape, "float32", spacing, origin_nm=origin)
    blocks = block_grid(cell_labels.shape, writer.spec.shards)
    write_distance_map(nucleus_labels, cell_labels, spacing, writer, blocks, run.execution)
    nucleus_table = assign_parent_cells(
        nucleus_labels, cell_labels, min_share=parameters.min_parent_share, execution=run.execution
    )
    where = {"factors": coarsening(particle_labels, cell_labels)}
    particle_table = measure_particles(
        particle_labels,
        run.table(PARTICLES, nanoparticles.digest),
        cell_labels,
        nucleus_labels,
        writer.stored,
        parameters,
        run.execution,
        **where,
    )
    particle_table = measure_centroids(
        particle_table, cell_labels, writer.stored, spacing, run.execution, origin_nm=origin
    )
    radial = radial_distribution(
        particle_labels, cell_labels, writer.stored, spacing, parameters, run.execution, **where
    )
    cell_table = measure_cells(cell_labels, nucleus_table, particle_table, spacing, run.execution)
    points = particle_table[["centroid_z_um", "centroid_y_um", "centroid_x_um"]].to_numpy()
    tables: dict[Table, pd.DataFrame] = {
        "cells": cell_table.merge(radial_rank(radial), on="label", how="left"),
        "nuclei": nucleus_table,
        "nanoparticles": particle_table.assign(nearest_neighbour_um=nearest_neighbours(points)),
        "radial": radial,
        "ripley": _clustering(points, particle_labels, parameters),
    }
    for name, table in tables.items():
        run.write_table(space_table(name), table)
    run.finish(writer)
    _show(run, cell_table, particle_table)


def _clustering(
    points_um: NDArray[np.float64], volume: StoredArray, parameters: SpatialParameters
) -> pd.DataFrame:
    """Ripley's K and L of the particles in the imaged box."""
    side = np.array(volume.spacing_nm) / NM_PER_UM
    low = np.array(volume.origin_nm) / NM_PER_UM - side / 2
    high = low + side * volume.shape
    radii = default_radii(low, high, parameters.ripley_max_um, parameters.ripley_steps)
    return ripley(points_um, low, high, radii)


def coarsening(fine: StoredArray, coarse: StoredArray) -> tuple[int, int, int]:
    """Voxels of the fine grid along z, y, x in one of the coarse grid.

    Raises
    ------
    ShapeMismatchError
        If one grid is no whole multiple of the other.
    """
    ratios = [c / f for f, c in zip(fine.spacing_nm, coarse.spacing_nm, strict=True)]
    factors = [round(ratio) for ratio in ratios]
    if any(abs(ratio - factor) > 1e-6 for ratio, factor in zip(ratios, factors, strict=True)):
        raise ShapeMismatchError(
            f"voxels of {coarse.spacing_nm} nm are no whole multiples of {fine.spacing_nm} nm; both must be of one pyramid"
        )
    return factors[0], factors[1], factors[2]


def _show(run: StageRun, cells: pd.DataFrame, particles: pd.DataFrame) -> None:
    figures = {
        "cells with a nucleus": int((cells["nucleus_count"] > 0).sum()),
        "particles in a cell": int((particles["parent_cell"] > 0).sum()),
        "particles in a nucleus": int(particles["in_nucleus"].sum()),
        "median distance to the nucleus (µm)": float(particles["distance_to_nucleus_um"].median()),
    }
    show_figures(run.artifact_key, figures, "Where nuclei and nanoparticles lie")
