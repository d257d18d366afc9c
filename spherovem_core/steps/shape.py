"""Stage 6, shape: descriptors of cells and nuclei."""

import logging
from collections.abc import Mapping

from spherovem_core.parameters import ShapeParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.segmentation import LABELS
from spherovem_core.store.layout import OBJECT_KINDS, ObjectKind
from spherovem_core.workflow import Cost, Quality, Step, TableOutput, cupy_gpu
from spherovem_core.workflow.cost import mask_work
from spherovem_core.workflow.run import StepRun

logger = logging.getLogger(__name__)

SHAPE: Mapping[ObjectKind, TableOutput] = {
    "cells": TableOutput("shape-cells", "a cell"),
    "nuclei": TableOutput("shape-nuclei", "a nucleus"),
}
SECONDS: Mapping[ObjectKind, float] = {"cells": 0.065, "nuclei": 0.03}
"""Seconds per million voxels of the demo on two cores."""
SHOWN = ("volume_um3", "sphericity", "fractal_dimension")
REMEMBERED = 4
"""Measurements of changed and deleted labels that are kept per label, for corrections that are undone."""


def _compute(kind: ObjectKind, run: StepRun[ShapeParameters]) -> Quality:
    from spherovem_core.known_blocks import KnownResults
    from spherovem_core.shape import KnownSurfaces, measure_labels, remove_stale_meshes

    source = run.open(LABELS[kind])
    ledger = run.measurements(
        volume_shape=source.shape, spacing_nm=source.spacing_nm, origin_nm=source.origin_nm
    )
    statistics = run.label_statistics(kind)
    blocks = KnownResults(statistics)
    known = KnownSurfaces(ledger, blocks)
    mesh_folder = run.layout.meshes / kind if run.parameters.write_meshes else None
    table = measure_labels(
        source,
        source.spacing_nm,
        run.parameters,
        origin_nm=source.origin_nm,
        executor=run.execution.executor,
        device=run.execution.device,
        mesh_folder=mesh_folder,
        progress=run.execution.report,
        known=known,
    )
    if mesh_folder is not None:
        remove_stale_meshes(mesh_folder, known.meshed)
    run.write_table(SHAPE[kind], table)
    ledger.drop_oldest(known.used, REMEMBERED * len(table))
    statistics.drop_oldest(blocks.used, REMEMBERED * len(blocks.used))
    logger.info(
        "shape %s: %d labels measured, %d unchanged ones taken over", kind, known.measured, known.taken_over
    )
    if source.details.get("absent"):
        return Quality(f"Shape of {kind}", {kind: "none given"})
    counts = {kind: len(table), "measured": known.measured, "taken over, unchanged": known.taken_over}
    medians = {f"median {column}": float(table[column].median()) for column in SHOWN}
    return Quality(f"Shape of {kind}", {**counts, **medians})


def _chapter() -> Chapter:
    from spherovem_core.shape.chapter import shape_section

    return Chapter("Shape", shape_section)


def _shape_step(kind: ObjectKind) -> Step[ShapeParameters]:
    return Step(
        name=f"shape_{kind}",
        stage="shape",
        version=5,
        parameters=lambda parameters: parameters.shape,
        inputs=(LABELS[kind],),
        outputs=(SHAPE[kind],),
        compute=lambda run: _compute(kind, run),
        cost=Cost(mask_work, seconds={"": SECONDS[kind]}, fixed_seconds=0.25),
        kind=kind,
        gpu_library=cupy_gpu,
        chapter=_chapter if kind == OBJECT_KINDS[-1] else None,
    )


STEPS = tuple(map(_shape_step, OBJECT_KINDS))
