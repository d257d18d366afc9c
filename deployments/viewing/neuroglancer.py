"""State of Neuroglancer for a volume, as JSON, and the link that carries it."""

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
    """Return the state that shows the layers, centred on the first of them.

    Parameters
    ----------
    layers
        The first one gives the coordinates. Layers of a type that Neuroglancer does not know (float16) are left out.
    volume_url
        Address of the volume, without a slash at the end.

    Returns
    -------
    dict
        JSON document. Dimensions are x, y, z in metres per voxel, so that the first panel shows slices as acquired.
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
    """Return the state of one layer: labels as a segmentation, other arrays as an image."""
    state: dict[str, Any] = {
        "type": "segmentation" if layer.type == "labels" else "image",
        "name": layer.name,
        "source": f"zarr://{volume_url}/{layer.group}/",
        "visible": layer.visible,
    }
    if layer.value_range is None:
        return {**state, "selectedAlpha": 0.35}
    return {
        **state,
        "shader": SHADER if layer.type == "image" else FIELD_SHADER,
        "shaderControls": {"normalized": {"range": list(layer.value_range)}},
    }


def viewer_link(client: str, state: dict[str, Any]) -> str:
    """Return the link that opens a client with a state."""
    return f"{client.rstrip('/')}/#!{quote(json.dumps(state, separators=(',', ':')), safe='')}"
