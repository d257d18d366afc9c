"""Stage 7, spatial: nuclei and nanoparticles in their cells."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from spherovem_core.parameters import PipelineParameters, SpatialParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.report.findings import findings
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.steps.correction_tables import excluded_by_hand, exclusion_digests, without_excluded
from spherovem_core.steps.nanoparticles import LABELS as PARTICLE_LABELS
from spherovem_core.steps.nanoparticles import PARTICLES
from spherovem_core.steps.segmentation import LABELS
from spherovem_core.steps.specimen import SPECIMEN
from spherovem_core.store.columns import (
    CONTACT_COLUMNS,
    ENRICHMENT_COLUMNS,
    RADIAL_COLUMNS,
    RIPLEY_COLUMNS,
    TEST_COLUMNS,
)
from spherovem_core.store.layout import DISTANCE as DISTANCE_GROUP
from spherovem_core.store.layout import CorrectedKind
from spherovem_core.store.reading import StoredArray
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

    from spherovem_core.label_statistics import LabelStatistics
    from spherovem_core.spatial import KnownSpace, Space

logger = logging.getLogger(__name__)

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
ENRICHMENT = TableOutput("spatial-enrichment", "a bin of distance to the nucleus", ENRICHMENT_COLUMNS)
CONTACTS = TableOutput("contacts", "a pair of cells that touch", CONTACT_COLUMNS, published=True)
TESTS = TableOutput("spatial-tests", "a statistic that is compared with random places", TEST_COLUMNS)

REMEMBERED = 2
"""Measurements of changed cells and blocks that are kept per present one, for corrections that are undone."""

STORED_FRACTION = 0.064
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""


def _compute(run: StepRun[SpatialParameters]) -> Quality:
    from spherovem_core.blocks import block_grid
    from spherovem_core.known_blocks import KnownResults
    from spherovem_core.spatial import (
        NUCLEUS_BLOCKS,
        ExcludedObjects,
        KnownDistances,
        KnownSpace,
        Placement,
        distance_step_um,
        find_cells,
        record_distances,
        write_space,
    )

    cells, nuclei, particles = (
        run.open(LABELS["cells"]),
        run.open(LABELS["nuclei"]),
        run.open(PARTICLE_LABELS),
    )
    ledger = run.measurements(
        grids=[[array.shape, array.spacing_nm, array.origin_nm] for array in (cells, particles)]
    )
    replaced = run.replaced(DISTANCE)
    writer = run.writer(
        DISTANCE,
        cells.shape,
        "float32",
        cells.spacing_nm,
        origin_nm=cells.origin_nm,
        resolution=distance_step_um(cells.spacing_nm),
        is_sparse=True,
    )
    blocks = block_grid(cells.shape, writer.spec.shards)
    known = KnownSpace(ledger)
    if replaced is not None and (record := known.find(_map_entry(replaced.digest))):
        known.distances = KnownDistances(
            replaced,
            record,
            lambda block: writer.take_over(block, replaced.folder, link=True),
            lambda block, values, before: writer.write(block, values, (before, replaced.folder)),
        )
    statistics = run.label_statistics("cells")
    blocks_of_cells = KnownResults(statistics)
    contents = find_cells(cells, nuclei, run.execution, known=blocks_of_cells)
    excluded = excluded_by_hand(run)
    space = write_space(
        cells,
        nuclei,
        particles,
        run.table(PARTICLES),
        Placement(cells.spacing_nm, cells.origin_nm),
        Placement(particles.spacing_nm, particles.origin_nm),
        writer,
        writer.stored,
        blocks,
        run.parameters,
        run.execution,
        contents=contents,
        known=known,
        excluded=ExcludedObjects(excluded["cells"], excluded["nuclei"], excluded["nanoparticles"]),
    )
    known.add(_map_entry(run.plan.digest), record_distances(contents, writer.stored, blocks))
    surroundings = _surroundings(run, space, cells, particles, contents.statistics, known, excluded["cells"])
    run.write_table(CELLS, surroundings.cells)
    run.write_table(NUCLEI, space.nuclei)
    run.write_table(NANOPARTICLES, surroundings.nanoparticles)
    run.write_table(CONTACTS, surroundings.contacts)
    run.write_table(RADIAL, space.radial)
    run.write_table(RIPLEY, space.clustering)
    run.write_table(ENRICHMENT, space.enrichment)
    run.write_table(TESTS, space.tests)
    run.finish(writer)
    # A record of a map is of use only while the map is there.
    present = _map_entry(run.plan.digest)
    ledger.drop([key for key in ledger if key.startswith(_map_entry("")) and key != present])
    ledger.drop_oldest(known.used, REMEMBERED * len(known.used))
    statistics.drop_oldest(blocks_of_cells.used, REMEMBERED * len(blocks_of_cells.used))
    figures = {
        **_counts({**known.counts, NUCLEUS_BLOCKS: blocks_of_cells.counts[NUCLEUS_BLOCKS]}),
        **_statistics(space, excluded),
    }
    given = {"cells": cells, "nuclei": nuclei, "nanoparticles": particles}
    absent = {kind: "none given" for kind, stored in given.items() if stored.details.get("absent")}
    return Quality("Nuclei and nanoparticles in their cells", absent if len(absent) > 1 else absent | figures)


class _Surroundings(NamedTuple):
    """Tables of cells and particles with what lies around them."""

    cells: "pd.DataFrame"
    nanoparticles: "pd.DataFrame"
    contacts: "pd.DataFrame"


def _surroundings(
    run: StepRun[SpatialParameters],
    space: "Space",
    cells: StoredArray,
    particles: StoredArray,
    statistics: "LabelStatistics",
    known: "KnownSpace",
    excluded: frozenset[int],
) -> _Surroundings:
    """Measure contacts between cells, and the depth of cells and particles below the specimen's surface."""
    import numpy as np

    from spherovem_core.nanoparticles.specimen import OUTSIDE
    from spherovem_core.spatial import (
        Placement,
        contacts_of_cells,
        find_surface,
        measure_contacts,
        measure_depth_of_cells,
        measure_depth_of_particles,
        measure_membrane_gaps,
    )

    spacing, origin = cells.spacing_nm, cells.origin_nm
    contacts = measure_contacts(
        cells,
        spacing,
        run.parameters.contact_gap_um,
        run.execution,
        origin_nm=origin,
        statistics=statistics,
        known=known,
    )
    mask = run.open(SPECIMEN)
    surface = find_surface(
        np.asarray(mask[:]) == OUTSIDE,
        Placement(mask.spacing_nm, mask.origin_nm),
        Placement(particles.spacing_nm, particles.origin_nm),
        particles.shape,
    )
    centroids = (statistics.centroid * np.array(spacing) + np.array(origin)) / NM_PER_UM
    placement = Placement(spacing, origin)
    depth = measure_depth_of_cells(
        cells,
        statistics.labels,
        centroids,
        placement,
        surface,
        run.execution,
        statistics=statistics,
        known=known,
    )
    neighbours = contacts_of_cells(statistics.labels, contacts, excluded)
    pairs = contacts[["label", "other_label"]].isin(list(excluded)).any(axis=1)
    found = measure_membrane_gaps(space.nanoparticles, spacing)
    return _Surroundings(
        space.cells.merge(neighbours, on="label", how="left").merge(depth, on="label", how="left"),
        measure_depth_of_particles(found, surface),
        contacts.assign(excluded=pairs.astype(bool)),
    )


def _statistics(space: "Space", excluded: Mapping[CorrectedKind, frozenset[int]]) -> dict[str, Any]:
    """Name the figures of all objects but excluded ones, and the numbers of those."""
    kept, _ = without_excluded(
        {
            "cells": space.cells.assign(excluded=space.cells["label"].isin(list(excluded["cells"]))),
            "nanoparticles": space.nanoparticles.assign(
                excluded=space.nanoparticles["label"].isin(list(excluded["nanoparticles"]))
            ),
        }
    )
    particles = kept["nanoparticles"]
    return {
        "cells with a nucleus": int((kept["cells"]["nucleus_count"] > 0).sum()),
        "particles in a cell": int((particles["parent_cell"] > 0).sum()),
        "particles in a nucleus": int(particles["in_nucleus"].sum()),
        "median distance to the nucleus (µm)": float(particles["distance_to_nucleus_um"].median()),
        "particles compared with random places": int((space.nanoparticles["pattern_note"] == "").sum()),
        **findings(space.tests),
        **(
            {"random places without room, left as measured (%)": round(100 * space.forced_fraction, 2)}
            if space.forced_fraction
            else {}
        ),
        **{f"{kind} excluded by hand": len(labels) for kind, labels in excluded.items() if labels},
    }


def _map_entry(digest: str) -> str:
    return f"map {digest}"


def _counts(counts: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Name the numbers of cells, centroids and blocks that were measured, and log them."""
    texts = {
        work: f"{measured} measured, {taken_over} unchanged ones taken over"
        for work, (measured, taken_over) in counts.items()
    }
    logger.info("spatial: %s", "; ".join(f"{name}: {text}" for name, text in texts.items()))
    return texts


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    return OutputSize.compressed(
        4 * pyramid_voxels(*mask_grid(volume, parameters), is_sparse=True), STORED_FRACTION
    )


def _chapter() -> Chapter:
    from spherovem_core.spatial.chapter import spatial_section, spatial_warnings

    return Chapter("Spatial relations", spatial_section, spatial_warnings)


SPATIAL = Step(
    name="spatial",
    stage="spatial",
    version=8,
    parameters=lambda parameters: parameters.spatial,
    inputs=(LABELS["cells"], LABELS["nuclei"], PARTICLE_LABELS, PARTICLES, SPECIMEN),
    outputs=(DISTANCE, CELLS, NUCLEI, NANOPARTICLES, RADIAL, RIPLEY, ENRICHMENT, TESTS, CONTACTS),
    compute=_compute,
    external=exclusion_digests,
    cost=Cost(mask_work, _size, seconds={"": 0.2}, fixed_seconds=0.5),
    gpu_library=cupy_gpu,
    chapter=_chapter,
)
STEPS = (SPATIAL,)
