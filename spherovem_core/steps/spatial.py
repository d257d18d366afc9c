"""Stage 7, spatial: nuclei and nanoparticles in their cells."""

from typing import TYPE_CHECKING, Any

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.parameters import PipelineParameters, SpatialParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.steps.nanoparticles import LABELS as PARTICLE_LABELS
from spherovem_core.steps.nanoparticles import PARTICLES
from spherovem_core.steps.segmentation import LABELS
from spherovem_core.store.columns import RADIAL_COLUMNS, RIPLEY_COLUMNS
from spherovem_core.store.layout import DISTANCE as DISTANCE_GROUP
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    OutputSize,
    Quality,
    SourceVolume,
    Step,
    TableOutput,
    cupy_gpu,
)
from spherovem_core.workflow.cost import mask_grid, mask_work, pyramid_voxels
from spherovem_core.workflow.run import StepRun

if TYPE_CHECKING:
    import pandas as pd

    from spherovem_core.store import StoredArray

DISTANCE = ArrayOutput(
    DISTANCE_GROUP,
    "field",
    "z y x",
    ("float32",),
    "µm",
    "Distance to the nearest nucleus of the same cell: 0 within it, NaN outside cells and in cells with no nucleus.",
)
CELLS = TableOutput("spatial-cells", "a cell")
NUCLEI = TableOutput("spatial-nuclei", "a nucleus")
NANOPARTICLES = TableOutput("spatial-nanoparticles", "a nanoparticle")
RADIAL = TableOutput(
    "spatial-radial", "a cell with a nucleus and a bin of distance that it reaches into", RADIAL_COLUMNS
)
RIPLEY = TableOutput("spatial-ripley", "a radius", RIPLEY_COLUMNS)

STORED_FRACTION = 0.2
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""


def _compute(run: StepRun[SpatialParameters]) -> Quality:
    from spherovem_core.blocks import block_grid
    from spherovem_core.spatial import (
        assign_parent_cells,
        measure_cells,
        measure_centroids,
        measure_particles,
        nearest_neighbours,
        radial_distribution,
        radial_rank,
        write_distance_map,
    )

    parameters = run.parameters
    cells, nuclei, particles = (
        run.open(LABELS["cells"]),
        run.open(LABELS["nuclei"]),
        run.open(PARTICLE_LABELS),
    )
    spacing, origin = cells.spacing_nm, cells.origin_nm
    writer = run.writer(DISTANCE, cells.shape, "float32", spacing, origin_nm=origin)
    write_distance_map(
        nuclei, cells, spacing, writer, block_grid(cells.shape, writer.spec.shards), run.execution
    )
    nucleus_table = assign_parent_cells(
        nuclei, cells, min_share=parameters.min_parent_share, execution=run.execution
    )
    where = {"factors": coarsening(particles, cells)}
    particle_table = measure_particles(
        particles, run.table(PARTICLES), cells, nuclei, writer.stored, parameters, run.execution, **where
    )
    particle_table = measure_centroids(
        particle_table, cells, writer.stored, spacing, run.execution, origin_nm=origin
    )
    radial = radial_distribution(particles, cells, writer.stored, spacing, parameters, run.execution, **where)
    cell_table = measure_cells(cells, nucleus_table, particle_table, spacing, run.execution)
    points = particle_table[["centroid_z_um", "centroid_y_um", "centroid_x_um"]].to_numpy()
    run.write_table(CELLS, cell_table.merge(radial_rank(radial), on="label", how="left"))
    run.write_table(NUCLEI, nucleus_table)
    run.write_table(NANOPARTICLES, particle_table.assign(nearest_neighbour_um=nearest_neighbours(points)))
    run.write_table(RADIAL, radial)
    run.write_table(RIPLEY, _clustering(points, particles, parameters))
    run.finish(writer)
    figures = {
        "cells with a nucleus": int((cell_table["nucleus_count"] > 0).sum()),
        "particles in a cell": int((particle_table["parent_cell"] > 0).sum()),
        "particles in a nucleus": int(particle_table["in_nucleus"].sum()),
        "median distance to the nucleus (µm)": float(particle_table["distance_to_nucleus_um"].median()),
    }
    return Quality("Nuclei and nanoparticles in their cells", figures)


def _clustering(points_um: Any, volume: "StoredArray", parameters: SpatialParameters) -> "pd.DataFrame":
    """Compute Ripley's K and L of the particles in the imaged box."""
    import numpy as np

    from spherovem_core.spatial import default_radii, ripley

    side = np.array(volume.spacing_nm) / NM_PER_UM
    low = np.array(volume.origin_nm) / NM_PER_UM - side / 2
    high = low + side * volume.shape
    radii = default_radii(low, high, parameters.ripley_max_um or 0.0, parameters.ripley_steps)
    return ripley(points_um, low, high, radii)


def coarsening(fine: "StoredArray", coarse: "StoredArray") -> tuple[int, int, int]:
    """Return how many voxels of the fine grid lie along z, y, x in one of the coarse grid.

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


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    return OutputSize.compressed(4 * pyramid_voxels(*mask_grid(volume, parameters)), STORED_FRACTION)


def _chapter() -> Chapter:
    from spherovem_core.spatial.chapter import space_section

    return Chapter("Spatial relations", space_section)


SPATIAL = Step(
    name="spatial",
    stage="spatial",
    version=2,
    parameters=lambda parameters: parameters.spatial,
    inputs=(LABELS["cells"], LABELS["nuclei"], PARTICLE_LABELS, PARTICLES),
    outputs=(DISTANCE, CELLS, NUCLEI, NANOPARTICLES, RADIAL, RIPLEY),
    compute=_compute,
    cost=Cost(mask_work, _size, seconds={"": 1.4}),
    gpu_library=cupy_gpu,
    chapter=_chapter,
)
STEPS = (SPATIAL,)
