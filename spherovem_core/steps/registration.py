"""Stage 3, registration: neighbouring slices aligned, borders cropped."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spherovem_core.parameters import PipelineParameters, RegistrationParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.denoising import DENOISED
from spherovem_core.steps.ingest import INGEST, SLICES, filled_slices
from spherovem_core.store import Layout, StoredArray, read_table, table_digest, table_history
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
from spherovem_core.workflow.cost import image_work
from spherovem_core.workflow.run import StepRun

if TYPE_CHECKING:
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
GEOMETRY, GIVEN_GEOMETRY = "geometry", "as given"
GIVEN_SECONDS = 0.02
"""Seconds per million voxels of slices that are read and written only."""

STORED_FRACTION = 0.84
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""


def _external(request: RunRequest) -> Mapping[str, str]:
    """Return the digest of the registration of the full acquisition for a region of it, or why it has none that fits."""
    if request.region.is_whole or request.parameters.registration.model == "none":
        return {}
    name = request.acquisition.name.removesuffix(request.region.suffix)
    layout = Layout(request.acquisition.folder.with_name(name))
    digest, entries = table_digest(layout, MOTION.path), table_history(layout, MOTION.path)
    entry = next((each for each in reversed(entries) if each["step"] == REGISTRATION.name), None)
    if digest is None or entry is None:
        return {FULL_RUN: NOT_REGISTERED}
    if entry["version"] != REGISTRATION.version:
        return {FULL_RUN: OTHER_VERSION}
    if entry["parameters"] != request.parameters.registration.model_dump(mode="json"):
        return {FULL_RUN: OTHER_PARAMETERS}
    return {FULL_RUN: digest}


def _align(run: StepRun[RegistrationParameters], source: StoredArray) -> tuple["Alignment", dict[str, str]]:
    """Register the slices; those of a region by the maps of the full acquisition, if it is registered in the same way."""
    from spherovem_core.registration import register_stack
    from spherovem_core.registration.full_run import cut_alignment, load_fields

    reason = run.plan.external.get(FULL_RUN, "")
    if reason and reason not in (NOT_REGISTERED, OTHER_VERSION, OTHER_PARAMETERS):
        layout = Layout(run.plan.folder.with_name(run.plan.folder.name.removesuffix(run.region.suffix)))
        table = read_table(layout, MOTION.path, digest=reason)
        if _source_of(table_history(layout, MOTION.path)) == _source_of(run.history):
            start = (run.region.z_start, run.region.y_start, run.region.x_start)
            logger.info(
                "registration of the region: taken from that of the full acquisition, %s", layout.folder
            )
            elastic = run.parameters.refinement == "elastic"
            fields = load_fields(layout.elastic_fields, table) if elastic else None
            return cut_alignment(table, start, source.shape, fields), {GEOMETRY: "full acquisition"}
        reason = OTHER_SOURCE
    if reason:
        logger.warning("registration of the region: by itself, because %s", reason)
    alignment = register_stack(source, run.parameters, run.execution, filled_slices(run), run.ledger())
    return alignment, {GEOMETRY: f"its own, because {reason}"} if reason else {}


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
    writer = run.writer(REGISTERED, source.shape, source.dtype, source.spacing_nm, by_slice=True)
    blocks = writer.pending(slab_grid(source.shape, 1))
    for done, block in enumerate(blocks, 1):
        writer.write(block, np.asarray(source[block.core]))
        run.execution.report(done, len(blocks))
    _write_fields(run, alignment)
    run.write_table(MOTION, alignment.table)
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
    shape = (source.shape[0], *alignment.crop.shape)
    writer = run.writer(REGISTERED, shape, source.dtype, source.spacing_nm, by_slice=True)
    warp_stack(source, alignment, writer, parameters, run.execution)
    _write_fields(run, alignment)
    run.write_table(MOTION, alignment.table)
    run.finish(writer, **{**alignment.details(), **geometry})
    table = alignment.table
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


def _write_fields(run: StepRun[RegistrationParameters], alignment: "Alignment") -> None:
    """Keep the local fields, so that other images can be warped alike."""
    if alignment.fields is None:
        run.layout.elastic_fields.unlink(missing_ok=True)
    else:
        alignment.fields.save(run.layout.elastic_fields)


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    return OutputSize.compressed(volume.pyramid_voxels, STORED_FRACTION)


def _variant(parameters: PipelineParameters) -> str:
    return GIVEN_GEOMETRY if parameters.registration.model == "none" else ""


def _gpu(parameters: RegistrationParameters) -> GpuLibrary | None:
    return None if parameters.model == "none" else "torch"


def _chapter() -> Chapter:
    from spherovem_core.registration.chapter import registration_section, registration_warnings

    return Chapter("Registration", registration_section, registration_warnings)


REGISTRATION = Step(
    name="registration",
    stage="registration",
    version=3,
    parameters=lambda parameters: parameters.registration,
    inputs=(DENOISED, SLICES),
    outputs=(REGISTERED, MOTION),
    compute=_compute,
    cost=Cost(image_work, _size, variant=_variant, seconds={"": 2.7, GIVEN_GEOMETRY: GIVEN_SECONDS}),
    gpu_library=_gpu,
    external=_external,
    ledger="registration",
    chapter=_chapter,
)
STEPS = (REGISTRATION,)
