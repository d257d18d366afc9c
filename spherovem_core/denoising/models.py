"""The model of an acquisition: trained on it, or brought from another."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.network import TrainedModel, load_model
from spherovem_core.denoising.sampling import read_slices, spread_slices
from spherovem_core.denoising.training import train_n2v
from spherovem_core.errors import NetworkError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoiseParameters

# A network sees intensities in units of its training's spread; far outside it was never asked anything.
_MAX_OFFSET = 4.0
_MAX_SPREAD = 4.0


def obtain_model(
    source: ArrayLike,
    folder: Path,
    parameters: DenoiseParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
) -> TrainedModel:
    """Load the checkpoint that `parameters.model` names, or train one into `folder`.

    Raises
    ------
    NetworkError
        If the checkpoint is missing, damaged, of another kind, or was trained on quite other intensities.
    """
    if parameters.model is None:
        return train_n2v(source, folder, parameters, execution, bad_slices)
    model = load_model(Path(parameters.model), execution.device)
    check_intensities(source, model, bad_slices)
    return model


def check_intensities(source: ArrayLike, model: TrainedModel, bad_slices: Collection[int] = ()) -> None:
    """Refuse a model whose training intensities are far from those of an acquisition.

    Raises
    ------
    NetworkError
        If the means differ by more than four standard deviations of the training, or the standard deviations by a factor of
        four, as with another bit depth or inverted contrast.
    """
    chosen = spread_slices(source.shape[0], 5, bad_slices)
    slices = [values[::4, ::4].astype(np.float64) for values in read_slices(source, chosen)]
    mean, std = float(np.mean(slices)), float(np.std(slices))
    offset = abs(mean - model.mean) / model.scale
    spread = (std + 1e-6) / model.scale
    if offset > _MAX_OFFSET or not 1 / _MAX_SPREAD <= spread <= _MAX_SPREAD:
        raise NetworkError(
            f"{model.path} was trained on intensities of {model.mean:.1f} ± {model.std:.1f}, "
            f"this acquisition has {mean:.1f} ± {std:.1f}; bring a checkpoint of the same detector settings and bit depth, "
            "or leave denoising.model empty to train one"
        )
