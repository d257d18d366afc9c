"""Stage 3, registration: neighbouring slices aligned, borders cropped."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from spherovem_core.parameters import PipelineParameters, RegistrationParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.denoising import DENOISED
from spherovem_core.steps.ingest import INGEST, SLICES, filled_slices
from spherovem_core.store import Layout, StoredArray, read_table, table_digest, table_history
from spherovem_core.store.codecs import SMOOTH
from spherovem_core.store.layout import REGISTERED as REGISTERED_GROUP
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    GpuLibrary,
    OutputSize,
    Quality,
    RunRequest,
    SourceVolume,
    Step,
    TableOutput,
)
from spherovem_core.workflow.cost import MILLION
from spherovem_core.workflow.run import StepRun

if TYPE_CHECKING:
    import pandas as pd

    from spherovem_core.registration import Alignment

logger = logging.getLogger(__name__)

REGISTERED = ArrayOutput(
    REGISTERED_GROUP,
    "image",
    "z y x",
    ("uint8",),
    "grey value",
    "Denoised slices in one frame, cropped to what all of them show.",
)
MOTION = TableOutput("registration", "a slice of the acquisition")

FULL_RUN = "full_registration"
NOT_REGISTERED = "the full acquisition is not registered"
OTHER_VERSION = "the full acquisition was registered by another version"
OTHER_PARAMETERS = "the full acquisition was registered with other parameters"
OTHER_SOURCE = "the full acquisition was registered from other files"
REGISTERED_MEANWHILE = "the full acquisition was registered after the run began"
GEOMETRY, GIVEN_GEOMETRY = "geometry", "as given"
GIVEN_SECONDS = 0.02
WARPING = 0.05
"""Time to warp and write a pixel (33 ns of one core), as a fraction of that to compare it in pairs."""
"""Seconds per million voxels of slices that are read and written only."""

STORED_FRACTION = 0.81
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""


def registered_slices(run: StepRun[Any]) -> RegisteredSlices:
    """Return which slices of the acquisition the registered image shows, for a later step."""
    stored = run.open(REGISTERED)
    return RegisteredSlices.of(stored.details, stored.shape[0])


def _full_registration(
    acquisition: Acquisition, region: RegionOfInterest, parameters: RegistrationParameters
) -> tuple[str | None, str]:
    """Return the digest of the registration of the full acquisition, or None and the reason why none fits."""
    name = acquisition.name.removesuffix(region.suffix)
    layout = Layout(acquisition.folder.with_name(name))
    digest, entries = table_digest(layout, MOTION.path), table_history(layout, MOTION.path)
    entry = next((each for each in reversed(entries) if each["step"] == REGISTRATION.name), None)
    if digest is None or entry is None:
        return None, NOT_REGISTERED
    if entry["version"] != REGISTRATION.version:
        return None, OTHER_VERSION
    try:
        # A parameter that did not exist then has its default, which leaves results as they were.
        used = RegistrationParameters.model_validate(entry["parameters"])
    except ValidationError:
        return None, OTHER_PARAMETERS
    return (digest, "") if used == parameters else (None, OTHER_PARAMETERS)


def _external(request: RunRequest) -> Mapping[str, str]:
    """Return the digest of the registration of the full acquisition for a region of it, if there is one that fits."""
    if request.region.is_whole or request.parameters.registration.model == "none":
        return {}
    digest, _ = _full_registration(request.acquisition, request.region, request.parameters.registration)
    return {} if digest is None else {FULL_RUN: digest}


def _align(run: StepRun[RegistrationParameters], source: StoredArray) -> tuple["Alignment", dict[str, str]]:
    """Register the slices; those of a region by the maps of the full acquisition, if it is registered in the same way."""
    from spherovem_core.registration import register_stack

    reason = ""
    if digest := run.plan.external.get(FULL_RUN):
        alignment = _align_as_full(run, source, digest)
        if alignment is not None:
            return alignment, {GEOMETRY: "full acquisition"}
        reason = OTHER_SOURCE
    elif not run.region.is_whole:
        _, reason = _full_registration(run.plan.acquisition, run.region, run.parameters)
        reason = reason or REGISTERED_MEANWHILE
    if reason:
        logger.warning("registration of the region: by itself, because %s", reason)
    alignment = register_stack(source, run.parameters, run.execution, filled_slices(run), run.ledger())
    return alignment, {GEOMETRY: f"its own, because {reason}"} if reason else {}


def _align_as_full(
    run: StepRun[RegistrationParameters], source: StoredArray, digest: str
) -> "Alignment | None":
    """Take the maps of a region from the registration of the full acquisition; None if that was made from other files."""
    from spherovem_core.registration.full_run import cut_alignment, load_fields

    layout = Layout(run.plan.folder.with_name(run.plan.folder.name.removesuffix(run.region.suffix)))
    table = read_table(layout, MOTION.path, digest=digest)
    if _source_of(table_history(layout, MOTION.path)) != _source_of(run.history):
        return None
    start = (run.region.z_start, run.region.y_start, run.region.x_start)
    logger.info("registration of the region: taken from that of the full acquisition, %s", layout.folder)
    elastic = run.parameters.refinement == "elastic"
    fields = load_fields(layout.elastic_fields, table) if elastic else None
    step_nm = source.spacing_nm[0] if run.parameters.resample_z else None
    return cut_alignment(table, start, source.shape, fields, step_nm)


def _source_of(history: Sequence[Mapping[str, Any]]) -> Any:
    """Return the digest of the acquired files and the databar, without the region."""
    external: Mapping[str, str] = next(
        (each["external"] for each in history if each["step"] == INGEST.name), {}
    )
    return {name: digest for name, digest in external.items() if name != "region"}


def _take_given(run: StepRun[RegistrationParameters]) -> Quality:
    """Keep slices that are aligned already."""
    import numpy as np

    from spherovem_core.blocks import slab_grid
    from spherovem_core.registration import alignment_as_given

    source = run.open(DENOISED)
    alignment = alignment_as_given(source.shape, filled_slices(run))
    writer = run.writer(
        REGISTERED, source.shape, source.dtype, source.spacing_nm, by_slice=True, codec=SMOOTH
    )
    blocks = writer.pending(slab_grid(source.shape, 1))
    for done, block in enumerate(blocks, 1):
        writer.write(block, np.asarray(source[block.core]))
        run.execution.report(done, len(blocks))
    _write_fields(run, alignment)
    run.write_table(MOTION, _with_places(alignment, source))
    details: dict[str, Any] = {**alignment.details(), GEOMETRY: GIVEN_GEOMETRY}
    run.finish(writer, **details)
    figures = {"method": "none: aligned as given", "slices": source.shape[0]}
    return Quality("Slices taken as aligned", figures, REGISTERED, "Middle slice")


def _compute(run: StepRun[RegistrationParameters]) -> Quality:
    from spherovem_core.registration import warp_stack

    if run.parameters.model == "none":
        return _take_given(run)
    source, parameters = run.open(DENOISED), run.parameters
    alignment, geometry = _align(run, source)
    writer = run.writer(
        REGISTERED, alignment.shape, source.dtype, source.spacing_nm, by_slice=True, codec=SMOOTH
    )
    warp_stack(source, alignment, writer, parameters, run.execution)
    _write_fields(run, alignment)
    placed = alignment.placed
    if placed is not None and placed.reason and not placed.harmless:
        logger.warning("registration: slices keep even steps along z, because %s", placed.reason)
    table = _with_places(alignment, source)
    run.write_table(MOTION, table)
    run.finish(writer, **{**alignment.details(), **geometry})
    figures = {
        "median similarity before": float(table["similarity_before"].median()),
        "median similarity after": float(table["similarity_after"].median()),
        "largest misfit beyond the lean (px)": float(table["misfit_deviation_px"].max()),
        "largest shift (px)": float(table[["shift_y_px", "shift_x_px"]].abs().max().max()),
        "pairs not trusted": int((table["trusted"] == False).sum()),  # noqa: E712 - the column may hold NaN
    }
    if alignment.fields is not None:
        largest = float(table["elastic_max_px"].max())
        figures["largest local displacement (px)"] = largest
        if largest == 0.0:
            logger.info("elastic refinement: no slice has a local field; the report says why")
    return Quality(
        "Alignment of neighbouring slices", figures, REGISTERED, "Middle slice, aligned and cropped"
    )


def _with_places(alignment: "Alignment", source: StoredArray) -> "pd.DataFrame":
    """Return the slices table with the position of each slice along the registered z."""
    return alignment.table.assign(registered_z_um=alignment.slices.positions_um(source.spacing_nm[0]))


def _write_fields(run: StepRun[RegistrationParameters], alignment: "Alignment") -> None:
    """Keep the local fields, so that other images can be warped alike."""
    if alignment.fields is None:
        run.layout.elastic_fields.unlink(missing_ok=True)
    else:
        alignment.fields.save(run.layout.elastic_fields)


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    return OutputSize.compressed(volume.pyramid_voxels, STORED_FRACTION)


def _work(volume: SourceVolume, parameters: PipelineParameters) -> float:
    """Return the millions of pixels on which pairs are compared, which are bounded per slice, and of those that are warped."""
    depth, height, width = volume.shape
    own = parameters.registration
    if own.model == "none":
        return volume.voxels / MILLION
    return (depth * min(height * width, own.working_pixels) + WARPING * volume.voxels) / MILLION


def _variant(parameters: PipelineParameters) -> str:
    return GIVEN_GEOMETRY if parameters.registration.model == "none" else ""


def _gpu(parameters: RegistrationParameters) -> GpuLibrary | None:
    return None if parameters.model == "none" else "torch"


def _chapter() -> Chapter:
    from spherovem_core.registration.chapter import (
        look_at_unregistered,
        registration_section,
        registration_warnings,
    )

    return Chapter("Registration", registration_section, registration_warnings, look_at_unregistered)


REGISTRATION = Step(
    name="registration",
    stage="registration",
    version=6,
    parameters=lambda parameters: parameters.registration,
    inputs=(DENOISED, SLICES),
    outputs=(REGISTERED, MOTION),
    compute=_compute,
    cost=Cost(
        _work, _size, variant=_variant, seconds={"": 0.5, GIVEN_GEOMETRY: GIVEN_SECONDS}, fixed_seconds=1.0
    ),
    gpu_library=_gpu,
    external=_external,
    ledger="registration",
    chapter=_chapter,
)
STEPS = (REGISTRATION,)
