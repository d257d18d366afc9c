"""Stage 3, registration: neighbouring slices aligned, borders cropped."""

from typing import TYPE_CHECKING

from spherovem_core.parameters import PipelineParameters, RegistrationParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.denoising import DENOISED
from spherovem_core.steps.ingest import SLICES, filled_slices
from spherovem_core.store.layout import REGISTERED as REGISTERED_GROUP
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    OutputSize,
    Quality,
    SourceVolume,
    Step,
    TableOutput,
    torch_gpu,
)
from spherovem_core.workflow.cost import image_work
from spherovem_core.workflow.run import StepRun

if TYPE_CHECKING:
    from spherovem_core.registration import Alignment

REGISTERED = ArrayOutput(
    REGISTERED_GROUP,
    "image",
    "z y x",
    ("uint8",),
    "grey value",
    "Denoised slices in one frame, cropped to what all of them show.",
)
MOTION = TableOutput("registration", "a slice of the acquisition")

STORED_FRACTION = 0.84
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""


def _compute(run: StepRun[RegistrationParameters]) -> Quality:
    from spherovem_core.registration import register_stack, warp_stack

    source, parameters = run.open(DENOISED), run.parameters
    alignment = register_stack(source, parameters, run.execution, filled_slices(run), run.ledger())
    shape = (source.shape[0], *alignment.crop.shape)
    writer = run.writer(REGISTERED, shape, source.dtype, source.spacing_nm, by_slice=True)
    warp_stack(source, alignment, writer, parameters, run.execution)
    _write_fields(run, alignment)
    run.write_table(MOTION, alignment.table)
    run.finish(writer, **alignment.details())
    table = alignment.table
    figures = {
        "median similarity before": float(table["similarity_before"].median()),
        "median similarity after": float(table["similarity_after"].median()),
        "largest shift (px)": float(table[["shift_y_px", "shift_x_px"]].abs().max().max()),
        "pairs not trusted": int((table["trusted"] == False).sum()),  # noqa: E712 - the column may hold NaN
    }
    if alignment.fields is not None:
        figures["largest local displacement (px)"] = float(table["elastic_max_px"].max())
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


def _chapter() -> Chapter:
    from spherovem_core.registration.chapter import registration_section, registration_warnings

    return Chapter("Registration", registration_section, registration_warnings)


REGISTRATION = Step(
    name="registration",
    stage="registration",
    version=2,
    parameters=lambda parameters: parameters.registration,
    inputs=(DENOISED, SLICES),
    outputs=(REGISTERED, MOTION),
    compute=_compute,
    cost=Cost(image_work, _size, seconds={"": 2.7}),
    gpu_library=torch_gpu,
    ledger="registration",
    chapter=_chapter,
)
STEPS = (REGISTRATION,)
