"""Files of a phantom acquisition: its slices, and its truth beside their folder."""

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deployments.command_line.text_tables import text_table
from spherovem_core.errors import IncompleteArtifactError, ParameterError
from spherovem_core.overrides import explain
from spherovem_core.synthetic.phantom import (
    SCENES,
    Phantom,
    PhantomParameters,
    make_phantom,
    read_truth,
    settings_of,
    write_acquisition,
    write_truth,
)

logger = logging.getLogger(__name__)


def ensure_phantom(source: Path, parameters: PhantomParameters) -> Phantom:
    """Return the phantom of a source folder; write it first unless it was made with the same parameters."""
    truth_path = truth_path_of(source)
    if truth_path.exists() and (source / "acquisition.json").exists():
        try:
            truth = read_truth(truth_path)
        except IncompleteArtifactError as error:
            logger.warning("%s; making the phantom again", error)
        else:
            if truth.parameters == parameters:
                return truth
    logger.info("making a phantom acquisition of %s voxels", " x ".join(map(str, parameters.shape)))
    return _write(parameters, source)


def write_phantom(source: Path, scenes: Iterable[str], chosen: Mapping[str, Any]) -> Phantom:
    """Write a phantom acquisition and its truth.

    Parameters
    ----------
    scenes
        Names of scenes.
    chosen
        Fields of `PhantomParameters`, which win over those that the scenes set.

    Raises
    ------
    ParameterError
        If there is no scene of a name, or a field of `PhantomParameters` is unknown or out of bounds.
    """
    try:
        parameters = PhantomParameters.model_validate({**settings_of(scenes), **chosen})
    except ValidationError as error:
        raise ParameterError(explain(error, PhantomParameters)) from error
    return _write(parameters, source)


def truth_path_of(source: Path) -> Path:
    """Return the path of a phantom's truth, beside the folder of its slices."""
    return source.with_name(f"{source.name}.truth.npz")


def scene_table() -> str:
    """List the scenes with what they show and the parameters they set."""
    rows = [
        (scene.name, scene.summary, " ".join(f"{name}={value}" for name, value in scene.sets.items()))
        for scene in SCENES.values()
    ]
    return text_table(("scene", "images", "sets"), rows)


def _write(parameters: PhantomParameters, source: Path) -> Phantom:
    """Make a phantom in a thread per core, which changes no byte, and write it."""
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        phantom = make_phantom(parameters, executor=executor)
    write_acquisition(phantom, source)
    write_truth(phantom, truth_path_of(source))
    return phantom
