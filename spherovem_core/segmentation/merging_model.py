"""Model of boundaries between objects and of contacts between supervoxels, learned from labelled slices, and its file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spherovem_core.errors import NetworkError
from spherovem_core.segmentation.boosted_trees import BoostedTrees
from spherovem_core.segmentation.contact_features import CONTACT_FEATURE_COUNT
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.voxel_features import FEATURE_COUNT
from spherovem_core.store.files import write_bytes

SUFFIX = "-merging.safetensors"
FORMAT = 1
LEARNED = "learned_strongest"
"""Entry of the origin with the threshold that slices chose, where labels in 3D have chosen another."""


@dataclass(frozen=True)
class MergingModel:
    """Learned trees for the boundaries of supervoxels and for their merging.

    Attributes
    ----------
    boundary
        Trees over `voxel_features`: whether a voxel lies at a boundary between two objects.
    contact
        Trees over `contact_features`: whether two touching supervoxels belong to different objects.
    strongest
        Objects are merged while that probability is at most this.
    spacing_nm
        Voxel size of the flows on which the model was learned.
    percentiles
        Intensity percentiles of the volume that become 0 and 1.
    in_sections
        True if sections thicker than their pixels were filtered across as far as the scales reach; False for filters that
        take each voxel for a cube.
    """

    boundary: BoostedTrees
    contact: BoostedTrees
    strongest: float
    spacing_nm: float
    percentiles: tuple[float, float]
    in_sections: bool = False

    def step(self, grid: Grid) -> float:
        """Return the thickness of sections, in pixels, by which `voxel_features` filters on a grid."""
        return grid.spacing_nm[0] / grid.spacing_nm[2] if self.in_sections else 1.0


def merging_model_path(network: str) -> Path:
    """Return the file of the merging model that belongs to a network given by the path of its weights."""
    weights = Path(network).expanduser()
    return weights.with_name(f"{weights.stem}{SUFFIX}")


def find_merging_model(network: str) -> Path | None:
    """Return the file of a network's merging model if there is one; networks known by a name have none."""
    path = merging_model_path(network)
    return path if Path(network).expanduser().is_file() and path.is_file() else None


def write_merging_model(path: Path, model: MergingModel, origin: dict[str, Any]) -> None:
    """Write a model and where it comes from; equal models give equal bytes."""
    from safetensors.numpy import save

    described: dict[str, Any] = {
        "format": FORMAT,
        "strongest": model.strongest,
        "spacing_nm": model.spacing_nm,
        "percentiles": list(model.percentiles),
        "origin": origin,
    }
    if model.in_sections:
        described["in_sections"] = True
    arrays = model.boundary.arrays("boundary") | model.contact.arrays("contact")
    content = save(arrays, {"spherovem": json.dumps(described, sort_keys=True)})
    write_bytes(path, content)


def read_merging_model(path: Path) -> tuple[MergingModel, dict[str, Any]]:
    """Read a model and its origin; no code of the file is run.

    Raises
    ------
    NetworkError
        If the file is damaged or of another kind or version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            described: dict[str, Any] = json.loads((file.metadata() or {})["spherovem"])
            arrays: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if described["format"] != FORMAT:
            raise NetworkError(f"format {described['format']}, this version reads {FORMAT}")
        low, high = described["percentiles"]
        model = MergingModel(
            BoostedTrees.from_arrays(arrays, "boundary", FEATURE_COUNT),
            BoostedTrees.from_arrays(arrays, "contact", CONTACT_FEATURE_COUNT),
            float(described["strongest"]),
            float(described["spacing_nm"]),
            (float(low), float(high)),
            bool(described.get("in_sections", False)),
        )
        return model, dict(described["origin"])
    except (SafetensorError, NetworkError, OSError, ValueError, KeyError, TypeError) as error:
        raise NetworkError(
            f"merging model {path} cannot be used ({str(error) or type(error).__name__}); train it again with spherovem "
            "finetune --volume, or delete it to segment without one"
        ) from error
