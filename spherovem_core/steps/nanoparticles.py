"""Stage 5, nanoparticles: found as objects that stand out from the specimen."""

import json
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import NanoparticleParameters, PipelineParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.spacing import SpacingNm
from spherovem_core.steps.corrections import (
    CorrectedLabels,
    automatic_output,
    journal_digest,
    voxels_and_neighbours,
    with_corrections,
)
from spherovem_core.steps.ingest import SLICES, filled_slices
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.specimen import SPECIMEN, SPECIMEN_STEP
from spherovem_core.store.columns import AGGLOMERATE_COLUMNS, OTHER_OBJECT_COLUMNS
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

if TYPE_CHECKING:
    import pandas as pd

    from spherovem_core.nanoparticles import ParticleTables
    from spherovem_core.nanoparticles.specimen.codes import Specimen

logger = logging.getLogger(__name__)

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
    "Probability that a voxel is nanoparticle.",
)
PARTICLES = TableOutput("nanoparticles", "a nanoparticle")
OTHERS = TableOutput(
    "other_objects",
    "an object that stands out and is no nanoparticle",
    OTHER_OBJECT_COLUMNS,
    published=True,
)
AGGLOMERATES = TableOutput(
    "agglomerates",
    "an agglomerate of touching nanoparticles; one that touches no other is an agglomerate of its own",
    AGGLOMERATE_COLUMNS,
    published=True,
)
MIXTURE = DocumentOutput(
    "models/mixture.json", "Populations of nanoparticles, other objects, detection limit and warnings."
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
    found = write_particles(
        source,
        spacing,
        run.parameters,
        posterior,
        slab_labels,
        labels,
        run.execution,
        bad_slices=filled_slices(run),
    )
    found = _placed(run, found, spacing)
    for warning in found.mixture.warnings:
        logger.warning("nanoparticles: %s", warning)
    run.write_document(MIXTURE, json.loads(found.mixture.to_json()))
    run.write_table(PARTICLES, found.particles)
    run.write_table(OTHERS, found.others)
    run.write_table(AGGLOMERATES, found.agglomerates)
    run.finish(posterior)
    run.finish(labels, count=len(found.particles))
    return Quality("Nanoparticles and other objects", _figures(found))


def _placed(
    run: StepRun[NanoparticleParameters], found: "ParticleTables", spacing: SpacingNm
) -> "ParticleTables":
    """Add the places in the specimen mask to the tables, and the warning on particles at its border."""
    from spherovem_core.nanoparticles.particle_places import border_warning, name_places

    specimen = _specimen(run, spacing)
    warning = border_warning(found.particles, specimen)
    mixture = found.mixture
    return replace(
        found,
        particles=_as_text(found.particles.assign(place=name_places(found.particles, specimen))),
        others=_as_text(found.others.assign(place=name_places(found.others, specimen))),
        mixture=replace(mixture, warnings=[*mixture.warnings, warning]) if warning else mixture,
    )


def _specimen(run: StepRun[NanoparticleParameters], spacing: SpacingNm) -> "Specimen":
    from spherovem_core.nanoparticles.specimen.codes import Specimen, code_fractions

    stored = run.open(SPECIMEN)
    codes = stored[:]
    dz, dy, dx = (round(tile / step) for tile, step in zip(stored.spacing_nm, spacing, strict=True))
    return Specimen(codes, stored.spacing_nm, (dz, dy, dx), code_fractions(codes))


def _correct_tables(run: StepRun[NanoparticleParameters], found: CorrectedLabels) -> None:
    """Measure the corrected particles, and write the tables of particles and agglomerates."""
    from spherovem_core.corrections.outcomes import sources_of
    from spherovem_core.nanoparticles.corrected_particles import correct_particle_table
    from spherovem_core.nanoparticles.particle_places import name_places
    from spherovem_core.store import read_table

    kept, digest = automatic_output(PARTICLES), run.automatic.plan.digest
    particles = read_table(run.layout, kept.path, digest=digest)
    voxels, touching = {}, {}
    for label in sorted(found.applied.corrected):
        own = found.canvas.find(label)
        if own is not None:
            voxels[label], touching[label] = voxels_and_neighbours(found.labels, label, own.region)
    table, agglomerates = correct_particle_table(
        particles,
        found.canvas.present(),
        voxels,
        sources_of(found.applied.outcomes),
        touching,
        found.labels.spacing_nm,
    )
    corrected = table["label"].isin(list(voxels))
    if corrected.any():
        table.loc[corrected, "place"] = name_places(table[corrected], _specimen(run, found.labels.spacing_nm))
    run.write_table(PARTICLES, _as_text(table))
    run.write_table(AGGLOMERATES, agglomerates)


def _as_text(table: "pd.DataFrame") -> "pd.DataFrame":
    """Give columns of text their type in tables without rows too, where Parquet would have none."""
    return table.astype({name: "str" for name in ("kind", "reason", "place") if name in table})


def _figures(found: "ParticleTables") -> dict[str, Any]:
    """Name the figures for the Prefect UI."""
    mixture = found.mixture
    populations = {
        f"population {p.number}": f"{p.count} particles, {p.diameter_nm:.0f} ± {p.diameter_sd_nm:.0f} nm, "
        f"contrast {p.contrast:.1f} ± {p.contrast_sd:.1f}"
        for p in mixture.populations
    }
    limit = mixture.detection_limit_nm
    return {
        "particles": len(found.particles),
        "agglomerates of two or more": int((found.agglomerates["particle_count"] > 1).sum()),
        "why": mixture.reason,
        **populations,
        "other objects": len(found.others),
        **{f"other objects: {reason}": count for reason, count in mixture.others.items()},
        "fraction of the volume": mixture.fraction,
        "detection limit (nm)": "unknown" if limit is None else round(limit, 1),
        "noise (grey values)": mixture.noise,
        "contrast of the faintest candidates (grey values)": mixture.min_contrast,
        "blur in the plane, depth of the signal (nm)": f"{mixture.blur_nm:.1f}, {mixture.depth_nm:.1f}",
        **{f"warning {n}": warning for n, warning in enumerate(mixture.warnings, 1)},
    }


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
    version=4,
    parameters=lambda parameters: parameters.nanoparticles,
    inputs=(REGISTERED, SLICES, SPECIMEN),
    outputs=(LABELS, POSTERIOR, PARTICLES, OTHERS, AGGLOMERATES, MIXTURE),
    compute=lambda run: with_corrections(run, "nanoparticles", LABELS, _compute, _correct_tables),
    external=lambda request: journal_digest("nanoparticles", request),
    journal="nanoparticles",
    corrected=(LABELS, PARTICLES, AGGLOMERATES),
    cost=Cost(image_work, _size, _memory, seconds={"": 0.74}),
    provisional="nanoparticles",
    chapter=_chapter,
)
STEPS = (SPECIMEN_STEP, NANOPARTICLES)
