"""Positions of nuclei and nanoparticles in their cells: all steps of the stage, on a sink or in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, MemorySink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.known_blocks import digest_of
from spherovem_core.label_statistics import CENTROID_COLUMNS
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spacing import NM_PER_UM, SpacingNm
from spherovem_core.spatial.cell_counts import measure_cells
from spherovem_core.spatial.centroids import measure_centroids
from spherovem_core.spatial.distance_map import write_distance_map
from spherovem_core.spatial.grids import (
    BLOCK_EDGE,
    SAME_GRID,
    SERIAL,
    Factors,
    Placement,
    check_same_grid,
    grid_factors,
    pair_grids,
)
from spherovem_core.spatial.known_space import (
    CellContents,
    KnownSpace,
    find_cells,
    known_columns,
)
from spherovem_core.spatial.parents import assign_parent_cells
from spherovem_core.spatial.particle_blocks import sum_particles
from spherovem_core.spatial.particle_geometry import measure_geometry
from spherovem_core.spatial.particles import measure_particles
from spherovem_core.spatial.radial import radial_distribution
from spherovem_core.spatial.random_comparison import (
    choose_space,
    compare_with_random,
    group_patterns,
    pattern_notes,
)
from spherovem_core.spatial.random_places import Box
from spherovem_core.spatial.random_space import Admission
from spherovem_core.spatial.random_summary import Summary, summarise
from spherovem_core.spatial.random_tables import (
    clustering_tables,
    enrichment_tables,
    radial_columns,
    rank_columns,
)
from spherovem_core.spatial.ripley import default_radii, nearest_neighbours


@dataclass(frozen=True)
class ExcludedObjects:
    """Labels of the objects that a person excluded from statistics.

    They keep their rows, and the others' distances to them stay: they are in the labels. An excluded nucleus is no nucleus of its
    cell's ``nucleus_count``. An excluded particle counts in no cell, distance bin or neighbourhood, and is not compared with
    random places, nor are the particles of an excluded cell, whose rows are marked.
    """

    cells: frozenset[int] = frozenset()
    nuclei: frozenset[int] = frozenset()
    nanoparticles: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Space:
    """Positions of nuclei and nanoparticles in their cells.

    Attributes
    ----------
    cells
        One row per cell: ``label``, ``nucleus_count``, ``nanoparticle_count``, ``nanoparticle_volume_um3``,
        ``nanoparticle_density_per_um3`` (`measure_cells`), ``nanoparticle_radial_rank`` with its range at random places.
    nuclei
        One row per nucleus: ``label``, ``parent_cell``, ``parent_fraction`` (`assign_parent_cells`).
    nanoparticles
        The table of particles with ``parent_cell``, ``parent_fraction``, ``distance_to_nucleus_um``,
        ``distance_to_nucleus_min_um``, ``in_nucleus`` (`measure_particles`), ``distance_to_nucleus_centroid_um``,
        ``distance_to_cell_surface_um`` (`measure_centroids`), ``nearest_neighbour_um`` (`nearest_neighbours`),
        ``cut_by_border``, and ``pattern_note``: why it is not compared with random places, empty if it is.
    radial
        One row per cell and distance bin (`radial_distribution`), with the enrichment over random places; ``excluded`` where the
        cell is.
    clustering
        One row per radius: Ripley's K and L, pair correlation and nearest neighbours, with envelopes of random places.
    enrichment
        One row per distance bin: all cells.
    tests
        One row per statistic: p value, effect and finding.
    distance : (Z, Y, X) array-like of float32
        Distance to the nucleus in µm (`distance_to_nucleus`), rounded to `distance_step_um`.
    admission
        Rule of admissible random places.
    forced_fraction
        Fraction of random places at which it could not be met.
    """

    cells: pd.DataFrame
    nuclei: pd.DataFrame
    nanoparticles: pd.DataFrame
    radial: pd.DataFrame
    clustering: pd.DataFrame
    enrichment: pd.DataFrame
    tests: pd.DataFrame
    distance: ArrayLike
    admission: Admission
    forced_fraction: float


def measure_space(
    cells: NDArray[np.uint32],
    nuclei: NDArray[np.uint32],
    nanoparticles: NDArray[np.uint32],
    spacing_nm: SpacingNm,
    parameters: SpatialParameters | None = None,
    execution: Execution = SERIAL,
    *,
    particle_table: pd.DataFrame | None = None,
    factors: Factors = SAME_GRID,
    excluded: ExcludedObjects = ExcludedObjects(),
) -> Space:
    """Measure where the nuclei and nanoparticles of label volumes in memory lie in their cells.

    The result is the same as that of the blocked computation (`write_space`).

    Parameters
    ----------
    cells, nuclei : (Z, Y, X) ndarray of uint32
        Instance labels, 0 is background.
    nanoparticles : (Z, Y, X) ndarray of uint32
        Labels of the particles on the same grid, or on a grid finer by `factors`.
    spacing_nm : (dz, dy, dx)
        Voxel size of `cells` and `nuclei` in nm.
    parameters
        Parameters of the stage; by default the daily setting.
    execution
        Executor, device, deadline and progress; by default one thread.
    particle_table
        One row per particle with ``label``, ``volume_um3`` and ``centroid_z_um`` to ``centroid_x_um``, as
        `spherovem_core.nanoparticles.find_particles` returns it. By default it is measured from the labels.
    factors
        Voxels of `nanoparticles` per voxel of `cells` along z, y, x.
    excluded
        Objects that statistics leave out.

    Returns
    -------
    Space
        Tables and distance map. ``distance`` is an ndarray.

    Raises
    ------
    ShapeMismatchError
        If the volumes do not cover one region, or `particle_table` and the labels name different particles.

    Examples
    --------
    One cell of 20 voxels along x; its nucleus is the first 2 voxels, and the particle lies 50 to 60 nm from it:

    >>> import numpy as np
    >>> from spherovem_core.spatial import measure_space
    >>> cells = np.zeros((4, 6, 24), np.uint32)
    >>> cells[:, :, :20] = 5
    >>> nuclei, nanoparticles = np.zeros_like(cells), np.zeros_like(cells)
    >>> nuclei[:, :, :2] = 1
    >>> nanoparticles[1, 2, 6:8] = 1
    >>> space = measure_space(cells, nuclei, nanoparticles, spacing_nm=(50, 10, 10))
    >>> space.nuclei["parent_cell"].tolist()
    [5]
    >>> space.nanoparticles["distance_to_nucleus_um"].round(2).tolist()
    [0.06]
    >>> space.cells[["label", "nucleus_count", "nanoparticle_count"]].to_dict("records")
    [{'label': 5, 'nucleus_count': 1, 'nanoparticle_count': 1}]
    """
    parameters = parameters or SpatialParameters()
    dz, dy, dx = spacing_nm
    particle_spacing = (dz / factors[0], dy / factors[1], dx / factors[2])
    # Both grids start at the same corner, so that the centres of their first voxels differ.
    oz, oy, ox = ((coarse - fine) / 2 for coarse, fine in zip(spacing_nm, particle_spacing, strict=True))
    if particle_table is None:
        particle_table = measure_geometry(nanoparticles, particle_spacing, execution)
    distance = np.full(cells.shape, np.nan, np.float32)
    return write_space(
        cells,
        nuclei,
        nanoparticles,
        particle_table,
        Placement(spacing_nm, (oz, oy, ox)),
        Placement(particle_spacing),
        MemorySink(distance),
        distance,
        block_grid(cells.shape, (BLOCK_EDGE,) * 3),
        parameters,
        execution,
        excluded=excluded,
    )


def write_space(
    cells: ArrayLike,
    nuclei: ArrayLike,
    nanoparticles: ArrayLike,
    particle_table: pd.DataFrame,
    cell_placement: Placement,
    particle_placement: Placement,
    distance_sink: BlockSink,
    distance: ArrayLike,
    blocks: Sequence[Block],
    parameters: SpatialParameters,
    execution: Execution = SERIAL,
    *,
    contents: CellContents | None = None,
    known: KnownSpace | None = None,
    excluded: ExcludedObjects = ExcludedObjects(),
) -> Space:
    """Measure where nuclei and nanoparticles lie in their cells, for volumes that do not fit in memory.

    The distance map is written block by block; everything else is measured with it. A killed run continues from the blocks in
    the sink.

    Parameters
    ----------
    cells, nuclei, nanoparticles : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background; read block by block.
    particle_table
        One row per particle with ``label``, ``volume_um3`` and ``centroid_z_um`` to ``centroid_x_um``.
    cell_placement, particle_placement
        Voxel size and origin of `cells` and `nuclei`, and of `nanoparticles`.
    distance_sink, distance
        Takes the blocks of the distance map (float32 µm), and the array to read them back from.
    blocks
        Cover `cells`, aligned to the files of the sink.
    parameters
        Parameters of the stage.
    execution
        Executor, device, deadline and progress.
    contents
        The cells with their keys; None reads the volumes for them.
    known
        What was measured before. What did not change since is taken from it, and the result is the same as without it.
    excluded
        Objects that statistics leave out.

    Returns
    -------
    Space
        Tables, and `distance` as it was passed.

    Raises
    ------
    ShapeMismatchError
        If the volumes do not cover one region, their voxel sizes are not whole multiples, or the table and the labels name
        different particles.
    DeadlineError
        If the stage ran past its time limit; finished blocks are kept.
    """
    spacing_nm, origin_nm = cell_placement.spacing_nm, cell_placement.origin_nm
    factors = grid_factors(particle_placement.spacing_nm, spacing_nm)
    contents = contents or find_cells(cells, nuclei, execution, keyed=known is not None, known=known)
    bin_um = parameters.radial_bin_um
    write_distance_map(
        nuclei,
        cells,
        spacing_nm,
        distance_sink,
        blocks,
        execution,
        contents=contents,
        known=known,
        bin_um=None if known is None else bin_um,
    )
    nucleus_table = assign_parent_cells(
        nuclei,
        cells,
        min_fraction=parameters.min_parent_fraction,
        execution=execution,
        overlaps=contents.overlaps,
    )
    maps = (cells, nuclei, distance)
    check_same_grid(cells=cells, nuclei=nuclei, distance=distance)
    pair = pair_grids(nanoparticles, cells, factors, "particles and cells")
    sums = sum_particles(nanoparticles, maps, pair, bin_um, execution, known)
    particle_table = measure_particles(
        nanoparticles, particle_table, *maps, parameters, execution, factors=factors, sums=sums
    )
    particle_table = measure_centroids(
        particle_table,
        cells,
        distance,
        spacing_nm,
        execution,
        origin_nm=origin_nm,
        contents=contents,
        known=known,
    )
    radial = radial_distribution(
        nanoparticles,
        cells,
        distance,
        spacing_nm,
        parameters,
        execution,
        factors=factors,
        contents=contents,
        known=known,
        sums=replace(sums, bins=_without(sums.bins, excluded.nanoparticles)),
    )
    cell_table = measure_cells(
        cells,
        _without(nucleus_table, excluded.nuclei),
        _without(particle_table, excluded.nanoparticles),
        spacing_nm,
        execution,
        statistics=contents.statistics,
    )
    points = particle_table[list(CENTROID_COLUMNS)].to_numpy()
    counted = ~_are_among(particle_table, excluded.nanoparticles)
    place = str((particle_placement, nanoparticles.shape)).encode()
    content = digest_of(points.tobytes(), counted.tobytes(), place)
    neighbours = known_columns(
        known, f"nearest neighbours {content}", lambda: {"distance": nearest_neighbours(points, counted)}
    )
    particle_table = particle_table.assign(
        nearest_neighbour_um=neighbours["distance"],
        cut_by_border=_are_among(
            particle_table, frozenset(sums.pieces.loc[sums.pieces["on_border"] > 0, "label"].tolist())
        ),
    )
    particle_table["pattern_note"] = pattern_notes(
        particle_table,
        choose_space(parameters, contents),
        contents,
        cells.shape,
        ~counted,
        excluded.cells,
    )
    compared = _compare(
        particle_table,
        contents,
        (cells, distance),
        (cell_placement, particle_placement),
        nanoparticles.shape,
        parameters,
        execution,
        known,
    )
    ranks = rank_columns(contents.statistics.labels, compared.summary)
    radial = radial_columns(radial, compared.summary, bin_um)
    return Space(
        cell_table.merge(ranks, on="label", how="left"),
        nucleus_table,
        particle_table,
        radial.assign(excluded=_are_among(radial, excluded.cells, "cell")),
        compared.clustering,
        compared.enrichment,
        compared.tests,
        distance,
        compared.admission,
        compared.summary.forced_fraction,
    )


def _are_among(table: pd.DataFrame, labels: frozenset[int], column: str = "label") -> NDArray[np.bool_]:
    return table[column].isin(list(labels)).to_numpy(bool)


def _without(table: pd.DataFrame, labels: frozenset[int]) -> pd.DataFrame:
    return table[~_are_among(table, labels)]


@dataclass(frozen=True, eq=False)
class _Compared:
    summary: Summary
    clustering: pd.DataFrame
    enrichment: pd.DataFrame
    tests: pd.DataFrame
    admission: Admission


def _compare(
    particles: pd.DataFrame,
    contents: CellContents,
    maps: tuple[ArrayLike, ArrayLike],
    placements: tuple[Placement, Placement],
    shape: tuple[int, ...],
    parameters: SpatialParameters,
    execution: Execution,
    known: KnownSpace | None,
) -> _Compared:
    """Compare particles with random places; `shape` is that of the volume of particles."""
    cells, distance = maps
    cell_placement, particle_placement = placements
    space = choose_space(parameters, contents)
    side = np.array(particle_placement.spacing_nm) / NM_PER_UM
    low = np.array(particle_placement.origin_nm) / NM_PER_UM
    high = low + side * (np.array(shape) - 1)
    radii = default_radii(low - side / 2, high + side / 2, parameters.ripley_max_um, parameters.ripley_steps)
    box = Box(low, high, side)
    groups = group_patterns(particles, contents, space, cells.shape, box)
    comparison = compare_with_random(
        groups, space, cells, distance, cell_placement, box, radii, parameters, execution, known
    )
    summary = summarise(comparison.cells, parameters.null_simulations, len(radii))
    clustering, clustering_rows = clustering_tables(summary, radii, space, parameters.null_seed)
    enrichment, enrichment_rows = enrichment_tables(summary, parameters.radial_bin_um, space)
    tests = pd.DataFrame([*clustering_rows, *enrichment_rows])
    return _Compared(summary, clustering, enrichment, tests, comparison.null.admission)
