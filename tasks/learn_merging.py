"""Task that learns boundaries and merging in 3D from labelled slices, for a fine-tuned network."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from spherovem_core.errors import LabelsError, NetworkError
from spherovem_core.execution import Execution, ExecutionSettings, Progress
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import FineTuningParameters, ObjectParameters
from spherovem_core.references import FineTuningFolders, step_digest
from spherovem_core.segmentation import grid_of, load_network, network_digest
from spherovem_core.segmentation.fine_tuning.known_pixels import known_pixels
from spherovem_core.segmentation.fine_tuning.merging_checks import check_slices_for_merging
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
from spherovem_core.segmentation.grid import crop_grid
from spherovem_core.segmentation.merging_model import (
    LEARNED,
    find_merging_model,
    merging_model_path,
    read_merging_model,
    write_merging_model,
)
from spherovem_core.segmentation.resample import resample
from spherovem_core.utils.digests import file_digest
from tasks.policies import retry_policy
from tasks.tuning_volume import TuningVolume, open_tuning_volume, tuning_run

# 2: flows by whole planes.
NAME, VERSION = "learn_merging", 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Labelled:
    """A volume with the labelled slices on the grid of its flows, and the digests of their files."""

    volume: TuningVolume
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
    labelled = _open(folders.slices, folders.volume, parameters)
    check_slices_for_merging(labelled.slices)
    digest = _digest(labelled, str(weights), parameters)
    path = merging_model_path(str(weights))
    known = _finished(str(weights), digest)
    if known is not None:
        logger.info("%s holds this merging model already", folders.out.name)
        return known if folders.labels_3d is not None else _as_learned(path, known)
    with tuning_run(f"learn merging {folders.out.name}", execution) as (run, progress):
        intensities = volume_percentile_range(labelled.volume.source, parameters.normalise_percentiles)
        network = load_network(str(weights), parameters.kind, run.device)
        regions = _regions(labelled, network, run, intensities, progress)
        model, scores = learn_merging(
            regions, intensities, parameters.normalise_percentiles, ObjectParameters(), run, parameters.seed
        )
    chosen = int(np.argmin(np.abs(scores.thresholds - model.strongest)))
    told = {
        "fingerprint": digest,
        "slices": len(labelled.slices),
        "contacts": scores.contacts,
        "different": scores.different,
        "strongest": model.strongest,
        "voi_split_bits": float(scores.split_bits[chosen]),
        "voi_merge_bits": float(scores.merge_bits[chosen]),
    }
    write_merging_model(path, model, told)
    return told


def check_before_merging(slices: Path, volume: Path, parameters: FineTuningParameters) -> None:
    """Check before a training that all slices lie in the volume and show different objects; errors as in `learn_merging_of`."""
    check_slices_for_merging(_open(slices, volume, parameters).slices)


def _open(slices: Path, acquisition: Path, parameters: FineTuningParameters) -> _Labelled:
    volume = open_tuning_volume(acquisition, parameters)
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
        placed.append(place_slice(origin, objects, volume.grid))
        digests += [origin.name, *map(file_digest, files)]
    return _Labelled(volume, placed, digests)


def _as_learned(path: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Give a model back the threshold that the slices chose, where labels in 3D had chosen another."""
    model = read_merging_model(path)[0]
    own = {name: value for name, value in told.items() if name != LEARNED}
    if LEARNED in told:
        logger.info(
            "objects are merged up to %g, as the slices chose, no longer up to %g as labels in 3D did",
            told[LEARNED],
            model.strongest,
        )
        write_merging_model(path, replace(model, strongest=float(told[LEARNED])), own)
    return own


def _regions(
    labelled: _Labelled,
    network: Any,
    run: Execution,
    intensities: tuple[float, float],
    progress: Progress,
) -> list[TrainingRegion]:
    """Predict the flows around the slices."""
    found, volume = [], labelled.volume
    places = surroundings(labelled.slices, volume.grid.shape)
    for done, (region, slices) in enumerate(places):
        progress(done, len(places))
        grid = crop_grid(volume.grid, region)
        flows = volume.flows_on(grid, network, run, intensities)
        image = resample(volume.source, grid_of(volume.source), volume.grid, region)
        found.append(TrainingRegion(grid, image, flows, [moved(one, region) for one in slices]))
    return found


def _digest(labelled: _Labelled, weights: str, parameters: FineTuningParameters) -> str:
    own = {
        "kind": parameters.kind,
        "flow_spacing_nm": parameters.flow_spacing_nm,
        "normalise_percentiles": list(parameters.normalise_percentiles),
        "seed": parameters.seed,
        "image": labelled.volume.source.own_digest,
    }
    # What was added after models had been learned.
    added = {"planes": "all", "unlabelled": "background", "background_label": 0}
    own |= {
        name: getattr(parameters, name)
        for name, default in added.items()
        if getattr(parameters, name) != default
    }
    if labelled.volume.grid.in_sections:
        # Not the version: features of cubic voxels are as they were.
        own["filters"] = "in sections"
    return step_digest(NAME, VERSION, own, [network_digest(weights, parameters.kind), *labelled.digests])


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
