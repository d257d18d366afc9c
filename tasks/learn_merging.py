"""Task that learns boundaries and merging in 3D from labelled slices, for a fine-tuned network."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from spherovem_core.blocks import MemorySink
from spherovem_core.errors import LabelsError, NetworkError
from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import FineTuningParameters, FlowParameters, ObjectParameters
from spherovem_core.references import FineTuningFolders, step_digest
from spherovem_core.segmentation import Grid, flow_grid, grid_of, load_network, network_digest, source_level
from spherovem_core.segmentation.fine_tuning.known_pixels import known_pixels
from spherovem_core.segmentation.fine_tuning.merging_training import learn_merging
from spherovem_core.segmentation.fine_tuning.network_files import WEIGHTS
from spherovem_core.segmentation.fine_tuning.slice_files import (
    image_paths,
    labels_path,
    read_labels,
    read_slice,
    unknown_path,
)
from spherovem_core.segmentation.fine_tuning.training_regions import (
    PlacedSlice,
    TrainingRegion,
    moved,
    place_slice,
    surroundings,
)
from spherovem_core.segmentation.flows import predict_flows
from spherovem_core.segmentation.grid import crop_grid
from spherovem_core.segmentation.merging_model import (
    find_merging_model,
    merging_model_path,
    read_merging_model,
    write_merging_model,
)
from spherovem_core.segmentation.resample import resample
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.format import check_format
from spherovem_core.store.layout import REGISTERED
from spherovem_core.store.ome import level_spacing
from spherovem_core.store.pyramid import pyramid_factors
from spherovem_core.utils.digests import file_digest
from spherovem_core.utils.torch_device import torch_threads
from tasks.devices import gpu_slot, resolve_device
from tasks.policies import retry_policy
from tasks.progress import report_progress

NAME, VERSION = "learn_merging", 1
BLOCK_VOXELS, HALO_VOXELS = 256, 64

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Volume:
    """The registered image, the grid of the flows over it, and the labelled slices on that grid."""

    source: StoredArray
    grid: Grid
    slices: list[PlacedSlice]
    digests: list[str]


@task(
    name=NAME,
    version=str(VERSION),
    task_run_name="learn merging {folders.out.name}",
    # The model on disk decides whether there is work to do.
    cache_policy=NO_CACHE,
    **retry_policy(),
    tags=["gpu"],
)
def learn_merging_of(
    folders: FineTuningFolders,
    parameters: FineTuningParameters,
    execution: ExecutionSettings = ExecutionSettings(),
) -> dict[str, Any]:
    """Learn boundaries and merging for the weights in a folder, unless a model of the same data lies beside them.

    The model is written last, in one step: a killed training starts again.

    Returns
    -------
    dict
        Numbers of contacts, the strongest boundary that is merged, and the variation of information in slices left out.

    Raises
    ------
    LabelsError
        If a slice was not cut from this volume, or the slices show too little.
    IncompleteArtifactError
        If the acquisition has no complete registered image.
    """
    if folders.volume is None:
        raise LabelsError(
            "merging is learned in a volume; give the results folder from which the slices were cut"
        )
    weights = folders.out.absolute() / WEIGHTS
    volume = _open(folders.slices, folders.volume, parameters)
    digest = _digest(volume, str(weights), parameters)
    path = merging_model_path(str(weights))
    known = _finished(str(weights), digest)
    if known is not None:
        logger.info("%s holds this merging model already", folders.out.name)
        return known
    with (
        gpu_slot("torch", execution.device),
        report_progress(f"learn merging {folders.out.name}") as progress,
        torch_threads(execution.worker_count),
    ):
        device = resolve_device("torch", execution.device)
        run = Execution(
            device=device,
            workers=execution.worker_count,
            block_voxels=BLOCK_VOXELS,
            block_halo_voxels=HALO_VOXELS,
        )
        intensities = volume_percentile_range(volume.source, parameters.normalise_percentiles)
        regions = _regions(volume, str(weights), parameters, run, intensities, progress)
        model, scores = learn_merging(
            regions, intensities, parameters.normalise_percentiles, ObjectParameters(), run, parameters.seed
        )
    chosen = int(np.argmin(np.abs(scores.thresholds - model.strongest)))
    told = {
        "fingerprint": digest,
        "slices": len(volume.slices),
        "contacts": scores.contacts,
        "different": scores.different,
        "strongest": model.strongest,
        "voi_split_bits": float(scores.split_bits[chosen]),
        "voi_merge_bits": float(scores.merge_bits[chosen]),
    }
    write_merging_model(path, model, told)
    return told


def check_before_merging(slices: Path, volume: Path, parameters: FineTuningParameters) -> None:
    """Check before a training that all slices lie in the volume; errors as in `learn_merging_of`."""
    _open(slices, volume, parameters)


def _open(slices: Path, acquisition: Path, parameters: FineTuningParameters) -> _Volume:
    check_format(acquisition)
    layout = Layout(acquisition.absolute())
    finest = open_array(layout, REGISTERED)
    flows = FlowParameters(flow_spacing_nm=parameters.flow_spacing_nm, planes=parameters.planes)
    spacings = [level_spacing(finest.spacing_nm, factors) for factors in pyramid_factors(finest)]
    source = open_array(layout, REGISTERED, source_level(spacings, flows))
    grid = flow_grid(finest.shape, finest.spacing_nm, flows, finest.origin_nm)
    placed, digests = [], []
    for image in image_paths(slices):
        origin = read_slice(image)[1]
        if origin is None:
            raise LabelsError(
                f"{image} does not tell where in the volume it lies; merging is learned from slices of spherovem cut-slices"
            )
        labels, mask = labels_path(image, parameters.kind), unknown_path(image, parameters.kind)
        files = [labels, mask] if mask.is_file() else [labels]
        drawn, *unknown = (read_labels(file)[0] for file in files)
        objects, _ = known_pixels(drawn, unknown[0] if unknown else None, parameters)
        placed.append(place_slice(origin, objects, grid))
        digests += [origin.name, *map(file_digest, files)]
    return _Volume(source, grid, placed, digests)


def _regions(
    volume: _Volume,
    weights: str,
    parameters: FineTuningParameters,
    run: Execution,
    intensities: tuple[float, float],
    progress: Any,
) -> list[TrainingRegion]:
    """Predict the flows around the slices."""
    network = load_network(weights, parameters.kind, run.device)
    flow_parameters = FlowParameters(
        flow_spacing_nm=parameters.flow_spacing_nm,
        planes=parameters.planes,
        normalise_percentiles=parameters.normalise_percentiles,
    )
    found = []
    places = surroundings(volume.slices, volume.grid.shape)
    for done, (region, slices) in enumerate(places):
        progress(done, len(places))
        grid = crop_grid(volume.grid, region)
        flows = np.zeros((4, *grid.shape), np.float16)
        predict_flows(
            volume.source,
            volume.source.spacing_nm,
            grid,
            network,
            MemorySink(flows),
            flow_parameters,
            run,
            source_origin_nm=volume.source.origin_nm,
            intensities=intensities,
        )
        image = resample(volume.source, grid_of(volume.source), volume.grid, region)
        found.append(TrainingRegion(grid, image, flows, [moved(one, region) for one in slices]))
    return found


def _digest(volume: _Volume, weights: str, parameters: FineTuningParameters) -> str:
    own = {
        "kind": parameters.kind,
        "flow_spacing_nm": parameters.flow_spacing_nm,
        "normalise_percentiles": list(parameters.normalise_percentiles),
        "seed": parameters.seed,
        "image": volume.source.own_digest,
    }
    # What was added after models had been learned.
    added = {"planes": "all", "unlabelled": "background", "background_label": 0}
    own |= {
        name: getattr(parameters, name)
        for name, default in added.items()
        if getattr(parameters, name) != default
    }
    return step_digest(NAME, VERSION, own, [network_digest(weights, parameters.kind), *volume.digests])


def _finished(weights: str, digest: str) -> dict[str, Any] | None:
    """Return what the model beside the weights tells, if it has this digest."""
    path = find_merging_model(weights)
    if path is None:
        return None
    try:
        told = read_merging_model(path)[1]
    except NetworkError as error:
        logger.warning("%s", error)
        return None
    return told if told.get("fingerprint") == digest else None
