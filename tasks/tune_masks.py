"""Task that chooses the parameters of masks for a fine-tuned network by objects that are labelled in 3D."""

import logging
import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from spherovem_core.blocks import Region
from spherovem_core.errors import LabelsError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import FineTuningParameters, ObjectParameters
from spherovem_core.references import FineTuningFolders, step_digest
from spherovem_core.segmentation import grid_of, load_network, network_digest
from spherovem_core.segmentation.fine_tuning.mask_tuning import diameter_um, tune_masks
from spherovem_core.segmentation.fine_tuning.network_files import WEIGHTS
from spherovem_core.segmentation.grid import crop_grid
from spherovem_core.segmentation.learned_merging import LearnedMerging
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.merging_model import (
    LEARNED,
    find_merging_model,
    read_merging_model,
    write_merging_model,
)
from spherovem_core.segmentation.resample import resample
from spherovem_core.store import StoredArray, read_json, write_json
from spherovem_core.store.label_files import label_digest, open_labels_on_grid
from tasks.policies import retry_policy
from tasks.tuning_volume import TuningVolume, open_tuning_volume, tuning_run

# 2: flows by whole planes.
NAME, VERSION = "tune_masks", 2
DOCUMENT = "masks.json"
MARGIN = 24
"""Voxels of the flows around the labelled box that are segmented too."""
MOST_VOXELS = 64_000_000

logger = logging.getLogger(__name__)


@task(
    name=NAME,
    version=str(VERSION),
    task_run_name="tune masks {folders.out.name}",
    # The document on disk decides whether there is work to do.
    cache_policy=NO_CACHE,
    **retry_policy(),
    tags=["gpu"],
)
def tune_masks_of(
    folders: FineTuningFolders,
    parameters: FineTuningParameters,
    chosen: dict[str, Any],
    execution: ExecutionSettings = ExecutionSettings(),
) -> dict[str, Any]:
    """Choose the parameters of masks for the weights in a folder, unless its document of the same data tells them.

    Masks are made at `flow_spacing_nm`. The merging model gets its new threshold before the document is written, last: a killed
    run starts again, from the threshold as it was learned.

    Parameters
    ----------
    chosen
        What the slices chose, of the manifest.

    Returns
    -------
    dict
        The chosen values, and the scores in both halves of the labelled box, see `TunedMasks`.

    Raises
    ------
    LabelsError
        If the labels do not lie in the volume, show too few objects or fill too large a box.
    IncompleteArtifactError
        If the acquisition has no complete registered image.
    """
    weights = str(folders.out.absolute() / WEIGHTS)
    volume = _open(folders, parameters)
    path, known = folders.out.absolute() / DOCUMENT, read_json(folders.out.absolute() / DOCUMENT) or {}
    model_path = find_merging_model(weights)
    model, told = (None, {}) if model_path is None else read_merging_model(model_path)
    digest = _digest(folders, parameters, volume.source, chosen, [weights, str(told.get("fingerprint", ""))])
    if known.get("fingerprint") == digest and (
        model is None or math.isclose(model.strongest, known["values"]["strongest"])
    ):
        logger.info("%s holds these parameters of masks already", folders.out.name)
        return known
    with tuning_run(f"tune masks {folders.out.name}", execution) as (settings, progress):
        run = replace(settings, progress=progress)
        intensities = volume_percentile_range(volume.source, parameters.normalise_percentiles)
        truth, region = _labels(folders, volume)
        grid = crop_grid(volume.grid, region)
        network = load_network(weights, parameters.kind, run.device)
        flows = volume.flows_on(grid, network, run, intensities)
        image = resample(volume.source, grid_of(volume.source), grid)
        inputs = MaskInputs(flows, grid, grid, image, grid.in_sections)
        learned = None
        if model is not None:
            learned_at = float(told.get(LEARNED, model.strongest))
            learned = LearnedMerging(replace(model, strongest=learned_at), intensities)
        start = ObjectParameters(
            probability_threshold=chosen["probability_threshold"],
            flow_smoothing=chosen["flow_smoothing"],
            min_diameter_um=float(f"{diameter_um(chosen['min_pixels'], parameters.flow_spacing_nm):.3g}"),
        )
        tuned = tune_masks(inputs, truth, start.masks, run, learned)
    if model is not None and model_path is not None and learned is not None:
        told = {**told, LEARNED: learned.model.strongest}
        write_merging_model(model_path, replace(model, strongest=tuned.values["strongest"]), told)
    document = {"fingerprint": digest, **tuned.described()}
    write_json(path, document)
    return document


def forget_masks(folders: FineTuningFolders) -> None:
    """Take away what labels in 3D chose for the weights in a folder, for a training without them."""
    (folders.out / DOCUMENT).unlink(missing_ok=True)


def check_before_tuning(folders: FineTuningFolders, parameters: FineTuningParameters) -> None:
    """Check before a training that the labels in 3D lie in the volume; errors as in `tune_masks_of`."""
    _labels(folders, _open(folders, parameters))


def _open(folders: FineTuningFolders, parameters: FineTuningParameters) -> TuningVolume:
    if folders.volume is None or folders.labels_3d is None:
        raise LabelsError("masks are tuned in a volume; give the results folder and the labels in 3D")
    return open_tuning_volume(folders.volume, parameters)


def _labels(folders: FineTuningFolders, volume: TuningVolume) -> tuple[NDArray[np.uint32], Region]:
    """Read the labels around their box on the grid of the flows, and return the region that they fill."""
    grid = volume.grid
    with open_labels_on_grid(
        str(folders.labels_3d), grid.shape, grid.spacing_nm, grid.origin_nm, levels=volume.levels
    ) as labels:
        sides = []
        shown = [np.zeros(n, bool) for n in grid.shape]
        for z in range(grid.shape[0]):
            plane = labels[z : z + 1][0] > 0
            shown[0][z] = plane.any()
            shown[1] |= plane.any(axis=1)
            shown[2] |= plane.any(axis=0)
        for own, extent in zip(shown, grid.shape, strict=True):
            place = np.flatnonzero(own)
            if not place.size:
                raise LabelsError(f"{folders.labels_3d} has no label at the resolution of the flows")
            sides.append(slice(max(0, int(place[0]) - MARGIN), min(extent, int(place[-1]) + 1 + MARGIN)))
        region = tuple(sides)
        voxels = math.prod(side.stop - side.start for side in region)
        if voxels > MOST_VOXELS:
            raise LabelsError(
                f"{folders.labels_3d}: the box around all labels has {voxels / 1e6:.0f} million voxels with its margin; masks "
                f"are tuned in up to {MOST_VOXELS / 1e6:.0f} million: leave labels of one part of the volume"
            )
        return labels[region], region


def _digest(
    folders: FineTuningFolders,
    parameters: FineTuningParameters,
    source: StoredArray,
    chosen: dict[str, Any],
    models: list[str],
) -> str:
    weights, merging = models
    own = {
        "kind": parameters.kind,
        "flow_spacing_nm": parameters.flow_spacing_nm,
        "planes": parameters.planes,
        "normalise_percentiles": list(parameters.normalise_percentiles),
        "image": source.own_digest,
        "start": [chosen[name] for name in ("probability_threshold", "flow_smoothing", "min_pixels")],
    }
    inputs = [network_digest(weights, parameters.kind), merging, label_digest(str(folders.labels_3d))]
    return step_digest(NAME, VERSION, own, inputs)
