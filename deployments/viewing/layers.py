"""What of a volume a viewer shows: complete images, labels and fields, with the range of their values."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.intensity_ranges import percentile_range
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
    labels_group,
)

Kind = Literal["image", "labels", "field"]
IMAGES = (REGISTERED, DENOISED, RAW)
FIELDS = (DISTANCE, POSTERIOR)
KNOWN_RANGES = {POSTERIOR: (0.0, 1.0)}
SHOWN_SHARE = (0.5, 99.5)
SAMPLE_VOXELS = 20_000_000


@dataclass(frozen=True)
class Layer:
    """One layer of a viewer.

    Attributes
    ----------
    name
        The last part of its group.
    levels
        Its arrays, the finest first.
    value_range
        Values from black to white; None for labels.
    visible
        Whether it is shown at first.
    """

    name: str
    group: str
    kind: Kind
    levels: tuple[StoredArray, ...]
    value_range: tuple[float, float] | None
    visible: bool

    @property
    def spacing_nm(self) -> SpacingNm:
        """Voxel size of the finest level."""
        return self.levels[0].spacing_nm

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the finest level."""
        return self.levels[0].shape


def volume_layers(layout: Layout) -> list[Layer]:
    """Layers of every complete image, label and field of (z, y, x); the most processed image and the labels are visible.

    Raises
    ------
    IncompleteArtifactError
        If no image is complete.
    """
    wanted: list[tuple[str, Kind]] = [(group, "image") for group in IMAGES]
    wanted += [(labels_group(kind), "labels") for kind in OBJECT_KINDS]
    wanted += [(NANOPARTICLES, "labels"), *((group, "field") for group in FIELDS)]
    layers: list[Layer] = []
    for group, kind in wanted:
        levels = complete_levels(layout, group)
        if levels:
            shown = None if kind == "labels" else KNOWN_RANGES.get(group) or value_range(levels[-1])
            visible = kind == "labels" or (kind == "image" and not layers)
            layers.append(Layer(group.rpartition("/")[2], group, kind, levels, shown, visible))
    if not any(layer.kind == "image" for layer in layers):
        raise IncompleteArtifactError(
            f"{layout.folder} holds no complete image to look at; process the acquisition, or name its results folder"
        )
    return layers


def complete_levels(layout: Layout, group: str) -> tuple[StoredArray, ...]:
    """Levels of a complete multiscale group, empty where it is not complete."""
    try:
        finest = open_array(layout, group)
        count = len(finest.details.get("level_factors", [1]))
        return finest, *(open_array(layout, group, level) for level in range(1, count))
    except IncompleteArtifactError:
        return ()


def value_range(stored: StoredArray) -> tuple[float, float]:
    """Percentiles of a coarse level that leave out a few dark and bright voxels; of every n-th slice where it is large."""
    step = max(1, int(np.prod(stored.shape)) // SAMPLE_VOXELS + 1)
    values = np.concatenate([stored[z].ravel() for z in range(0, stored.shape[0], step)])
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    return percentile_range(finite.astype(np.float32), SHOWN_SHARE)
