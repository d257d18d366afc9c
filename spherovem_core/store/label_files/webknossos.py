"""Description of a webKnossos dataset, ``datasource-properties.json``: layers, axes and voxel size."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.volume import triple
from spherovem_core.store.ome import NM_PER_UNIT

WEBKNOSSOS = "datasource-properties.json"


def segmentation_layer(dataset: Path) -> Path:
    """Return the folder of the only segmentation of a dataset, or of its finest array where the layer is no OME-Zarr image.

    Raises
    ------
    LabelsError
        If there is none, or several.
    """
    description = _read(dataset)
    try:
        layers = [layer for layer in description["dataLayers"] if layer["category"] == "segmentation"]
        names = [str(layer["name"]) for layer in layers]
    except (KeyError, TypeError) as error:
        raise LabelsError(
            f"{dataset / WEBKNOSSOS} lists no layers ({error}); export the dataset again"
        ) from error
    if len(layers) != 1:
        listed = ", ".join(str(dataset / name) for name in names) or "none"
        raise LabelsError(
            f"{dataset} has {len(layers)} segmentation layers; name the folder of one: {listed}"
        )
    folder = dataset / names[0]
    return folder if any((folder / name).is_file() for name in ("zarr.json", ".zattrs")) else folder / "1"


def webknossos_axes(array: Path) -> Sequence[str]:
    """Return the names of the axes of an array such as ``DATASET/segmentation/2-2-1``; none where it is in no dataset."""
    dataset = array.parent.parent
    if not (dataset / WEBKNOSSOS).is_file():
        return ()
    for layer in _read(dataset).get("dataLayers", []):
        for size in layer.get("mags", []) if layer.get("name") == array.parent.name else []:
            order = size.get("axisOrder") or {"c": 0, "x": 1, "y": 2, "z": 3}
            return sorted(order, key=lambda axis: int(order[axis]))
    return ("c", "x", "y", "z")


def webknossos_geometry(path: Path) -> tuple[SpacingNm | None, SpacingNm | None]:
    """Return voxel size and offset of an array such as ``DATASET/segmentation/2-2-1``, or of a layer's finest.

    Positions count from the corner of the finest voxel, so that a coarser one begins half a voxel later.
    """
    candidates = ((path.parent.parent, path.name), (path.parent, "1"))
    dataset, size = next((pair for pair in candidates if (pair[0] / WEBKNOSSOS).is_file()), (path, ""))
    if not size:
        return None, None
    try:
        scale = _read(dataset)["scale"]
        factor, unit = (scale["factor"], scale["unit"]) if isinstance(scale, dict) else (scale, "nanometer")
        sides = np.array(factor[::-1], float) * NM_PER_UNIT[unit]
        times = np.array([int(number) for number in size.split("-")][::-1])
    except (ValueError, KeyError, TypeError):
        return None, None
    return triple(sides * times), triple(sides * (np.broadcast_to(times, 3) - 1) / 2)


def _read(dataset: Path) -> Any:
    try:
        return json.loads((dataset / WEBKNOSSOS).read_text())
    except (OSError, ValueError) as error:
        raise LabelsError(
            f"{dataset / WEBKNOSSOS} cannot be read ({error}); export the dataset again"
        ) from error
