"""Stage 3: consecutive slices aligned, borders cropped."""

from prefect import task

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.references import ArtifactRef
from spherovem_core.registration import Alignment, estimate_alignment, warp_stack
from spherovem_core.store.layout import REGISTERED, array_path, stage_table_path
from tasks.artifacts import show_figures
from tasks.ingest import bad_slices
from tasks.pictures import show_middle_slice
from tasks.plans import Stage
from tasks.policies import stage_policy
from tasks.stage import StageRun, run_stage

REGISTRATION = stage_table_path("registration")
STAGE = Stage("register", 2, (array_path(REGISTERED), REGISTRATION), gpu_library="torch")


@task(**stage_policy(STAGE), tags=["gpu"])
def register(
    denoised: ArtifactRef,
    raw: ArtifactRef,
    parameters: RegistrationParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Align the denoised slices, each warped once from its source; `raw` tells which slices were filled."""
    return run_stage(STAGE, locals(), _register)


def _register(
    run: StageRun, denoised: ArtifactRef, raw: ArtifactRef, parameters: RegistrationParameters
) -> None:
    source = run.open(denoised)
    pairs = run.ledger("registration")
    alignment = estimate_alignment(source, parameters, run.execution, bad_slices(run, raw), pairs)
    shape = (source.shape[0], *alignment.crop.shape)
    writer = run.writer(REGISTERED, "image", shape, source.dtype, source.spacing_nm, by_slice=True)
    warp_stack(source, alignment, writer, parameters, run.execution)
    run.write_table(REGISTRATION, alignment.table)
    registered = run.finish(writer, **alignment.details())
    _show(run, alignment)
    show_middle_slice(run.artifact_key, registered, run.layout, "Middle slice, aligned and cropped")


def _show(run: StageRun, alignment: Alignment) -> None:
    table = alignment.table
    figures = {
        "median similarity before": float(table["similarity_before"].median()),
        "median similarity after": float(table["similarity_after"].median()),
        "largest shift (px)": float(table[["shift_y_px", "shift_x_px"]].abs().max().max()),
        "pairs not trusted": int((table["trusted"] == False).sum()),  # noqa: E712 - the column may hold NaN
    }
    show_figures(run.artifact_key, figures, "Alignment of consecutive slices")
