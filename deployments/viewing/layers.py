"""Layers of a viewer: the complete images, labels and fields of a volume, with their display ranges."""

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.layout import (
    DENOISED,
    DISTANCE,
    NANOPARTICLES,
    OBJECT_KINDS,
    POSTERIOR,
    RAW,
    REGISTERED,
    SPECIMEN,
    labels_group,
)
from spherovem_core.workflow.artifacts import open_pyramid

logger = logging.getLogger(__name__)

LayerType = Literal["image", "labels", "field"]
IMAGES = (REGISTERED, DENOISED, RAW)
FIELDS = (DISTANCE, POSTERIOR)
KNOWN_RANGES = {POSTERIOR: (0.0, 1.0)}
DISPLAY_PERCENTILES = (0.5, 99.5)
SAMPLE_VOXELS = 20_000_000


@dataclass(frozen=True)
class Layer:
    """One layer of a viewer.

    Attributes
    ----------
    name
        Last part of its group.
    group
        Path of the group in the volume.
    type
        ``image``, ``labels`` or ``field``.
    levels
        Its arrays, the finest first.
    value_range
        Values shown as black and white; None for labels.
    visible
        True if it is shown at first.
    """

    name: str
    group: str
    type: LayerType
    levels: tuple[StoredArray, ...]
    value_range: tuple[float, float] | None
    visible: bool

    @property
    def spacing_nm(self) -> SpacingNm:
        """The voxel size of the finest level in nm."""
        return self.levels[0].spacing_nm

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the finest level."""
        return self.levels[0].shape


def volume_layers(layout: Layout) -> list[Layer]:
    """List every complete image, label array and field of (z, y, x).

    The most processed image and the labels of objects are visible.

    Raises
    ------
    IncompleteArtifactError
        If no image is complete.
    """
    wanted: list[tuple[str, LayerType]] = [(group, "image") for group in IMAGES]
    wanted += [(labels_group(kind), "labels") for kind in OBJECT_KINDS]
    wanted += [(NANOPARTICLES, "labels"), (SPECIMEN, "labels"), *((group, "field") for group in FIELDS)]
    layers: list[Layer] = []
    for group, layer_type in wanted:
        levels = complete_levels(layout, group)
        if levels and not levels[0].details.get("absent") and levels[0].details.get("computed", True):
            shown = None if layer_type == "labels" else KNOWN_RANGES.get(group) or value_range(levels[-1])
            visible = (layer_type == "labels" and group != SPECIMEN) or (layer_type == "image" and not layers)
            layers.append(Layer(group.rpartition("/")[2], group, layer_type, levels, shown, visible))
    if not any(layer.type == "image" for layer in layers):
        raise IncompleteArtifactError(
            f"{layout.folder} holds no complete image; process the acquisition, or name its results folder"
        )
    return layers


def complete_levels(layout: Layout, group: str) -> tuple[StoredArray, ...]:
    """Return the levels of a multiscale group; empty where it is not complete.

    An array that was changed by hand is shown as it is. The log says so: a run would refuse it.
    """
    levels: tuple[StoredArray, ...] = ()
    try:
        finest = open_array(layout, group, changed=True)
        count = len(finest.details.get("level_factors", [1]))
        levels = (finest, *(open_array(layout, group, level, changed=True) for level in range(1, count)))
        open_pyramid(layout, group)
    except IncompleteArtifactError:
        return ()
    except ChangedArtifactError as error:
        logger.warning("%s", error)
    return levels


def value_range(stored: StoredArray) -> tuple[float, float]:
    """Return the display range of an array: percentiles that leave out a few dark and bright voxels.

    Of an array of more than 20 million voxels only every n-th slice is read.
    """
    step = max(1, int(np.prod(stored.shape)) // SAMPLE_VOXELS + 1)
    values = np.concatenate([stored[z].ravel() for z in range(0, stored.shape[0], step)])
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite.astype(np.float32), DISPLAY_PERCENTILES))
    return (low, high) if high > low else (low, low + 1.0)
