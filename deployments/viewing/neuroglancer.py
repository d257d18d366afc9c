"""Neuroglancer's state of a volume, as JSON, and the link that carries it."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from deployments.viewing.layers import Layer

M_PER_NM = 1e-9
PANEL_PX = 500
SHADER = "#uicontrol invlerp normalized\nvoid main() {\n  emitGrayscale(normalized());\n}\n"
FIELD_SHADER = "#uicontrol invlerp normalized\nvoid main() {\n  emitRGB(colormapJet(normalized()));\n}\n"
SHOWN_TYPES = ("uint8", "uint16", "uint32", "float32")


def viewer_state(layers: Sequence[Layer], volume_url: str) -> dict[str, Any]:
    """State that shows the layers, centred on the first of them.

    Parameters
    ----------
    layers
        The first one gives the coordinates. Layers of types that Neuroglancer does not know (float16) are left out.
    volume_url
        Address of the volume, without a slash at its end.

    Returns
    -------
    dict
        JSON. Dimensions are x, y, z in metres a voxel, so that the first panel shows slices as acquired.
    """
    first = layers[0]
    sides = dict(zip("zyx", first.spacing_nm, strict=True))
    extents = dict(zip("zyx", first.shape, strict=True))
    smallest = min(sides.values())
    longest = max(extents[axis] * sides[axis] for axis in "xyz") / smallest
    shown = [layer for layer in layers if layer.levels[0].dtype.name in SHOWN_TYPES]
    return {
        "dimensions": {axis: [sides[axis] * M_PER_NM, "m"] for axis in "xyz"},
        "position": [extents[axis] / 2 for axis in "xyz"],
        "crossSectionScale": longest / PANEL_PX,
        "projectionScale": 1.5 * longest,
        "layers": [layer_state(layer, volume_url) for layer in shown],
        "selectedLayer": {"layer": first.name, "visible": False},
        "layout": "4panel",
    }


def layer_state(layer: Layer, volume_url: str) -> dict[str, Any]:
    """State of one layer: labels as a segmentation, all else as an image."""
    state: dict[str, Any] = {
        "type": "segmentation" if layer.kind == "labels" else "image",
        "name": layer.name,
        "source": f"zarr://{volume_url}/{layer.group}/",
        "visible": layer.visible,
    }
    if layer.value_range is None:
        return {**state, "selectedAlpha": 0.35}
    return {
        **state,
        "shader": SHADER if layer.kind == "image" else FIELD_SHADER,
        "shaderControls": {"normalized": {"range": list(layer.value_range)}},
    }


def viewer_link(client: str, state: dict[str, Any]) -> str:
    """Link that opens a client with a state."""
    return f"{client.rstrip('/')}/#!{quote(json.dumps(state, separators=(',', ':')), safe='')}"
