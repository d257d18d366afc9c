"""Stage 1: the acquisition as one array."""

from typing import Any

import pandas as pd
from prefect import task

from spherovem_core.execution import ExecutionSettings
from spherovem_core.ingest import SliceStack, ingest_stack, open_stack
from spherovem_core.parameters import IngestParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.store.columns import FILLED_FLAGS
from spherovem_core.store.layout import RAW, array_path, stage_table_path
from tasks.artifacts import show_figures
from tasks.pictures import show_middle_slice
from tasks.plans import Arguments, Stage, own_parameters
from tasks.policies import stage_policy
from tasks.stage import StageRun, run_stage

SLICES = stage_table_path("slices")


def _fingerprint(arguments: Arguments) -> dict[str, Any]:
    """The region counts only where there is one."""
    own = own_parameters(arguments)
    region: RegionOfInterest = own.pop("region", WHOLE)
    return own if region.is_whole else {**own, "region": region}


STAGE = Stage("ingest", 1, (array_path(RAW), SLICES), fingerprint=_fingerprint)


@task(**stage_policy(STAGE), tags=["cpu"])
def ingest(
    acquisition: Acquisition,
    source_digest: str,
    parameters: IngestParameters,
    region: RegionOfInterest = WHOLE,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Check every slice of an acquisition, or of a region of it, and write them as the raw image.

    `source_digest` is the fingerprint of the source's files: what the flow found when it began.
    """
    return run_stage(STAGE, locals(), _ingest)


def _ingest(
    run: StageRun,
    acquisition: Acquisition,
    source_digest: str,
    parameters: IngestParameters,
    region: RegionOfInterest,
) -> None:
    stack = open_stack(acquisition.source, parameters, region=region)
    writer = run.writer(RAW, "image", stack.shape, stack.dtype, stack.spacing_nm, by_slice=True)
    slices = ingest_stack(stack, writer, run.execution)
    run.write_table(SLICES, slices)
    raw = run.finish(writer, spacing_origin=stack.spacing_origin, source=dict(stack.metadata))
    _show(run, stack, slices)
    show_middle_slice(run.artifact_key, raw, run.layout, "Middle slice as acquired")


def bad_slices(run: StageRun, raw: ArtifactRef) -> list[int]:
    """Numbers of the slices that were filled from their neighbours, for a later stage of the run."""
    slices = run.table(SLICES, raw.digest)
    return slices.loc[slices[list(FILLED_FLAGS)].any(axis=1), "z"].tolist()


def _show(run: StageRun, stack: SliceStack, slices: pd.DataFrame) -> None:
    figures = {
        "slices": stack.shape[0],
        "height and width (px)": " x ".join(map(str, stack.shape[1:])),
        "voxel size z, y, x (nm)": ", ".join(f"{s:g}" for s in stack.spacing_nm),
        "voxel size from": stack.spacing_origin,
        **{flag: int(slices[flag].sum()) for flag in [*FILLED_FLAGS, "outlier"]},
    }
    show_figures(run.artifact_key, figures, "What the microscope wrote")
