"""Places of slices for labelling: spread at random, or where the segmentation is most uncertain."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import Region
from spherovem_core.parameters import SliceCuttingParameters
from spherovem_core.segmentation.fine_tuning.uncertainty import TILE

REACH_TILES = 1.25
"""Standard deviation of the distance, in tiles along the slice's axis, within which a slice teaches the same as its neighbour:
10 voxels of the network's grid, half a cell."""
TAUGHT = 0.9
"""Part of the uncertainty that a slice takes away where it lies; a slice in another plane may still show the same place."""
FEWEST_FRACTION = 0.2
"""Each plane gets at least this fraction of the slices: the network sees all three, and slices of each are held out."""

Place = tuple[int, Region]
"""Axis across a slice, and its region on the network's grid with a thickness of one voxel along that axis."""


def spread_places(shape: tuple[int, int, int], parameters: SliceCuttingParameters) -> list[Place]:
    """Draw places in the three planes, spread over the volume.

    Along the axis across a plane the volume is divided into equal parts, one for each slice, which lies at a random place in its
    part; its window within the plane is random too.

    Returns
    -------
    list of (int, region)
        First the slices across z (plane xy), then those across y and x if all planes are wanted; fewer where the volume is
        thinner than `slices_per_plane`.
    """
    return [(axis, region) for axis in _axes(parameters) for region in _spread(shape, axis, parameters)]


def uncertain_places(
    tiles: NDArray[np.float32], shape: tuple[int, int, int], parameters: SliceCuttingParameters
) -> list[Place]:
    """Choose places and planes by uncertainty, one after another.

    Each is the window with the largest mean. What lies near it then counts less for those that follow, in all planes, so that
    they do not show the same objects.

    Parameters
    ----------
    tiles : ndarray
        From `uncertainty_tiles`, times any weight of 0 or more.
    shape
        Extents of the network's grid.

    Returns
    -------
    list of (int, region)
        At most `slice_count`, ordered by axis and position; none where the tiles are 0.
    """
    left, possible = tiles.astype(np.float64), _axes(parameters)
    fewest = min(int(FEWEST_FRACTION * parameters.slice_count), parameters.slice_count // len(possible))
    chosen: list[Place] = []
    taken: tuple[list[Region], ...] = ([], [], [])
    while len(chosen) < parameters.slice_count:
        missing = [axis for axis in possible if sum(a == axis for a, _ in chosen) < fewest]
        wanted = parameters.slice_count - len(chosen)
        owed = sum(fewest - sum(a == axis for a, _ in chosen) for axis in missing)
        axes = missing if missing and owed >= wanted else possible
        found = [(*_best_window(left, axis, shape, parameters.side_px, taken[axis]), axis) for axis in axes]
        mean, window, axis = max(found, key=lambda each: each[0])
        if mean <= 0:
            break
        beside = sum(other[axis] == window[axis] for other in taken[axis])
        chosen.append((axis, _region(window, axis, shape, parameters.side_px, beside)))
        taken[axis].append(window)
        _fade(left, axis, window)
    return sorted(chosen, key=lambda place: (place[0], [side.start for side in place[1]]))


def _axes(parameters: SliceCuttingParameters) -> tuple[int, ...]:
    """Return the axes across which slices are cut."""
    return (0,) if parameters.planes == "xy" else (0, 1, 2)


def _spread(shape: tuple[int, int, int], axis: int, parameters: SliceCuttingParameters) -> list[Region]:
    generator = np.random.default_rng((parameters.seed, axis))
    count = min(parameters.slices_per_plane, shape[axis])
    borders = np.linspace(0, shape[axis], count + 1).round().astype(int)
    regions = []
    for low, high in pairwise(borders.tolist()):
        region = []
        for extent in shape:
            side = min(extent, parameters.side_px)
            start = int(generator.integers(0, extent - side + 1))
            region.append(slice(start, start + side))
        place = int(generator.integers(low, high))
        region[axis] = slice(place, place + 1)
        regions.append(tuple(region))
    return regions


def _best_window(
    tiles: NDArray[np.float64],
    axis: int,
    shape: tuple[int, int, int],
    side_px: int,
    taken: Sequence[Region],
) -> tuple[float, Region]:
    """Return the largest mean of a window across an axis that is not taken, and the window in tiles."""
    sides = [1 if n == axis else min(extent, -(-side_px // TILE)) for n, extent in enumerate(tiles.shape)]
    means = tiles
    for n, side in enumerate(sides):
        # The window that starts at a position: `origin` moves the centre of the filter there.
        means = ndimage.uniform_filter1d(means, side, axis=n, mode="nearest", origin=-(side // 2))
    possible = means[
        tuple(slice(0, extent - side + 1) for extent, side in zip(tiles.shape, sides, strict=True))
    ]
    possible = possible.copy()
    positions = [window[axis].start for window in taken]
    for window in taken:
        # No two slices of a plane have one position; a tile holds as many as it has voxels across them.
        full = positions.count(window[axis].start) >= min(TILE, shape[axis] - window[axis].start * TILE)
        possible[
            tuple(slice(None) if full and n != axis else side.start for n, side in enumerate(window))
        ] = 0
    start = np.unravel_index(int(possible.argmax()), possible.shape)
    window = tuple(slice(int(a), int(a) + side) for a, side in zip(start, sides, strict=True))
    return float(possible.max()), window


def _region(window: Region, axis: int, shape: tuple[int, int, int], side_px: int, beside: int) -> Region:
    """Return the region in voxels: near the middle of the tile across the slice, the window moved into the volume.

    Slices of one plane differ in their position, by which files are named: each slice that lies in these tiles already moves the
    next one on.
    """
    region = []
    for n, (side, extent) in enumerate(zip(window, shape, strict=True)):
        if n == axis:
            low, high = side.start * TILE, min(extent, side.stop * TILE)
            place = low + ((high - low) // 2 + beside) % (high - low)
            region.append(slice(place, place + 1))
        else:
            size = min(extent, side_px)
            start = min(side.start * TILE, extent - size)
            region.append(slice(start, start + size))
    return tuple(region)


def _fade(tiles: NDArray[np.float64], axis: int, window: Region) -> None:
    """Lower the tiles that a slice shows, and its neighbours across it, in place."""
    distance = np.arange(tiles.shape[axis]) - window[axis].start
    sides = [1, 1, 1]
    sides[axis] = -1
    shown = list(window)
    shown[axis] = slice(None)
    tiles[tuple(shown)] *= (1 - TAUGHT * np.exp(-0.5 * (distance / REACH_TILES) ** 2)).reshape(sides)
