"""Files that hold the truth of a phantom."""

from __future__ import annotations

import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.synthetic.phantom.generate import Phantom
from spherovem_core.synthetic.phantom.parameters import PhantomParameters

_ARRAYS = tuple(f.name for f in fields(Phantom) if f.name not in ("parameters", "spacing_nm"))


def write_truth(phantom: Phantom, path: Path) -> Path:
    """Write images and truth of a phantom to one compressed npz file, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(phantom, name) for name in _ARRAYS}
    with path.open("wb") as file:
        np.savez_compressed(file, parameters=phantom.parameters.model_dump_json(), **arrays)
    return path


def read_truth(path: Path) -> Phantom:
    """Read a phantom written by `write_truth`.

    Raises
    ------
    IncompleteArtifactError
        If the file is damaged or holds no phantom.
    """
    if not zipfile.is_zipfile(path):
        raise IncompleteArtifactError(
            f"{path} is absent or not a complete npz file; write it again with write_truth"
        )
    with np.load(path, allow_pickle=False) as file:
        absent = [name for name in ("parameters", *_ARRAYS) if name not in file.files]
        if absent:
            raise IncompleteArtifactError(
                f"{path} is not the truth of a phantom: it lacks {', '.join(absent)}; write it with write_truth"
            )
        parameters = PhantomParameters.model_validate_json(str(file["parameters"]))
        arrays = {name: file[name] for name in _ARRAYS}
    return Phantom(parameters=parameters, spacing_nm=parameters.spacing_nm, **arrays)
