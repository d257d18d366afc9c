"""Models of an acquisition: trained on it and kept in a folder, or brought from another acquisition."""

import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.noise_measurement import measure_noise
from spherovem_core.denoising.patches import draw_patch_set
from spherovem_core.denoising.slice_selection import read_slices, spread_slices
from spherovem_core.denoising.trained_model import TrainedModel, load_model
from spherovem_core.denoising.training import train_network
from spherovem_core.errors import NetworkError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters
from spherovem_core.parameters.base import parameters_of_digest
from spherovem_core.parameters.denoising import REPAIRS_OFF
from spherovem_core.store.files import read_json, write_json
from spherovem_core.utils.digests import file_digest

CHECKPOINT = "n2v.ckpt"
LOSS = "loss.json"
NOT_TRAINED = frozenset({"model", "posterior_mean", "range_percentiles"})
"""Parameters that a training does not depend on."""
_SCRATCH = ".training-"

# A network sees intensities in units of the standard deviation of its training data; it is not defined far outside them.
_MAX_OFFSET = 4.0
_MAX_SPREAD = 4.0


def training_parameters(parameters: DenoisingParameters) -> dict[str, Any]:
    """Return the parameters that a training depends on, as JSON; repairs only where they are on."""
    return parameters_of_digest(parameters, NOT_TRAINED, REPAIRS_OFF)


def obtain_model(
    source: ArrayLike,
    folder: Path,
    parameters: DenoisingParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
) -> TrainedModel:
    """Load the checkpoint that `parameters.model` names, or train one into `folder`.

    Raises
    ------
    NetworkError
        If the checkpoint is missing, damaged, of another method, or was trained on very different intensities.
    """
    if parameters.model is None:
        return train_model(source, folder, parameters, execution, bad_slices)
    model = load_model(Path(parameters.model), execution.device)
    check_intensities(source, model, bad_slices)
    return model


def train_model(
    source: ArrayLike,
    folder: Path,
    parameters: DenoisingParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
) -> TrainedModel:
    """Train a network on slices spread over a stack, or load the finished training from the folder.

    See `train_network` for the methods. With `algorithm` ``auto`` the noise is measured first.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        The acquisition; slices are read one at a time and only their patches are kept.
    folder
        Gets ``n2v.ckpt`` and, written last to mark the training as finished, ``loss.json``.
    parameters
        Parameters of the stage.
    execution
        Device; the deadline is checked after each epoch.
    bad_slices
        Slices to leave out.

    Raises
    ------
    ParameterError
        If patches do not fit the slices or the network, or fewer than two slices are good.
    NetworkError
        If no epoch ends with a finite validation loss.
    DeviceError
        If a GPU was asked for and none is usable.
    """
    settings = _training_settings(source, parameters, bad_slices)
    if (loss := _finished_training(folder, settings)) is not None:
        return load_model(folder / CHECKPOINT, execution.device, loss)
    patches, noise = draw_patch_set(source, parameters, bad_slices), None
    if parameters.algorithm == "auto":
        noise = measure_noise(source, bad_slices)
        patches = patches.clipped(*noise.tissue)
    folder.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        began = time.monotonic()
        best, curve = train_network(patches, parameters, execution, Path(scratch), noise)
        best.replace(folder / CHECKPOINT)
    record = {
        "settings": settings,
        "checkpoint_sha256": file_digest(folder / CHECKPOINT),
        "seconds": round(time.monotonic() - began, 1),
        "epochs": curve,
    }
    write_json(folder / LOSS, record)
    return load_model(folder / CHECKPOINT, execution.device, tuple(curve))


def check_intensities(source: ArrayLike, model: TrainedModel, bad_slices: Collection[int] = ()) -> None:
    """Refuse a model that was trained on intensities far from those of an acquisition.

    Raises
    ------
    NetworkError
        If the means differ by more than four standard deviations of the training data, or the standard deviations
        by more than a factor of four, as happens with another bit depth or inverted contrast.
    """
    chosen = spread_slices(source.shape[0], 5, bad_slices)
    slices = [values[::4, ::4].astype(np.float64) for values in read_slices(source, chosen)]
    mean, std = float(np.mean(slices)), float(np.std(slices))
    offset = abs(mean - model.mean) / model.scale
    spread = (std + 1e-6) / model.scale
    if offset > _MAX_OFFSET or not 1 / _MAX_SPREAD <= spread <= _MAX_SPREAD:
        raise NetworkError(
            f"{model.path} was trained on intensities of {model.mean:.1f} ± {model.std:.1f}, "
            f"this acquisition has {mean:.1f} ± {std:.1f}; give a checkpoint for the same detector settings and bit depth, "
            "or leave denoising.model empty to train one"
        )


def _training_settings(
    source: ArrayLike, parameters: DenoisingParameters, bad_slices: Collection[int]
) -> dict[str, Any]:
    """Collect all that a training depends on and that is known without reading the acquisition."""
    return {
        "parameters": training_parameters(parameters),
        "shape": list(source.shape),
        "dtype": np.dtype(source.dtype).name,
        "bad_slices": sorted(bad_slices),
    }


def _finished_training(folder: Path, settings: Mapping[str, Any]) -> tuple[Mapping[str, float], ...] | None:
    """Read the loss curve of a finished training under these settings; None if there is none or its checkpoint is damaged."""
    record = read_json(folder / LOSS)
    checkpoint = folder / CHECKPOINT
    if record is None or record.get("settings") != settings or not checkpoint.is_file():
        return None
    if record.get("checkpoint_sha256") != file_digest(checkpoint):
        return None
    return tuple(record["epochs"])
