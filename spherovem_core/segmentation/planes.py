"""Flows of whole planes: the network on tiles that overlap, as `cellpose.core.run_net` computes and averages them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.segmentation.tiles import EMPTY_LOGIT, measure_contrasts, run_tiles

WINDOW_VOXELS = 2**23
"""Voxels of a slab of planes that are in work at a time, unless one row of tiles has more."""

Cut = tuple[slice, slice]
Planes = NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """One tile over a plane.

    Attributes
    ----------
    inside
        The pixels of the plane that it shows.
    place
        The same pixels in the tile; the others are zero, as Cellpose pads planes.
    """

    inside: Cut
    place: Cut


@dataclass(frozen=True)
class Window:
    """Some rows of tiles.

    Attributes
    ----------
    tiles
        Their tiles.
    rows
        Rows of the plane that they show.
    finished
        Rows of which no later tile shows anything, from the first row of the window on.
    """

    tiles: list[Tile]
    rows: slice
    finished: slice


class PlaneTiles:
    """Tiles over planes of one shape.

    Parameters
    ----------
    shape
        Rows and columns of the planes.
    side
        Side of the tiles.
    overlap
        Their overlap as a fraction of the side, at least.
    """

    def __init__(self, shape: Sequence[int], side: int, overlap: float) -> None:
        from cellpose.transforms import get_pad_yx, make_tiles

        self.shape = (shape[0], shape[1])
        self.side = side
        top, bottom, left, right = get_pad_yx(*self.shape, min_size=(side, side))
        padded = (top + shape[0] + bottom, left + shape[1] + right)
        # Positions alone: along each axis they do not depend on the other.
        _, rows, _, _, _ = make_tiles(np.zeros((1, padded[0], side), np.float32), side, tile_overlap=overlap)
        _, _, columns, _, _ = make_tiles(
            np.zeros((1, side, padded[1]), np.float32), side, tile_overlap=overlap
        )
        self._rows = [_span(int(start) - top, side, shape[0]) for start, _ in rows]
        self._columns = [_span(int(start) - left, side, shape[1]) for start, _ in columns]

    @property
    def tiles(self) -> list[Tile]:
        """All tiles, in the order in which Cellpose computes them."""
        return [tile for row in range(len(self._rows)) for tile in self._row(row)]

    def _row(self, number: int) -> list[Tile]:
        (rows, place), columns = self._rows[number], self._columns
        return [Tile((rows, inside), (place, own)) for inside, own in columns]

    def windows(self, planes: int) -> Iterator[Window]:
        """Yield the rows of tiles, as many at a time as have at most `WINDOW_VOXELS` in that many planes."""
        most = max(1, WINDOW_VOXELS // (planes * self.shape[1]))
        first = 0
        while first < len(self._rows):
            low, last = self._rows[first][0].start, first
            while last + 1 < len(self._rows) and self._rows[last + 1][0].stop - low <= most:
                last += 1
            high = self._rows[last][0].stop
            end = self._rows[last + 1][0].start if last + 1 < len(self._rows) else high
            tiles = [tile for row in range(first, last + 1) for tile in self._row(row)]
            yield Window(tiles, slice(low, high), slice(low, end))
            first = last + 1

    @cached_property
    def weight(self) -> NDArray[np.float32]:
        """Weight of each pixel of a tile (side, side), lower towards its edges."""
        from cellpose.transforms import _taper_mask

        return np.asarray(_taper_mask(ly=self.side, lx=self.side), np.float32)

    def total_weight(self, rows: slice) -> NDArray[np.float32]:
        """Return the sum of the weights of all tiles over some rows of a plane."""
        total = np.zeros((rows.stop - rows.start, self.shape[1]))
        for tile in self.tiles:
            low, high = max(rows.start, tile.inside[0].start), min(rows.stop, tile.inside[0].stop)
            if low < high:
                shift = tile.place[0].start - tile.inside[0].start
                own = self.weight[low + shift : high + shift, tile.place[1]]
                total[low - rows.start : high - rows.start, tile.inside[1]] += own
        return total.astype(np.float32)


def _span(start: int, side: int, extent: int) -> Cut:
    """Return the part of a plane that a tile shows along one axis, and the place of that part in the tile."""
    low, high = max(0, start), min(extent, start + side)
    return slice(low, high), slice(low - start, high - start)


def predict_planes(
    network: Any,
    read: Callable[[slice], Planes],
    count: int,
    tiles: PlaneTiles,
    least_contrast: float,
    batch: int,
) -> Iterator[tuple[slice, Planes]]:
    """Predict flows and logit of some planes side by side, some rows at a time, from the first row to the last.

    Results are those of ``cellpose.core.run_net``, apart from rounding and from tiles without contrast, which are not computed:
    they get no flow and `EMPTY_LOGIT`. Contrast is measured within the plane alone, since Cellpose's zeros around a plane would
    be one of their own.

    Parameters
    ----------
    network
        From `load_network`, in evaluation mode.
    read
        Returns some rows of all planes (planes, rows, columns), normalised.
    count
        Number of planes.
    tiles
        Tiles over planes of this shape.
    least_contrast
        See `measure_contrasts`; 0 computes every tile.
    batch
        Tiles in one forward pass, at most.

    Yields
    ------
    slice, (3, planes, rows, columns) ndarray of float32
        Rows; their flow along rows, their flow along columns, and their logit.
    """
    import torch

    weight = torch.from_numpy(tiles.weight).to(network.device)
    carried = None
    for window in tiles.windows(count):
        low, high = window.rows.start, window.rows.stop
        sums = torch.zeros((3, count, high - low, tiles.shape[1]), device=network.device)
        if carried is not None:
            sums[:, :, : carried.shape[2]] = carried
        _add_tiles(network, read(window.rows), window, weight, sums, least_contrast, batch)
        kept = window.finished.stop - low
        total = torch.from_numpy(tiles.total_weight(window.finished)).to(network.device)
        maps = sums[:, :, :kept] / total
        maps[2] += EMPTY_LOGIT
        carried = sums[:, :, kept:].clone()
        # Whoever is slow to forget a name holds as much as the next window needs.
        del sums
        found = maps.cpu().numpy()
        del maps
        yield window.finished, found
        del found


def _add_tiles(
    network: Any,
    planes: Planes,
    window: Window,
    weight: Any,
    sums: Any,
    least_contrast: float,
    batch: int,
) -> None:
    """Add the weighted predictions of tiles to `sums` (3, planes, rows, columns), whose logit counts from `EMPTY_LOGIT`."""
    first = window.rows.start
    cuts = [(slice(t.inside[0].start - first, t.inside[0].stop - first), t.inside[1]) for t in window.tiles]
    order = np.argwhere(_shown(planes, cuts, least_contrast, network.device).T)
    # Batches of about the same size fill a device better than full ones and a remainder.
    for part in np.array_split(order, math.ceil(len(order) / batch)) if len(order) else []:
        images = np.zeros((len(part), *weight.shape), np.float32)
        for image, (plane, number) in zip(images, part.tolist(), strict=True):
            image[window.tiles[number].place] = planes[(plane, *cuts[number])]
        maps = run_tiles(network, _as_input(images, network))
        maps[:, 2] -= EMPTY_LOGIT
        maps *= weight
        for own, (plane, number) in zip(maps, part.tolist(), strict=True):
            sums[(slice(None), plane, *cuts[number])] += own[(slice(None), *window.tiles[number].place)]


def _shown(planes: Planes, cuts: Sequence[Cut], least_contrast: float, device: Any) -> NDArray[np.bool_]:
    """Return which tiles show a specimen in which planes, (tiles, planes)."""
    import torch

    found = np.ones((len(cuts), len(planes)), bool)
    if least_contrast:
        for number, cut in enumerate(cuts):
            part = torch.from_numpy(np.ascontiguousarray(planes[(slice(None), *cut)])).to(device)
            found[number] = (measure_contrasts(part) >= least_contrast).cpu().numpy()
    return found


def _as_input(images: Planes, network: Any) -> Any:
    """Return tiles (N, 3, side, side) on the device; Cellpose passes a grey image as the first of three channels."""
    import torch

    found = torch.zeros((len(images), 3, *images.shape[1:]), device=network.device, dtype=network.dtype)
    found[:, 0] = torch.from_numpy(images).to(network.device, network.dtype)
    return found
