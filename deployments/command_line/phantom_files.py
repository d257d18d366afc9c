"""Files of a phantom acquisition: its slices, and its truth beside their folder."""

import logging
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spherovem_core.errors import IncompleteArtifactError, ParameterError
from spherovem_core.overrides import explain
from spherovem_core.synthetic.phantom import (
    Phantom,
    PhantomParameters,
    make_phantom,
    read_truth,
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
    return _write(make_phantom(parameters), source)


def write_phantom(source: Path, **chosen: Any) -> Phantom:
    """Write a phantom acquisition and its truth.

    Raises
    ------
    ParameterError
        If a field of `PhantomParameters` is out of bounds.
    """
    try:
        parameters = PhantomParameters.model_validate(chosen)
    except ValidationError as error:
        raise ParameterError(explain(error, PhantomParameters)) from error
    return _write(make_phantom(parameters), source)


def truth_path_of(source: Path) -> Path:
    """Return the path of a phantom's truth, beside the folder of its slices."""
    return source.with_name(f"{source.name}.truth.npz")


def _write(phantom: Phantom, source: Path) -> Phantom:
    write_acquisition(phantom, source)
    write_truth(phantom, truth_path_of(source))
    return phantom
