"""References to results with their digests: steps exchange references, never arrays."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spherovem_core.spacing import SideNm, SpacingNm


class Acquisition(BaseModel):
    """One acquisition: its name, its source and the place of its results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        description="Name of the acquisition: the name of its results folder.",
        min_length=1,
        max_length=200,
        pattern=r"^[^/\\\x00]+$",
    )
    source: Path = Field(
        description="Folder of slices in one file each, one file of several slices, or a folder that is one volume, as acquired; "
        "on disk or as a URL."
    )
    results_root: Path = Field(description="Folder that holds one results folder per acquisition.")

    @field_validator("name")
    @classmethod
    def _stays_below_the_root(cls, name: str) -> str:
        if name in (".", ".."):
            raise ValueError(
                f"the name {name!r} would place results outside their own folder; choose another"
            )
        return name

    @property
    def folder(self) -> Path:
        """Results folder of this acquisition."""
        return self.results_root / self.name


class FineTuningFolders(BaseModel):
    """Labelled slices, and the folder for the network that is trained on them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slices: Path = Field(
        description="Folder of slices NAME.tif with labels/NAME-cells.tif or labels/NAME-nuclei.tif."
    )
    out: Path = Field(description="Folder for weights.pt, its manifest, scores and pictures.")
    volume: Path | None = Field(
        default=None,
        description="Results folder of the acquisition from which the slices were cut: boundaries and merging in 3D are learned "
        "there, into weights-merging.safetensors.",
    )
    labels_3d: str | None = Field(
        default=None,
        description="Labels in 3D of a part of that volume, on the grid of its registered image or with a place of their own: "
        "they choose the parameters of masks. All within their bounding box counts as labelled.",
    )


class Comparison(BaseModel):
    """A segmentation, its truth, and the folder for the scores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predicted: str = Field(
        min_length=1,
        description="Predicted labels: a zarr array or OME-Zarr image, FILE.npz:NAME, npy or TIFF.",
    )
    truth: str = Field(min_length=1, description="True labels of the same shape.")
    out: Path = Field(description="Folder for evaluation.json and the tables of objects.")
    spacing_nm: tuple[SideNm, SideNm, SideNm] | None = Field(
        default=None, description="Voxel size z, y, x in nm; left empty, that of the files."
    )
    image: str | None = Field(
        default=None,
        description="Image of the same shape, under the outlines in the picture of the worst errors.",
    )


class ArtifactRef(BaseModel):
    """A finished array, table or file of one acquisition.

    `store` is the acquisition's results folder and `path` the artifact's path inside it, for an array
    down to its finest level (``volume.zarr/raw/0``). `shape` is (rows, columns) for a table and empty for a file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    spacing_nm: SpacingNm
    digest: str

    @property
    def location(self) -> Path:
        """Path of the artifact on disk."""
        return Path(self.store) / self.path


def canonical_json(value: Any) -> str:
    """Serialise to JSON such that equal values give equal text: keys sorted, no white space.

    Raises
    ------
    TypeError
        If the value holds anything that JSON does not know.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def step_digest(
    step: str,
    version: int,
    parameters: BaseModel | Mapping[str, Any],
    inputs: Iterable[str],
    external: Mapping[str, str] | None = None,
) -> str:
    """Compute the digest of a step's result before the step runs.

    Parameters
    ----------
    step
        Name of the step.
    version
        Raised whenever the step's result would change.
    parameters
        All that changes the result, as JSON values; devices, workers and paths do not belong here.
    inputs
        Digests of the steps that it reads from, in order.
    external
        Digests of the inputs of the step outside the results folder, by name.

    Returns
    -------
    str
        sha256 in hexadecimal.
    """
    parts = [step, str(version), canonical_json(parameters), canonical_json(dict(external or {})), *inputs]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
