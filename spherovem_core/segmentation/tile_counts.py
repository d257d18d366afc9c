"""Number and side of the tiles that Cellpose lays over planes, known without a network."""

import math
from collections.abc import Sequence
from typing import Literal

TILE = 256
"""Side in pixels of the tiles of Cellpose-SAM, and of the largest ones of the compact networks."""
STEP = 16
"""Cellpose pads planes to multiples of this, and by half of it on each side."""


def tile_side(shape: Sequence[int], multiple: int = TILE) -> int:
    """Return the side of the tiles in pixels: 256, or less if the network allows it and the longest side fits with its padding.

    Cellpose pads each plane by 8 pixels or more on each side, and to whole tiles, which takes most of the time in a small volume.

    Parameters
    ----------
    shape
        The volume, or a plane.
    multiple
        Tiles of the network may have any side that is a multiple of this.
    """
    return min(TILE, -(-(max(shape) + STEP) // multiple) * multiple)


def tiles_along(extent: int, side: int, overlap: float) -> int:
    """Count the tiles along one side of a plane, as `cellpose.core.run_net` lays them."""
    padded = -(-extent // STEP) * STEP + STEP if extent >= side else max(side, extent + STEP)
    return 1 if padded <= side else math.ceil((1 + 2 * overlap) * padded / side)


def count_tiles(shape: Sequence[int], side: int, overlap: float, planes: Literal["all", "xy"] = "all") -> int:
    """Count the tiles of all planes of a volume (Z, Y, X), those without specimen included.

    Examples
    --------
    >>> count_tiles((512, 512, 512), 256, 0.1)
    13824
    """
    along = [tiles_along(n, side, overlap) for n in shape]
    axes = (0,) if planes == "xy" else (0, 1, 2)
    return sum(shape[axis] * math.prod(along) // along[axis] for axis in axes)
