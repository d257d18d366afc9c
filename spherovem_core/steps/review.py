"""Stage 8, output: the objects that are probably wrong, before tables and report."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spherovem_core.parameters.base import StageParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps import nanoparticles, spatial
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.segmentation import FLOWS, LABELS
from spherovem_core.steps.shape import SHAPE
from spherovem_core.store.columns import SUSPECT_COLUMNS
from spherovem_core.store.layout import OBJECT_KINDS, ObjectKind
from spherovem_core.store.pyramid import pyramid_factors
from spherovem_core.workflow import Cost, Quality, Step, TableOutput
from spherovem_core.workflow.cost import mask_work
from spherovem_core.workflow.run import StepRun

if TYPE_CHECKING:
    import pandas as pd

    from spherovem_core.review import ReviewLevel
    from spherovem_core.store import StoredArray

SUSPECTS: Mapping[str, TableOutput] = {
    kind: TableOutput(f"suspects_{kind}", "a suspect", SUSPECT_COLUMNS, published=True)
    for kind in (*OBJECT_KINDS, "nanoparticles")
}
SECONDS: Mapping[ObjectKind, float] = {"cells": 1.3, "nuclei": 0.3}
"""Seconds per million voxels of the demo on two cores."""
PARTICLE_SECONDS = 0.05
FLOW_CHANNELS = 4


class ReviewParameters(StageParameters):
    """Parameters of the review: none."""


def _compute(kind: ObjectKind, run: StepRun[ReviewParameters]) -> Quality:
    from spherovem_core.review import find_suspects

    table = run.table(SHAPE[kind])
    if kind == "nuclei":
        table = table.merge(run.table(spatial.NUCLEI), on="label", how="left")
    flows = run.open(FLOWS[kind])
    with_nuclei = kind == "cells" and not run.table(SHAPE["nuclei"]).empty
    suspects = find_suspects(
        _levels(kind, run, with_nuclei),
        flows=flows if flows.shape[0] == FLOW_CHANNELS else None,
        table=table,
        executor=run.execution.executor,
        progress=run.execution.report,
    )
    return _finish(kind, run, suspects)


def _levels(kind: ObjectKind, run: StepRun[ReviewParameters], with_nuclei: bool) -> list["ReviewLevel"]:
    """Pair the levels of labels, nuclei and image; a level without its image ends the pyramid."""
    from spherovem_core.review import ReviewLevel

    finest = run.open(LABELS[kind])
    images = [run.open(REGISTERED, n) for n in range(len(pyramid_factors(run.open(REGISTERED))))]
    levels = []
    for n in range(len(pyramid_factors(finest))):
        labels = run.open(LABELS[kind], n)
        image = next((image for image in images if _same_grid(image, labels)), None)
        if image is None and n:
            break
        nuclei = run.open(LABELS["nuclei"], n) if with_nuclei else None
        levels.append(ReviewLevel(labels, labels.spacing_nm, labels.origin_nm, image, nuclei))
    return levels


def _same_grid(image: "StoredArray", labels: "StoredArray") -> bool:
    return image.shape == labels.shape and image.spacing_nm == labels.spacing_nm


def _compute_particles(run: StepRun[ReviewParameters]) -> Quality:
    from spherovem_core.review import find_particle_suspects

    table, labels = run.table(spatial.NANOPARTICLES), run.open(nanoparticles.LABELS)
    return _finish("nanoparticles", run, find_particle_suspects(table, labels.spacing_nm, labels.shape))


def _finish(kind: str, run: StepRun[ReviewParameters], suspects: "pd.DataFrame") -> Quality:
    run.write_table(SUSPECTS[kind], suspects)
    figures = {
        "suspects": len(suspects),
        "more probably wrong than right": int((suspects["score"] > 0).sum()),
    }
    return Quality(f"Suspects among {kind}", figures)


def _chapter() -> Chapter:
    from spherovem_core.review.chapter import review_section

    return Chapter("Suspects", review_section)


def _review_step(kind: ObjectKind) -> Step[ReviewParameters]:
    more = (LABELS["nuclei"], SHAPE["nuclei"]) if kind == "cells" else (spatial.NUCLEI,)
    return Step(
        name=f"review_{kind}",
        stage="output",
        version=1,
        parameters=lambda parameters: ReviewParameters(),
        inputs=(LABELS[kind], FLOWS[kind], REGISTERED, SHAPE[kind], *more),
        outputs=(SUSPECTS[kind],),
        compute=lambda run: _compute(kind, run),
        cost=Cost(mask_work, seconds={"": SECONDS[kind]}),
        kind=kind,
    )


REVIEW_PARTICLES = Step(
    name="review_nanoparticles",
    stage="output",
    version=1,
    parameters=lambda parameters: ReviewParameters(),
    inputs=(nanoparticles.LABELS, spatial.NANOPARTICLES),
    outputs=(SUSPECTS["nanoparticles"],),
    compute=_compute_particles,
    cost=Cost(mask_work, seconds={"": PARTICLE_SECONDS}),
    chapter=_chapter,
)
STEPS = (*map(_review_step, OBJECT_KINDS), REVIEW_PARTICLES)
