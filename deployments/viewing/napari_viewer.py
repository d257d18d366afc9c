"""A volume in napari, where napari is installed."""

import importlib
from collections.abc import Sequence
from typing import Any

from deployments.viewing.layers import Layer
from spherovem_core.errors import SpheroVemError
from spherovem_core.spacing import spacing_um


class MissingViewerError(SpheroVemError, ModuleNotFoundError):
    """The chosen viewer is not installed."""


def open_in_napari(layers: Sequence[Layer], title: str) -> None:
    """Open a window with the layers in µm; return when it is closed.

    Raises
    ------
    MissingViewerError
        If napari is not installed.
    """
    napari = import_napari()
    viewer = napari.Viewer(title=title)
    for layer in reversed([layer for layer in layers if layer.type == "image"]):
        add_layer(viewer, layer)
    for layer in (layer for layer in layers if layer.type != "image"):
        add_layer(viewer, layer)
    viewer.scale_bar.visible = True
    napari.run()


def import_napari() -> Any:
    """Import napari, which takes seconds.

    Raises
    ------
    MissingViewerError
        If napari is not installed.
    """
    try:
        return importlib.import_module("napari")
    except ModuleNotFoundError as error:
        raise MissingViewerError(
            f"napari cannot be imported ({error}); install it with: pip install 'napari[all]', "
            "or leave out --with napari to look at the volume in a browser"
        ) from error


def add_layer(viewer: Any, layer: Layer) -> None:
    """Add a layer as a pyramid, of which napari reads only the visible part."""
    options: dict[str, Any] = {
        "name": layer.name,
        "scale": spacing_um(layer.spacing_nm),
        "translate": spacing_um(layer.levels[0].origin_nm),
        "units": ("µm", "µm", "µm"),
        "multiscale": True,
        "visible": layer.visible,
    }
    levels = [level.array for level in layer.levels]
    if layer.type == "labels":
        viewer.add_labels(levels, **options)
    else:
        viewer.add_image(levels, contrast_limits=layer.value_range, **options)
