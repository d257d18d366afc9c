"""Stage 5, nanoparticles: found as objects that stand out from the specimen."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spherovem_core.blocks import ArrayLike, block_grid
from spherovem_core.errors import ParameterError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import NanoparticleParameters, PipelineParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.spacing import SpacingNm
from spherovem_core.steps.corrections import (
    CorrectedLabels,
    journal_digest,
    voxels_and_neighbours,
    with_corrections,
)
from spherovem_core.steps.imported_labels import (
    NO_OBJECTS,
    check_imported,
    imported_digest,
    level_grids,
    refuse_region,
    remember_imported,
)
from spherovem_core.steps.ingest import SLICES, filled_slices
from spherovem_core.steps.registration import REGISTERED, registered_slices
from spherovem_core.steps.specimen import SPECIMEN, SPECIMEN_STEP
from spherovem_core.store import ArrayWriter
from spherovem_core.store.columns import OTHER_OBJECT_COLUMNS
from spherovem_core.store.layout import NANOPARTICLES as NANOPARTICLES_GROUP
from spherovem_core.store.layout import POSTERIOR as POSTERIOR_GROUP
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    DocumentOutput,
    OutputSize,
    Quality,
    RunRequest,
    SourceVolume,
    Step,
    TableOutput,
)
from spherovem_core.workflow.cost import image_work
from spherovem_core.workflow.outputs import automatic_output
from spherovem_core.workflow.replacements import IMPORTED
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
    "Probability that a voxel is nanoparticle; a single voxel of NaN where nanoparticles were not detected but given.",
)
PARTICLES = TableOutput("nanoparticles", "a nanoparticle")
OTHERS = TableOutput(
    "other_objects",
    "an object that stands out and is no nanoparticle",
    OTHER_OBJECT_COLUMNS,
    published=True,
)
MIXTURE = DocumentOutput(
    "models/mixture.json", "Populations of nanoparticles, other objects, detection limit and warnings."
)

LABELS_FRACTION = 0.0007
COPY_SECONDS = 0.06
"""Seconds per million voxels of labels that are only copied, pyramid included."""
POSTERIOR_FRACTION = 0.075
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""
SLICE_BYTES = 56
"""Bytes per voxel of a slice, for neuropil with two workers. In simple tissue, slices of 4096² took 410 MB, 24 bytes
(`benchmarks/nanoparticles.py --parts scaling`)."""


def _external(request: RunRequest) -> Mapping[str, str]:
    """Return the digest of imported labels, where there are any."""
    own = request.parameters.nanoparticles
    if own.method != IMPORTED:
        return {}
    if own.labels is None:
        raise ParameterError(
            "nanoparticles.method is imported and nanoparticles.labels is empty; name the label file"
        )
    refuse_region(request)
    return {"labels": imported_digest(request.acquisition, own.labels)[0]}


def _check(request: RunRequest, external: Mapping[str, str]) -> None:
    """Check the header of imported labels, and remember their digest."""
    own = request.parameters.nanoparticles
    if own.method == IMPORTED and own.labels is not None:
        remember_imported(request.acquisition, own.labels)


def _take_given(run: StepRun[NanoparticleParameters]) -> Quality:
    """Copy the labels of another program, or leave nanoparticles out."""
    import numpy as np

    from spherovem_core.nanoparticles.given import measure_given

    measured: ArrayLike
    image: ArrayLike
    source, name = run.open(REGISTERED), run.parameters.labels
    shape, spacing = source.shape, source.spacing_nm
    labels = run.writer(LABELS, shape, "uint32", spacing)
    if run.parameters.method == IMPORTED and name is not None:
        reason = f"imported from {name}"
        _copy(run, name, labels)
        measured, image = labels.stored, source
    else:
        reason = "none given"
        for block in labels.pending(block_grid(shape, labels.spec.shards)):
            labels.write(block, np.zeros([s.stop - s.start for s in block.core], np.uint32))
        # No volume of background has to be read for tables without rows.
        measured, image = np.zeros((1, 1, 1), np.uint32), np.zeros((1, 1, 1), source.dtype)
    found = measure_given(measured, image, spacing, run.parameters, reason, run.execution)
    _write_tables(run, _placed(run, found, spacing))
    extent = [n * side for n, side in zip(shape, spacing, strict=True)]
    middle = [(e - s) / 2 for e, s in zip(extent, spacing, strict=True)]
    posterior = run.writer(
        POSTERIOR,
        (1, 1, 1),
        "float16",
        (extent[0], extent[1], extent[2]),
        origin_nm=(middle[0], middle[1], middle[2]),
    )
    for block in posterior.pending(block_grid((1, 1, 1), (1, 1, 1))):
        posterior.write(block, np.full((1, 1, 1), np.nan, np.float16))
    run.finish(posterior, computed=False)
    origin: dict[str, Any] = {"absent": True}
    if run.parameters.method == IMPORTED:
        origin = {"imported": {"origin": name, "sha256": run.plan.external["labels"]}}
    run.finish(labels, count=len(found.particles), **origin)
    figures = {"particles": len(found.particles), "origin": reason}
    return Quality("Nanoparticles as given", figures)


def _copy(run: StepRun[NanoparticleParameters], name: str, labels: ArrayWriter) -> None:
    """Copy the labels of a file onto the grid of the image; the nearest voxel is taken."""
    from spherovem_core.store.label_files import open_labels_on_grid

    source = run.open(REGISTERED)
    blocks = labels.pending(block_grid(labels.spec.shape, labels.spec.shards))
    if not blocks:
        return
    depth, height, width = source.shape
    with open_labels_on_grid(
        name, (depth, height, width), source.spacing_nm, source.origin_nm, levels=level_grids(source)
    ) as given:
        for done, block in enumerate(blocks, 1):
            labels.write(block, given[block.core])
            run.execution.report(done, len(blocks))
        if given.file_shape != source.shape:
            logger.warning(
                "nanoparticles: labels of %s voxels were brought to those of the image, %s",
                given.file_shape,
                source.shape,
            )
    check_imported(run, name, run.plan.external["labels"], LABELS)


def _compute(run: StepRun[NanoparticleParameters]) -> Quality:
    from spherovem_core.nanoparticles import write_particles

    if run.parameters.method != "detect":
        return _take_given(run)
    source = run.open(REGISTERED)
    shape, spacing = source.shape, source.spacing_nm
    posterior = run.writer(POSTERIOR, shape, "float16", spacing, by_slice=True)
    candidates = run.provisional(shape, "uint8", spacing, by_slice=True)
    labels = run.writer(LABELS, shape, "uint32", spacing)
    found = write_particles(
        source,
        spacing,
        run.parameters,
        posterior,
        candidates,
        labels,
        run.execution,
        bad_slices=registered_slices(run).showing(filled_slices(run)),
    )
    found = _placed(run, found, spacing)
    _write_tables(run, found)
    run.finish(posterior)
    run.finish(labels, count=len(found.particles))
    return Quality("Nanoparticles and other objects", _figures(found))


def _write_tables(run: StepRun[NanoparticleParameters], found: "ParticleTables") -> None:
    for warning in found.mixture.warnings:
        logger.warning("nanoparticles: %s", warning)
    run.write_document(MIXTURE, json.loads(found.mixture.to_json()))
    run.write_table(PARTICLES, found.particles)
    run.write_table(OTHERS, found.others)


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
    """Measure the corrected particles, and write their table."""
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
    table = correct_particle_table(
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


def _variant(parameters: PipelineParameters) -> str:
    own = parameters.nanoparticles.method
    return "" if own == "detect" else own


def _chapter() -> Chapter:
    from spherovem_core.nanoparticles.chapter import nanoparticles_section, nanoparticles_warnings

    return Chapter("Nanoparticles", nanoparticles_section, nanoparticles_warnings)


NANOPARTICLES = Step(
    name="nanoparticles",
    stage="nanoparticles",
    version=8,
    parameters=lambda parameters: parameters.nanoparticles,
    inputs=(REGISTERED, SLICES, SPECIMEN),
    outputs=(LABELS, POSTERIOR, PARTICLES, OTHERS, MIXTURE),
    compute=lambda run: with_corrections(run, "nanoparticles", LABELS, _compute, _correct_tables),
    journal="nanoparticles",
    corrected=(LABELS, PARTICLES),
    cost=Cost(
        image_work,
        _size,
        _memory,
        variant=_variant,
        seconds={"": 0.1, IMPORTED: COPY_SECONDS, NO_OBJECTS: COPY_SECONDS},
        fixed_seconds=2.6,
    ),
    external=lambda request: {**_external(request), **journal_digest("nanoparticles", request)},
    check=_check,
    external_parameters=frozenset({"labels"}),
    omitted={"method": "detect"},
    provisional="nanoparticles",
    chapter=_chapter,
)
STEPS = (SPECIMEN_STEP, NANOPARTICLES)
