"""Description of a webKnossos dataset, ``datasource-properties.json``: layers, axes and voxel size."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.label_files.volume import triple
from spherovem_core.store.ome import NM_PER_UNIT, multiscale_of

WEBKNOSSOS = "datasource-properties.json"
GROUP_FILES, ARRAY_FILES = ("zarr.json", ".zattrs"), ("zarr.json", ".zarray")


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
    return finest_array(dataset / names[0])


def is_layer(path: Path) -> bool:
    """Return whether a folder is one of the layers that a dataset around it lists."""
    if not (path.parent / WEBKNOSSOS).is_file():
        return False
    return any(layer.get("name") == path.name for layer in _layers(path.parent))


def finest_array(layer: Path) -> Path:
    """Return the folder of the finest array of a layer, or the layer itself where it is an OME-Zarr image.

    Raises
    ------
    LabelsError
        If the layer is none of labels, or none of its arrays is there.
    """
    own = next((each for each in _layers(layer.parent) if each.get("name") == layer.name), {})
    category = own.get("category", "segmentation")
    if category != "segmentation":
        others = [
            each.get("name") for each in _layers(layer.parent) if each.get("category") == "segmentation"
        ]
        listed = ", ".join(str(layer.parent / str(name)) for name in others) or "none"
        raise LabelsError(
            f"{layer} is a layer of the category {category}; name one of the category segmentation: {listed}"
        )
    if any(_is_image(layer / name) for name in GROUP_FILES):
        return layer
    arrays = [path.parent for name in ARRAY_FILES for path in layer.glob(f"*/{name}")]
    sizes = {path: _magnification(path.name) for path in arrays if _magnification(path.name)}
    if not sizes:
        raise LabelsError(
            f"{layer} holds no array of a magnification, such as 1 or 2-2-1; export the dataset as zarr or zarr3"
        )
    return min(sizes, key=lambda path: sizes[path])


def _is_image(file: Path) -> bool:
    """Return whether the attributes of a layer describe an OME-Zarr image that zarr can open.

    The webknossos package writes ``"zarr_format": "2"`` into ``.zgroup``, as text, which zarr refuses.
    """
    if not file.is_file() or not multiscale_of(_attributes(file)):
        return False
    return file.name == "zarr.json" or _attributes(file.with_name(".zgroup")).get("zarr_format") == 2


def _magnification(name: str) -> int:
    """Return the voxels of magnification 1 in one voxel of an array, by its name such as 2-2-1; 0 for another name."""
    parts = name.split("-")
    if len(parts) not in (1, 3) or not all(part.isdigit() for part in parts):
        return 0
    return math.prod(int(part) for part in parts) if len(parts) == 3 else int(parts[0]) ** 3


def _layers(dataset: Path) -> list[dict[str, Any]]:
    layers = _read(dataset).get("dataLayers", [])
    return [layer for layer in layers if isinstance(layer, dict)]


def _attributes(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return dict(document.get("attributes", {}) if file.name == "zarr.json" else document)


def webknossos_axes(array: Path) -> Sequence[str]:
    """Return the names of the axes of an array such as ``DATASET/segmentation/2-2-1``; none where it is in no dataset."""
    dataset = array.parent.parent
    if not (dataset / WEBKNOSSOS).is_file():
        return ()
    for layer in _layers(dataset):
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
