"""Stage 1, ingest: the acquisition as one array."""

from collections.abc import Mapping
from typing import Any

from spherovem_core.parameters import IngestParameters, PipelineParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.source_owner import check_owner, claim_folder, read_source
from spherovem_core.store.columns import FILLED_FLAGS, filled_positions
from spherovem_core.store.layout import RAW as RAW_GROUP
from spherovem_core.urls import shown
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    OutputSize,
    Quality,
    RunRequest,
    SourceVolume,
    Step,
    TableOutput,
)
from spherovem_core.workflow.cost import image_work, pyramid_voxels
from spherovem_core.workflow.run import StepRun

RAW = ArrayOutput(
    RAW_GROUP, "image", "z y x", ("uint8", "uint16"), "grey value", "The slices as acquired, bad ones filled."
)
SLICES = TableOutput("slices", "a slice of the acquisition")

STORED_FRACTION = 0.83
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""


def filled_slices(run: StepRun[Any]) -> list[int]:
    """Return the numbers of the slices that were filled from their neighbours, for a later step."""
    return filled_positions(run.table(SLICES))


def _external(request: RunRequest) -> Mapping[str, str]:
    """Return the digest of the acquired files, and the region and the databar that only the pixels show, where there are any.

    Files whose size and times are those of an earlier run are not read again, but for the lower rows of four of them.
    """
    from spherovem_core.ingest import acquired_files, unstated_databar

    if not request.region.is_whole:
        _check_region(request)
    digest, files = read_source(request.acquisition)
    check_owner(request.acquisition, digest, files)
    source = {"source": digest}
    # Not the version of the step: results of acquisitions without such a databar stay as they are.
    slices = acquired_files(request.acquisition.source, request.parameters.ingest)
    if rows := unstated_databar(slices, request.parameters.ingest):
        source["databar"] = f"{rows} rows"
    if request.parameters.ingest.exclude_slices:
        # The maps of a registration hold for a region of the same stack only: slices at its ends may be cut off.
        source["excluded"] = "; ".join(request.parameters.ingest.exclude_slices)
    # Not the version of the step: a region was filled from its own slices alone before.
    return (
        source
        if request.region.is_whole
        else {**source, "region": f"{request.region.suffix} filled as in the whole"}
    )


def _check_region(request: RunRequest) -> None:
    """Refuse a region that reaches beyond the acquisition, or whose slices cannot be read, by the headers of the files.

    Raises
    ------
    ParameterError, AcquisitionError
        If it is so.
    """
    from spherovem_core.ingest import open_stack

    open_stack(request.acquisition.source, request.parameters.ingest, name_all=False, region=request.region)


def _claim_folder(request: RunRequest, external: Mapping[str, str]) -> None:
    """Keep the source and the digests of its files in the results folder, which exists by now."""
    digest, files = read_source(request.acquisition)
    claim_folder(request.acquisition, digest, files)


def _check_unchanged(run: StepRun[IngestParameters]) -> None:
    """Refuse files that were changed after the run had looked at them; what was read of them is discarded.

    Raises
    ------
    BadSlicesError
        If the files are not those that the digest speaks of.
    """
    from spherovem_core.errors import BadSlicesError
    from spherovem_core.store import discard

    digest, _ = read_source(run.plan.acquisition)
    if digest != run.plan.external["source"]:
        discard(run.layout, run.layout.path(RAW.path).parent)
        raise BadSlicesError(
            f"{shown(run.plan.acquisition.source)} was changed while it was read; run the acquisition again when nothing writes "
            "to it"
        )


def _compute(run: StepRun[IngestParameters]) -> Quality:
    from spherovem_core.ingest import ingest_stack, open_stack, with_grey_scale

    stack = open_stack(run.plan.acquisition.source, run.parameters, region=run.region)
    if stack.source_dtype != stack.dtype:
        # The ranges of slices that a killed run has measured hold for these files, without this databar.
        rows = [stack.first_row, stack.metadata["databar_rows"]]
        basis = {"source": run.plan.external["source"], "databar_rows": rows}
        stack = with_grey_scale(stack, run.execution, run.memory("value-ranges", basis))
    writer = run.writer(RAW, stack.shape, stack.dtype, stack.spacing_nm, by_slice=True, is_sparse=True)
    slices = ingest_stack(stack, writer, run.execution)
    _check_unchanged(run)
    run.write_table(SLICES, slices)
    run.finish(writer, spacing_origin=stack.spacing_origin, source=dict(stack.metadata))
    figures = {
        "slices": stack.shape[0],
        "height and width (px)": " x ".join(map(str, stack.shape[1:])),
        "voxel size z, y, x (nm)": ", ".join(f"{side:g}" for side in stack.spacing_nm),
        "voxel size from": stack.spacing_origin,
        **({} if stack.grey_scale is None else {"values of the source": stack.grey_scale.rule}),
        **{flag: int(slices[flag].sum()) for flag in [*FILLED_FLAGS, "outlier"]},
    }
    return Quality("Slices as acquired", figures, RAW, "Middle slice as acquired")


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    voxels = pyramid_voxels(volume.shape, volume.spacing_nm, is_sparse=True)
    return OutputSize.compressed(voxels * volume.itemsize, STORED_FRACTION)


def _chapter() -> Chapter:
    from spherovem_core.ingest.chapter import acquisition_section, acquisition_warnings

    return Chapter("Acquisition", acquisition_section, acquisition_warnings)


INGEST = Step(
    name="ingest",
    stage="ingest",
    version=1,
    parameters=lambda parameters: parameters.ingest,
    outputs=(RAW, SLICES),
    compute=_compute,
    cost=Cost(image_work, _size, seconds={"": 0.012}, fixed_seconds=0.15),
    external=_external,
    omitted={
        "value_range": None,
        "databar_top_rows": None,
        "exclude_slices": [],
        "series": "",
        "dataset": None,
        "absent_chunks": "error",
    },
    check=_claim_folder,
    chapter=_chapter,
)
STEPS = (INGEST,)
