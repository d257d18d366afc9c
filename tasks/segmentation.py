"""Stage 4: cells and nuclei, in two steps: the network's flows, and masks made from them."""

from dataclasses import replace
from typing import Any

from prefect import task

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import SegmentationParameters
from spherovem_core.references import ArtifactRef
from spherovem_core.segmentation import (
    Grid,
    MaskInputs,
    flow_grid,
    load_network,
    source_level,
)
from spherovem_core.segmentation import predict_flows as compute_flows
from spherovem_core.segmentation import segment_masks as compute_masks
from spherovem_core.store import nearest_level
from spherovem_core.store.layout import ObjectKind, array_path, flows_group, labels_group
from spherovem_core.store.ome import Factors, level_spacing
from tasks.artifacts import show_figures
from tasks.pictures import show_middle_slice
from tasks.plans import Arguments, Stage
from tasks.policies import stage_policy
from tasks.stage import StageRun, run_stage

FLOWS_ALONE = frozenset({"flow_spacing_nm", "normalise_percentiles", "tile_overlap", "min_tile_contrast"})
FOR_BOTH = frozenset({"block_voxels", "block_halo_voxels"})
MASKS_ALONE = frozenset(SegmentationParameters.model_fields) - FLOWS_ALONE - FOR_BOTH - {"network"}
"""Parameters that only one of the two steps looks at. The network counts by its content."""


def _flows_fingerprint(arguments: Arguments) -> dict[str, Any]:
    parameters: SegmentationParameters = arguments["parameters"]
    own = parameters.model_dump(mode="json", exclude={"network", *MASKS_ALONE})
    return {"kind": arguments["kind"], "network": arguments["network_digest"], "parameters": own}


def _masks_fingerprint(arguments: Arguments) -> dict[str, Any]:
    parameters: SegmentationParameters = arguments["parameters"]
    own = parameters.model_dump(mode="json", exclude={"network", *FLOWS_ALONE})
    return {"kind": arguments["kind"], "parameters": own}


FLOWS = Stage("predict_flows", 1, (array_path("flows/{kind}"),), _flows_fingerprint, gpu_library="torch")
MASKS = Stage("segment_masks", 2, (array_path("registered/labels/{kind}"),), _masks_fingerprint)


@task(**stage_policy(FLOWS), tags=["gpu"])
def predict_flows(
    kind: ObjectKind,
    registered: ArtifactRef,
    network_digest: str,
    parameters: SegmentationParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Run the network for cells or nuclei over the registered image at an isotropic, reduced resolution."""
    return run_stage(FLOWS, locals(), _predict_flows)


def _predict_flows(
    run: StageRun,
    kind: ObjectKind,
    registered: ArtifactRef,
    network_digest: str,
    parameters: SegmentationParameters,
) -> None:
    network = load_network(parameters.network, kind, run.execution.device)
    finest = run.open(registered)
    spacings = [level_spacing(finest.spacing_nm, factors) for factors in pyramid(finest)]
    source = run.open(registered, source_level(spacings, parameters))
    grid = flow_grid(finest.shape, finest.spacing_nm, parameters, finest.origin_nm)
    writer = run.writer(
        flows_group(kind),
        "field",
        (4, *grid.shape),
        "float16",
        grid.spacing_nm,
        origin_nm=grid.origin_nm,
        block=parameters.block_voxels,
    )
    compute_flows(
        source,
        source.spacing_nm,
        grid,
        network,
        writer,
        parameters,
        run.execution,
        source_origin_nm=source.origin_nm,
    )
    finished = run.finish(writer, network=parameters.network)
    middle = writer.stored[(3, grid.shape[0] // 2)]
    figures = {
        "network": parameters.network,
        "voxels z, y, x": " x ".join(map(str, grid.shape)),
        "voxel size (nm)": grid.spacing_nm[0],
        "share of the middle slice above the threshold": float(
            (middle > parameters.probability_threshold).mean()
        ),
    }
    show_figures(run.artifact_key, figures, f"Flows of {kind}")
    show_middle_slice(run.artifact_key, finished, run.layout, f"Probability of {kind} in the middle slice")


@task(**stage_policy(MASKS), tags=["cpu"])
def segment_masks(
    kind: ObjectKind,
    flows: ArtifactRef,
    registered: ArtifactRef,
    parameters: SegmentationParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> ArtifactRef:
    """Make the labels of cells or nuclei from their flows, on the pyramid level that `mask_spacing_nm` chooses."""
    return run_stage(
        replace(MASKS, gpu_library="torch" if parameters.mask_dynamics == "cellpose" else None),
        locals(),
        _segment_masks,
    )


def _segment_masks(
    run: StageRun,
    kind: ObjectKind,
    flows: ArtifactRef,
    registered: ArtifactRef,
    parameters: SegmentationParameters,
) -> None:
    finest = run.open(registered)
    level = nearest_level(pyramid(finest), finest.spacing_nm, parameters.mask_spacing_nm)
    image = run.open(registered, level)
    source = run.open(flows)
    grid = Grid((source.shape[1], source.shape[2], source.shape[3]), source.spacing_nm, source.origin_nm)
    target = Grid((image.shape[0], image.shape[1], image.shape[2]), image.spacing_nm, image.origin_nm)
    place: dict[str, Any] = {"origin_nm": image.origin_nm, "block": parameters.block_voxels}
    labels = run.writer(labels_group(kind), "label", image.shape, "uint32", image.spacing_nm, **place)
    provisional = run.provisional(f"labels-{kind}", image.shape, "uint32", image.spacing_nm, **place)
    count = compute_masks(
        MaskInputs(source, grid, target, image),
        provisional,
        labels,
        parameters,
        run.execution,
        run.ledger(f"masks-{kind}"),
    )
    finished = run.finish(labels, count=count)
    show_figures(
        run.artifact_key, {kind: count, "voxel size z, y, x (nm)": str(image.spacing_nm)}, f"Segmented {kind}"
    )
    show_middle_slice(run.artifact_key, finished, run.layout, f"{kind} in the middle slice".capitalize())


def pyramid(stored: Any) -> list[Factors]:
    """Factors of each level of a stored image relative to its finest."""
    return [(int(z), int(y), int(x)) for z, y, x in stored.details["level_factors"]]
