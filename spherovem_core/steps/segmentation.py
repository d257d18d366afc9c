"""Stage 4, segmentation: flows of a network, then masks, for cells and for nuclei."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from spherovem_core.blocks import block_grid
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import FlowParameters, MaskParameters, PipelineParameters
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.corrections import journal_digest, with_corrections
from spherovem_core.steps.imported_labels import (
    NO_OBJECTS,
    copy_onto_masks,
    imported_digest,
    refuse_region,
    remember_imported,
)
from spherovem_core.steps.registration import REGISTERED
from spherovem_core.steps.step_scratch import StepScratch
from spherovem_core.store import StoredArray
from spherovem_core.store.adoptions import last_computed
from spherovem_core.store.layout import OBJECT_KINDS, Layout, ObjectKind, flows_group, labels_group
from spherovem_core.store.pyramid import pyramid_factors
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    GpuLibrary,
    OutputSize,
    Quality,
    RunRequest,
    SourceVolume,
    Step,
)
from spherovem_core.workflow.cost import MILLION, mask_grid, mask_work, pyramid_voxels
from spherovem_core.workflow.replacements import IMPORTED
from spherovem_core.workflow.run import StepRun

logger = logging.getLogger(__name__)

FLOWS: Mapping[ObjectKind, ArrayOutput] = {
    kind: ArrayOutput(
        flows_group(kind),
        "field",
        "c z y x",
        ("float16",),
        "",
        f"Output of the network for {kind}: flow along z, y and x, and the logit of the cell probability; a single voxel of NaN "
        "where labels were given.",
    )
    for kind in OBJECT_KINDS
}
LABELS: Mapping[ObjectKind, ArrayOutput] = {
    kind: ArrayOutput(
        labels_group(kind),
        "label",
        "z y x",
        ("uint32",),
        "label",
        f"One number for each of the {kind}, 0 elsewhere; on the level of the registered image that mask_spacing_nm chooses.",
    )
    for kind in OBJECT_KINDS
}

SUMS = ("xz", "yz")
"""Arrays of the sums of flows over one and over two directions of planes, while flows are computed."""

FLOWS_FRACTION = 0.77
LABELS_FRACTION: Mapping[ObjectKind, float] = {"cells": 0.0065, "nuclei": 0.0031}
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""
FLOWS_SECONDS: Mapping[ObjectKind, float] = {"cells": 0.22, "nuclei": 0.20}
"""Seconds per million pixels in tiles of the demo's 405 tiles of 176 x 176, on two cores."""
MASKS_SECONDS: Mapping[ObjectKind, float] = {"cells": 0.33, "nuclei": 0.15}
"""Seconds per million voxels of the demo on two cores."""
COPY_SECONDS = 0.06
"""Seconds per million voxels of labels that are only copied, pyramid included."""
BLOCK_BYTES = 130
"""Bytes per voxel of a block of masks with its halo: from the demo's peak of 2.8 GB in blocks of 64 x 384 x 384, whose
voxels are worked on by two threads."""


def _cost_variant(kind: ObjectKind, parameters: PipelineParameters) -> str:
    """Return the network's name, on which the speed depends; of another segmenter than cellpose its own name too."""
    own = parameters.segmentation.of(kind)
    if own.segmenter in (IMPORTED, NO_OBJECTS):
        return own.segmenter
    return own.network if own.segmenter == "cellpose" else f"{own.segmenter} {own.network}"


def _external(kind: ObjectKind, request: RunRequest) -> Mapping[str, str]:
    """Return the digest of the network's weights, or of the imported labels."""
    from spherovem_core.segmentation import segmenter_named

    parameters = request.parameters.segmentation.of(kind)
    if parameters.segmenter == IMPORTED:
        refuse_region(request)
        return {"network": imported_digest(request.acquisition, parameters.network)[0]}
    return {"network": segmenter_named(parameters.segmenter).weights_digest(kind, parameters)}


def _masks_external(kind: ObjectKind, request: RunRequest) -> Mapping[str, str]:
    """Return the digests of the corrections and of the model that merges, where there are such."""
    from spherovem_core.segmentation import segmenter_named

    parameters = request.parameters.segmentation.of(kind).masks
    merging = segmenter_named(parameters.segmenter).labels_digest(parameters)
    return {**journal_digest(kind, request), **({"merging": merging} if merging else {})}


def _check(kind: ObjectKind, request: RunRequest, external: Mapping[str, str]) -> None:
    """Load a network once before hours of other work, and remember it as loadable."""
    from spherovem_core.segmentation import segmenter_named

    parameters = request.parameters.segmentation.of(kind)
    if parameters.segmenter == IMPORTED:
        remember_imported(request.acquisition, parameters.network)
        return
    scratch = Layout(request.acquisition.folder).scratch
    digest = "".join(c if c.isalnum() else "-" for c in external["network"])
    known = scratch / "networks" / f"{parameters.segmenter}-{kind}-{digest}"
    if known.exists():
        return
    segmenter_named(parameters.segmenter).check_weights(kind, parameters)
    known.parent.mkdir(parents=True, exist_ok=True)
    known.touch()


def _compute_flows(kind: ObjectKind, run: StepRun[FlowParameters]) -> Quality:
    from spherovem_core.segmentation import flow_grid, segmenter_named, source_level
    from spherovem_core.segmentation.flows import flow_files
    from spherovem_core.segmentation.grid import warn_of_thick_sections
    from spherovem_core.store.ome import level_spacing

    parameters = run.parameters
    segmenter = segmenter_named(parameters.segmenter)
    finest = run.open(REGISTERED)
    if not segmenter.channels:
        return _no_flows(kind, run, finest)
    spacings = [level_spacing(finest.spacing_nm, factors) for factors in pyramid_factors(finest)]
    source = run.open(REGISTERED, source_level(spacings, parameters))
    warn_of_thick_sections(finest.spacing_nm, parameters)
    grid = flow_grid(finest.shape, finest.spacing_nm, parameters, finest.origin_nm)
    shape = (len(segmenter.channels), *grid.shape)
    files = flow_files(shape)
    writer = run.writer(
        FLOWS[kind],
        shape,
        "float16",
        grid.spacing_nm,
        origin_nm=grid.origin_nm,
        files=(files.chunks, files.shards),
    )
    scratch = StepScratch(run, grid.spacing_nm)
    segmenter.predict(kind, source, grid, writer, parameters, run.execution, scratch)
    run.finish(writer, network=parameters.network)
    middle = writer.stored[(-1, grid.shape[0] // 2)]
    figures = {
        "network": parameters.network,
        "voxels z, y, x": " x ".join(map(str, grid.shape)),
        "voxel size z, y, x (nm)": " x ".join(f"{side:g}" for side in grid.spacing_nm),
        "fraction of the middle slice with a positive logit": float((middle > 0).mean()),
    }
    return Quality(f"Flows of {kind}", figures, FLOWS[kind], f"Probability of {kind} in the middle slice")


def _no_flows(kind: ObjectKind, run: StepRun[FlowParameters], image: StoredArray) -> Quality:
    """Store one voxel of NaN, as large as the volume: this segmenter has no flows."""
    extent = [n * side for n, side in zip(image.shape, image.spacing_nm, strict=True)]
    spacing = (extent[0], extent[1], extent[2])
    middle = [o + (e - s) / 2 for o, e, s in zip(image.origin_nm, extent, image.spacing_nm, strict=True)]
    origin = (middle[0], middle[1], middle[2])
    writer = run.writer(FLOWS[kind], (1, 1, 1, 1), "float16", spacing, origin_nm=origin)
    for block in writer.pending(block_grid((1, 1, 1, 1), (1, 1, 1, 1))):
        writer.write(block, np.full((1, 1, 1, 1), np.nan, np.float16))
    if run.parameters.segmenter == NO_OBJECTS:
        run.finish(writer, computed=False, absent=True)
        return Quality(f"Flows of {kind}", {kind: "none given"})
    run.finish(writer, network=run.parameters.network, computed=False)
    return Quality(f"Flows of {kind}", {"flows": f"not computed: {kind} were imported"})


def _compute_masks(kind: ObjectKind, run: StepRun[MaskParameters]) -> Quality:
    from spherovem_core.segmentation import segmenter_named
    from spherovem_core.store import nearest_level

    finest = run.open(REGISTERED)
    level = nearest_level(pyramid_factors(finest), finest.spacing_nm, run.parameters.mask_spacing_nm)
    image = run.open(REGISTERED, level)
    if run.parameters.segmenter == IMPORTED:
        digest = last_computed(run.open(FLOWS[kind]).history)["external"]["network"]
        return copy_onto_masks(
            run, kind, run.parameters.network, digest, LABELS[kind], run.parameters.mask_spacing_nm
        )
    place: dict[str, Any] = {"origin_nm": image.origin_nm, "block": run.execution.block_voxels}
    ledger = run.ledger_of_blocks(LABELS[kind])
    labels = run.writer(LABELS[kind], image.shape, "uint32", image.spacing_nm, **place)
    provisional = run.provisional(image.shape, "uint32", image.spacing_nm, **place)
    count = segmenter_named(run.parameters.segmenter).label(
        run.open(FLOWS[kind]), image, provisional, labels, run.parameters, run.execution, ledger
    )
    blocks: dict[str, Any] = {
        "block_voxels": run.execution.block_voxels,
        "block_halo_voxels": run.execution.block_halo_voxels,
    }
    if run.parameters.segmenter == NO_OBJECTS:
        run.finish(labels, count=0, absent=True)
        return Quality(f"Segmented {kind}", {kind: "none given"})
    run.finish(labels, count=count, **blocks)
    figures = {kind: count, "voxel size z, y, x (nm)": str(image.spacing_nm)}
    return Quality(f"Segmented {kind}", figures, LABELS[kind], f"{kind} in the middle slice".capitalize())


def _grid_shape(
    kind: ObjectKind, volume: SourceVolume, parameters: PipelineParameters
) -> tuple[int, int, int]:
    from spherovem_core.segmentation.grid import flow_grid

    return flow_grid(volume.shape, volume.spacing_nm, parameters.segmentation.of(kind)).shape


def _flows_work(kind: ObjectKind, volume: SourceVolume, parameters: PipelineParameters) -> float:
    """Return the millions of pixels in tiles of the network; the small constant of opening an array where there is none.

    Tiles that the network skips because they show no specimen count too.
    """
    from spherovem_core.segmentation.networks import tile_multiple_of
    from spherovem_core.segmentation.tile_counts import count_tiles, tile_side

    own = parameters.segmentation.of(kind)
    if own.segmenter in (IMPORTED, NO_OBJECTS):
        return 0.1
    shape = _grid_shape(kind, volume, parameters)
    seen = shape[1:] if own.planes == "xy" else shape
    side = tile_side(seen, tile_multiple_of(own.network))
    return count_tiles(shape, side, own.tile_overlap, own.planes) * side**2 / MILLION


def _mask_variant(kind: ObjectKind, parameters: PipelineParameters) -> str:
    own = parameters.segmentation.of(kind).segmenter
    return own if own in (IMPORTED, NO_OBJECTS) else ""


def _flows_size(kind: ObjectKind, volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    if parameters.segmentation.of(kind).segmenter in (IMPORTED, NO_OBJECTS):
        return OutputSize(8, 8)
    voxels = math.prod(_grid_shape(kind, volume, parameters))
    # Beside the flows, the averaged image and the sums over two directions. Sums over one are gone before the flows grow.
    passing = (
        0 if parameters.segmentation.of(kind).planes == "xy" else round(voxels * (4 + 8 * FLOWS_FRACTION))
    )
    return OutputSize.compressed(8 * voxels, FLOWS_FRACTION, passing=passing)


def _flows_memory(kind: ObjectKind, volume: SourceVolume, parameters: PipelineParameters) -> int:
    """Return the bytes of slabs of planes; a batch takes a quarter of the free memory at most."""
    from spherovem_core.segmentation.flows import slab_bytes

    if parameters.segmentation.of(kind).segmenter in (IMPORTED, NO_OBJECTS):
        return 0
    return slab_bytes(_grid_shape(kind, volume, parameters))


def _masks_size(kind: ObjectKind, volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    shape, spacing = mask_grid(volume, parameters)
    fraction = LABELS_FRACTION[kind]
    return OutputSize.compressed(
        4 * pyramid_voxels(shape, spacing), fraction, passing=round(4 * math.prod(shape) * fraction)
    )


def _block_memory(volume: SourceVolume, parameters: PipelineParameters, settings: ExecutionSettings) -> int:
    side = settings.block_voxels + 2 * settings.block_halo_voxels
    return BLOCK_BYTES * math.prod(min(side, extent) for extent in volume.shape)


def _flows_gpu(parameters: FlowParameters) -> GpuLibrary | None:
    return None if parameters.segmenter in (IMPORTED, NO_OBJECTS) else "torch"


def _masks_gpu(parameters: MaskParameters) -> GpuLibrary | None:
    from spherovem_core.segmentation import segmenter_named

    return "torch" if segmenter_named(parameters.segmenter).labels_on_gpu(parameters) else None


def _chapter() -> Chapter:
    from spherovem_core.segmentation.chapter import segmentation_section, segmentation_warnings

    return Chapter("Cells and nuclei", segmentation_section, segmentation_warnings)


def _uncertainty(flows: StoredArray) -> dict[str, Any]:
    """Keep where the network is uncertain: slices to label are chosen by it."""
    from spherovem_core.segmentation.fine_tuning import UNCERTAINTY, uncertainty_tiles

    return {UNCERTAINTY: uncertainty_tiles(flows)}


def _flows_step(kind: ObjectKind) -> Step[FlowParameters]:
    return Step(
        name=f"flows_{kind}",
        stage="segmentation",
        # 2: whole planes, where blocks with seams had been computed.
        version=2,
        parameters=lambda parameters: parameters.segmentation.of(kind).flows,
        inputs=(REGISTERED,),
        outputs=(FLOWS[kind],),
        compute=lambda run: _compute_flows(kind, run),
        cost=Cost(
            lambda volume, parameters: _flows_work(kind, volume, parameters),
            lambda volume, parameters: _flows_size(kind, volume, parameters),
            lambda volume, parameters, _: _flows_memory(kind, volume, parameters),
            variant=lambda parameters: _cost_variant(kind, parameters),
            seconds={
                "phantom-compact": FLOWS_SECONDS[kind],
                "em-compact": FLOWS_SECONDS[kind],
                IMPORTED: 1.0,
                NO_OBJECTS: 1.0,
            },
            fixed_seconds=0.7,
        ),
        kind=kind,
        external=lambda request: _external(kind, request),
        check=lambda request, external: _check(kind, request, external),
        external_parameters=frozenset({"network"}),
        # Added after results had been written.
        omitted={"planes": "all"},
        gpu_library=_flows_gpu,
        provisional=f"flows-{kind}",
        provisional_parts=SUMS,
        transient=(FLOWS[kind],),
        keep=_uncertainty,
    )


def _masks_step(kind: ObjectKind) -> Step[MaskParameters]:
    return Step(
        name=f"masks_{kind}",
        stage="segmentation",
        version=2,
        parameters=lambda parameters: parameters.segmentation.of(kind).masks,
        inputs=(FLOWS[kind], REGISTERED),
        outputs=(LABELS[kind],),
        compute=lambda run: with_corrections(
            run, kind, LABELS[kind], lambda automatic: _compute_masks(kind, automatic)
        ),
        # The digest of the flows covers the network.
        external_parameters=frozenset({"network"}),
        cost=Cost(
            mask_work,
            lambda volume, parameters: _masks_size(kind, volume, parameters),
            _block_memory,
            variant=lambda parameters: _mask_variant(kind, parameters),
            seconds={"": MASKS_SECONDS[kind], IMPORTED: COPY_SECONDS, NO_OBJECTS: COPY_SECONDS},
            fixed_seconds=0.1,
        ),
        kind=kind,
        external=lambda request: _masks_external(kind, request),
        journal=kind,
        corrected=(LABELS[kind],),
        gpu_library=_masks_gpu,
        provisional=f"labels-{kind}",
        ledger=f"masks-{kind}",
        chapter=_chapter if kind == OBJECT_KINDS[-1] else None,
    )


STEPS = (*map(_flows_step, OBJECT_KINDS), *map(_masks_step, OBJECT_KINDS))
