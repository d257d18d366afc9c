"""Files that hold the truth of a phantom."""

from __future__ import annotations

import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.phantom import Phantom

_TABLES = ("particles", "other_objects")
_ARRAYS = tuple(f.name for f in fields(Phantom) if f.name not in ("parameters", "spacing_nm", *_TABLES))


def write_truth(phantom: Phantom, path: Path) -> Path:
    """Write images and truth of a phantom to one compressed npz file, and return its path.

    The column C of the table T becomes the array T.C.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(phantom, name) for name in _ARRAYS}
    for table in _TABLES:
        for column, values in getattr(phantom, table).items():
            text = not is_numeric_dtype(values.dtype)
            arrays[f"{table}.{column}"] = values.to_numpy(dtype="U" if text else values.dtype)
    with path.open("wb") as file:
        np.savez_compressed(file, parameters=phantom.parameters.model_dump_json(), **arrays)
    return path


def read_truth(path: Path) -> Phantom:
    """Read a phantom written by `write_truth`.

    Raises
    ------
    IncompleteArtifactError
        If the file is damaged, holds no phantom, or one of another version.
    """
    if not zipfile.is_zipfile(path):
        raise IncompleteArtifactError(
            f"{path} is absent or not a complete npz file; write it again with write_truth"
        )
    with np.load(path, allow_pickle=False) as file:
        wanted = ("parameters", *_ARRAYS, *(f"{table}.label" for table in _TABLES))
        absent = [name for name in wanted if name not in file.files]
        if absent:
            raise IncompleteArtifactError(
                f"{path} is not the truth of a phantom of this version: it lacks {', '.join(absent)}; "
                "write it again with write_truth"
            )
        parameters = PhantomParameters.model_validate_json(str(file["parameters"]))
        arrays: dict[str, Any] = {name: file[name] for name in _ARRAYS}
        for table in _TABLES:
            names = [name for name in file.files if name.startswith(f"{table}.")]
            arrays[table] = pd.DataFrame({name.removeprefix(f"{table}."): file[name] for name in names})
    return Phantom(parameters=parameters, spacing_nm=parameters.spacing_nm, **arrays)
