"""Pictures of a step's result for the Prefect UI: the middle slice, from a coarse level of the pyramid."""

import logging
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import SpheroVemError
from spherovem_core.references import ArtifactRef
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.layout import VOLUME
from tasks.artifacts import show_picture

logger = logging.getLogger(__name__)

LARGEST_SIDE = 640
"""Pixels; the artifact holds the picture itself."""


def show_middle_slice(key: str, reference: ArtifactRef, layout: Layout, description: str) -> None:
    """Show the middle slice of a finished image, of labels in colours, or of the cell probability of flows.

    A picture of an array that cannot be read is left out and logged, since it must not fail a run.
    """
    try:
        group = reference.path.removeprefix(f"{VOLUME}/").rpartition("/")[0]
        stored = _coarse_level(layout, group, reference.digest)
        values = (
            stored[(-1, stored.shape[1] // 2)] if len(stored.shape) == 4 else stored[stored.shape[0] // 2]
        )
        pixels = coloured(values) if stored.dtype == np.uint32 else grey(values)
        png = imagecodecs.png_encode(pixels)
    except (SpheroVemError, OSError) as error:
        logger.debug("no picture of %s: %s", reference.path, error)
        return
    show_picture(f"{key} picture", bytes(png), description)


def grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale to 0..255 between the 1st and the 99th percentile."""
    thinned = thin(values).astype(np.float32)
    low, high = np.percentile(thinned, (1, 99))
    scaled = (thinned - low) / max(high - low, 1e-6)
    return np.asarray(255 * np.clip(scaled, 0, 1), np.uint8)


def coloured(labels: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Colour each label differently, with a black background."""
    thinned = thin(labels)
    mixed = thinned.astype(np.uint64) * np.uint64(2654435761)
    channels = [(mixed >> np.uint64(shift)).astype(np.uint8) // 2 + 96 for shift in (7, 13, 19)]
    return np.where(thinned[..., None] > 0, np.stack(channels, -1), 0).astype(np.uint8)


def thin(values: NDArray[Any]) -> NDArray[Any]:
    """Keep every nth pixel, so that no side is longer than `LARGEST_SIDE`."""
    step = -(-max(values.shape) // LARGEST_SIDE)
    return np.ascontiguousarray(values[::step, ::step])


def _coarse_level(layout: Layout, group: str, digest: str) -> StoredArray:
    """Open the finest level that needs no thinning, or the coarsest."""
    finest = open_array(layout, group, digest=digest)
    levels = [finest, *(open_array(layout, group, n) for n in range(1, len(finest.details["level_factors"])))]
    return next((level for level in levels if max(level.shape[-2:]) <= LARGEST_SIDE), levels[-1])
