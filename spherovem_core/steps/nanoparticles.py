"""Stage 5, nanoparticles: separated from the specimen by the histogram of intensities."""

import json
import math

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import NanoparticleParameters, PipelineParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.ingest import SLICES, filled_slices
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.specimen import SPECIMEN_STEP
from spherovem_core.store.layout import NANOPARTICLES as NANOPARTICLES_GROUP
from spherovem_core.store.layout import POSTERIOR as POSTERIOR_GROUP
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    DocumentOutput,
    OutputSize,
    Quality,
    SourceVolume,
    Step,
    TableOutput,
)
from spherovem_core.workflow.cost import image_work
from spherovem_core.workflow.run import StepRun

LABELS = ArrayOutput(
    NANOPARTICLES_GROUP,
    "label",
    "z y x",
    ("uint32",),
    "label",
    "One number per nanoparticle, 0 elsewhere; at full resolution.",
)
POSTERIOR = ArrayOutput(
    POSTERIOR_GROUP,
    "field",
    "z y x",
    ("float16",),
    "",
    "Probability that a voxel is nanoparticle, before any smoothing.",
)
PARTICLES = TableOutput("nanoparticles", "a nanoparticle")
MIXTURE = DocumentOutput(
    "models/mixture.json", "The mixture of intensities that separates nanoparticles from the specimen."
)

LABELS_FRACTION = 0.001
POSTERIOR_FRACTION = 0.075
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""
SLICE_BYTES = 56
"""Bytes per voxel of a slice: 946 MB with two workers on slices of 4096² (benchmarks/nanoparticles.py), the most of the
steps that go slice by slice."""


def _compute(run: StepRun[NanoparticleParameters]) -> Quality:
    from spherovem_core.nanoparticles import write_particles

    source = run.open(REGISTERED)
    shape, spacing = source.shape, source.spacing_nm
    posterior = run.writer(POSTERIOR, shape, "float16", spacing, by_slice=True)
    slab_labels = run.provisional(shape, "uint32", spacing, by_slice=True)
    labels = run.writer(LABELS, shape, "uint32", spacing)
    table, mixture = write_particles(
        source,
        spacing,
        run.parameters,
        posterior,
        slab_labels,
        labels,
        run.execution,
        bad_slices=filled_slices(run),
    )
    run.write_document(MIXTURE, json.loads(mixture.to_json()))
    run.write_table(PARTICLES, table)
    run.finish(posterior)
    run.finish(labels, count=len(table))
    figures = {
        "particles": len(table),
        "second population found": str(mixture.detected),
        "why": mixture.reason,
        "fraction of the voxels": mixture.weight,
        "mean of background and particles": f"{mixture.background_mean:.1f}, {mixture.particle_mean:.1f}",
        "overlap of the two": mixture.overlap,
        "fit converged": str(mixture.converged),
    }
    return Quality("Mixture of intensities", figures)


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    image = volume.pyramid_voxels
    stored = 4 * image * LABELS_FRACTION + 2 * image * POSTERIOR_FRACTION
    return OutputSize(6 * image, round(stored), round(4 * volume.voxels * LABELS_FRACTION))


def _memory(volume: SourceVolume, parameters: PipelineParameters, settings: ExecutionSettings) -> int:
    return SLICE_BYTES * math.prod(volume.shape[1:])


def _chapter() -> Chapter:
    from spherovem_core.nanoparticles.chapter import nanoparticles_section, nanoparticles_warnings

    return Chapter("Nanoparticles", nanoparticles_section, nanoparticles_warnings)


NANOPARTICLES = Step(
    name="nanoparticles",
    stage="nanoparticles",
    version=2,
    parameters=lambda parameters: parameters.nanoparticles,
    inputs=(REGISTERED, SLICES),
    outputs=(LABELS, POSTERIOR, PARTICLES, MIXTURE),
    compute=_compute,
    cost=Cost(image_work, _size, _memory, seconds={"": 0.74}),
    provisional="nanoparticles",
    chapter=_chapter,
)
STEPS = (SPECIMEN_STEP, NANOPARTICLES)
