"""Stage 8, output: the objects that are probably wrong, and how sure each one is, before tables and report."""

import logging
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
from spherovem_core.workflow import ArrayOutput, Cost, Quality, Step, TableOutput
from spherovem_core.workflow.artifacts import content_of
from spherovem_core.workflow.cost import mask_work
from spherovem_core.workflow.run import StepRun

if TYPE_CHECKING:
    import pandas as pd

    from spherovem_core.known_blocks import KnownResults
    from spherovem_core.review import ReviewLevel
    from spherovem_core.store import StoredArray

logger = logging.getLogger(__name__)

SUSPECTS: Mapping[str, TableOutput] = {
    kind: TableOutput(f"suspects_{kind}", "a suspect", SUSPECT_COLUMNS, published=True)
    for kind in (*OBJECT_KINDS, "nanoparticles")
}
CONFIDENCE: Mapping[ObjectKind, TableOutput] = {
    "cells": TableOutput("confidence-cells", "a cell"),
    "nuclei": TableOutput("confidence-nuclei", "a nucleus"),
}
SECONDS: Mapping[ObjectKind, float] = {"cells": 0.12, "nuclei": 0.07}
"""Seconds per million voxels of the demo on two cores."""
PARTICLE_SECONDS = 0.002
FLOW_CHANNELS = 4
REMEMBERED = 2
"""Examinations of changed objects that are kept per present one, for corrections that are undone."""


class ReviewParameters(StageParameters):
    """Parameters of the review: none."""


def _compute(kind: ObjectKind, run: StepRun[ReviewParameters]) -> Quality:
    from spherovem_core.known_blocks import KnownResults
    from spherovem_core.review import examine_labels

    table = run.table(SHAPE[kind])
    if kind == "nuclei":
        table = table.merge(run.table(spatial.NUCLEI), on="label", how="left")
    flows = run.open(FLOWS[kind])
    with_nuclei = kind == "cells" and not run.table(SHAPE["nuclei"]).empty
    ledger = run.measurements(sources=[_content(run, output) for output in (REGISTERED, FLOWS[kind])])
    known = KnownResults(ledger)
    has_flows = flows.shape[0] == FLOW_CHANNELS
    examined = examine_labels(
        _levels(kind, run, with_nuclei),
        flows=flows if has_flows else None,
        known=known,
        known_blocks=KnownResults(run.label_statistics(kind)),
        executor=run.execution.executor,
        progress=run.execution.report,
    )
    ledger.drop_oldest(known.used, REMEMBERED * len(known.used))
    confidence = examined.confidence(kind, has_flows)
    run.write_table(CONFIDENCE[kind], confidence)
    return _finish(kind, run, examined.suspects(table), _counts(kind, known))


def _content(run: StepRun[ReviewParameters], output: ArrayOutput) -> list[str | None]:
    """Return what tells whether an input holds the same values: its digest, and its content where that is known."""
    return [run.reference(output).digest, content_of(run.layout, output.path)]


def _counts(kind: ObjectKind, known: "KnownResults") -> dict[str, str]:
    """Name the numbers of objects and contacts that were examined, and log them."""
    counts = {
        work: f"{examined} examined, {taken_over} unchanged ones taken over"
        for work, (examined, taken_over) in known.counts.items()
    }
    logger.info("review of %s: %s", kind, "; ".join(f"{name}: {text}" for name, text in counts.items()))
    return counts


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


def _finish(
    kind: str,
    run: StepRun[ReviewParameters],
    suspects: "pd.DataFrame",
    counts: Mapping[str, str] | None = None,
) -> Quality:
    run.write_table(SUSPECTS[kind], suspects)
    figures = {
        **(counts or {}),
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
        version=3,
        parameters=lambda parameters: ReviewParameters(),
        inputs=(LABELS[kind], FLOWS[kind], REGISTERED, SHAPE[kind], *more),
        outputs=(SUSPECTS[kind], CONFIDENCE[kind]),
        compute=lambda run: _compute(kind, run),
        cost=Cost(mask_work, seconds={"": SECONDS[kind]}, fixed_seconds=0.15),
        kind=kind,
        lazy=(FLOWS[kind],),
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
