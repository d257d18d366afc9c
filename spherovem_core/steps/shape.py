"""Stage 6, shape: descriptors of cells and nuclei."""

from collections.abc import Mapping

from spherovem_core.parameters import ShapeParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.segmentation import LABELS
from spherovem_core.store.layout import OBJECT_KINDS, ObjectKind
from spherovem_core.workflow import Cost, Quality, Step, TableOutput, cupy_gpu
from spherovem_core.workflow.cost import mask_work
from spherovem_core.workflow.run import StepRun

SHAPE: Mapping[ObjectKind, TableOutput] = {
    "cells": TableOutput("shape-cells", "a cell"),
    "nuclei": TableOutput("shape-nuclei", "a nucleus"),
}
SECONDS: Mapping[ObjectKind, float] = {"cells": 1.9, "nuclei": 0.13}
"""Seconds per million voxels of the demo on two cores."""
SHOWN = ("volume_um3", "sphericity", "fractal_dimension")


def _compute(kind: ObjectKind, run: StepRun[ShapeParameters]) -> Quality:
    from spherovem_core.shape import measure_labels

    source = run.open(LABELS[kind])
    table = measure_labels(
        source,
        source.spacing_nm,
        run.parameters,
        origin_nm=source.origin_nm,
        executor=run.execution.executor,
        device=run.execution.device,
        mesh_folder=run.layout.meshes / kind if run.parameters.write_meshes else None,
        progress=run.execution.report,
    )
    run.write_table(SHAPE[kind], table)
    if source.details.get("absent"):
        return Quality(f"Shape of {kind}", {kind: "none given"})
    medians = {f"median {column}": float(table[column].median()) for column in SHOWN}
    return Quality(f"Shape of {kind}", {kind: len(table), **medians})


def _chapter() -> Chapter:
    from spherovem_core.shape.chapter import shape_section

    return Chapter("Shape", shape_section)


def _shape_step(kind: ObjectKind) -> Step[ShapeParameters]:
    return Step(
        name=f"shape_{kind}",
        stage="shape",
        version=2,
        parameters=lambda parameters: parameters.shape,
        inputs=(LABELS[kind],),
        outputs=(SHAPE[kind],),
        compute=lambda run: _compute(kind, run),
        cost=Cost(mask_work, seconds={"": SECONDS[kind]}),
        kind=kind,
        gpu_library=cupy_gpu,
        chapter=_chapter if kind == OBJECT_KINDS[-1] else None,
    )


STEPS = tuple(map(_shape_step, OBJECT_KINDS))
