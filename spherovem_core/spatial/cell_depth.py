"""Depth of cells below the surface of the specimen: of their centroids, and of their shallowest voxels."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region, block_grid
from spherovem_core.execution import Execution
from spherovem_core.known_blocks import KnownResults, digest_of
from spherovem_core.label_statistics import LabelStatistics
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.spatial.depth import Surface, depth_columns
from spherovem_core.spatial.grids import BLOCK_EDGE, SERIAL, Placement

WORK = "depths of cells"
"""Name of this work among the known results."""

Floats = NDArray[np.float64]


def measure_depth_of_cells(
    cells: ArrayLike,
    labels: NDArray[np.unsignedinteger],
    centroids_um: Floats,
    placement: Placement,
    surface: Surface,
    execution: Execution = SERIAL,
    *,
    statistics: LabelStatistics | None = None,
    known: KnownResults | None = None,
) -> pd.DataFrame:
    """Measure the depth of the centroids and of the shallowest voxels of cells.

    Parameters
    ----------
    cells : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background; read block by block in the calling thread.
    labels, centroids_um
        Labels of the cells, rising, and their centroids (N, 3).
    placement
        Voxel size and origin of `cells`.
    surface
        Surface of the specimen.
    execution
        Deadline and progress.
    statistics
        Statistics of these labels, with which only what lies around cells to measure is read; None reads all blocks.
    known
        Depths so far, for cells of one content below one surface; taken over with `statistics` alone.

    Returns
    -------
    DataFrame
        One row per label: ``label``; the columns of `depth_columns` for its centroid; ``depth_min_um`` and
        ``depth_min_at_least_um``, the same two depths for the centre of its voxel where they are least.
    """
    wanted = np.asarray(labels, np.uint32)
    least = np.full((2, len(wanted)), np.inf)
    keys = _keys(statistics, placement, surface) if statistics is not None and known is not None else []
    found = [None if known is None else known.find(key) for key in keys] or [None] * len(wanted)
    for row, values in enumerate(found):
        least[:, row] = np.inf if values is None else values
    rows = np.array([row for row, values in enumerate(found) if values is None], np.int64)
    fresh = np.full((2, len(rows)), np.inf)
    regions = _regions(cells.shape, rows, statistics)
    for done, region in enumerate(regions, 1):
        _lower_in(region, cells, wanted[rows], placement, surface, fresh)
        execution.report(done, len(regions))
    least[:, rows] = fresh
    if known is not None and keys:
        for row in rows.tolist():
            known.add(keys[row], least[:, row].tolist())
        known.count(WORK, len(rows), len(wanted) - len(rows))
    least[0] = np.where(np.isfinite(least[0]), least[0], np.nan)
    return pd.DataFrame(
        {
            "label": wanted,
            **depth_columns(surface, centroids_um),
            "depth_min_um": least[0],
            "depth_min_at_least_um": least[1],
        }
    )


def _keys(statistics: LabelStatistics, placement: Placement, surface: Surface) -> list[str]:
    """Return what the least depth of each cell depends on: surface, field, placement, and the voxels of the cell."""
    depth = b"" if surface.depth is None else surface.depth.tobytes()
    shape = () if surface.depth is None else surface.depth.shape
    field = (surface.first_um, surface.side_um, surface.low_um, surface.high_um)
    parts = (each.tobytes() for each in field)
    common = digest_of(depth, str((shape, placement)).encode(), *parts)
    return [f"{WORK} {common} {content}" for content in statistics.hashes]


def _regions(
    shape: tuple[int, ...], rows: NDArray[np.int64], statistics: LabelStatistics | None
) -> Sequence[Region]:
    """Return regions that together hold all voxels of cells: blocks, or what few boxes of cells take of them."""
    if not len(rows):
        return []
    blocks = [block.core for block in block_grid(shape, (BLOCK_EDGE,) * 3)]
    if statistics is None:
        return blocks
    regions: list[Region] = []
    low, high = statistics.low[rows], statistics.high[rows]
    for block in blocks:
        start = np.maximum(low, [side.start for side in block])
        stop = np.minimum(high, [side.stop for side in block])
        meets = (start < stop).all(axis=1)
        boxes = np.stack([start, stop], axis=2)[meets]
        if (boxes[..., 1] - boxes[..., 0]).prod(axis=1).sum() < np.prod([s.stop - s.start for s in block]):
            regions += [tuple(slice(int(a), int(b)) for a, b in box) for box in boxes]
        else:
            regions.append(block)
    return regions


def _lower_in(
    region: Region,
    cells: ArrayLike,
    labels: NDArray[np.uint32],
    placement: Placement,
    surface: Surface,
    least: Floats,
) -> None:
    """Lower the least depths of cells to those of their voxels in a region, in place."""
    values = np.ascontiguousarray(cells[region], np.uint32)
    side, origin = (np.array(values) / NM_PER_UM for values in (placement.spacing_nm, placement.origin_nm))
    known = np.full((1, 1, 1), np.inf, np.float32) if surface.depth is None else surface.depth
    grid = [origin[n] + side[n] * np.arange(s.start, s.stop, dtype=np.float64) for n, s in enumerate(region)]
    places = [_weights(axis, surface, n, known.shape[n]) for n, axis in enumerate(grid)]
    border = [
        np.maximum(np.minimum(axis - surface.low_um[n], surface.high_um[n] - axis), 0.0)
        for n, axis in enumerate(grid)
    ]
    _lower_depths(values, labels, known, *places, *border, least)


def _weights(axis_um: Floats, surface: Surface, axis: int, count: int) -> tuple[NDArray[np.int64], Floats]:
    """Return, for positions along an axis, the voxel of the mask before each and the weight of the one after it."""
    place = np.clip((axis_um - surface.first_um[axis]) / surface.side_um[axis], 0.0, count - 1.0)
    before = np.minimum(place.astype(np.int64), max(count - 2, 0))
    return before, place - before


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _lower_depths(
    cells: Any,
    labels: Any,
    depth: Any,
    along_z: Any,
    along_y: Any,
    along_x: Any,
    border_z: Any,
    border_y: Any,
    border_x: Any,
    least: Any,
) -> None:
    """Lower the least depth of each cell, and the least certain one, to those of its voxels in a region."""
    above = (min(1, depth.shape[0] - 1), min(1, depth.shape[1] - 1))
    value = np.empty(cells.shape[2])
    for z in range(cells.shape[0]):
        k, wz = along_z[0][z], along_z[1][z]
        for y in range(cells.shape[1]):
            line = cells[z, y]
            j, wy = along_y[0][y], along_y[1][y]
            beside = min(border_z[z], border_y[y])
            start, filled = 0, False
            while start < len(line):
                label, stop = line[start], start + 1
                while stop < len(line) and line[stop] == label:
                    stop += 1
                row = np.searchsorted(labels, label)
                if row < len(labels) and labels[row] == label:
                    if not filled:
                        _interpolate(depth, (k, j), (wz, wy), above, along_x, value)
                        filled = True
                    lowest, certain = least[0, row], least[1, row]
                    for x in range(start, stop):
                        lowest = min(lowest, value[x])
                        certain = min(certain, value[x], min(beside, border_x[x]))
                    least[0, row], least[1, row] = lowest, certain
                start = stop


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _interpolate(depth: Any, place: Any, weight: Any, above: Any, along_x: Any, value: Any) -> None:
    """Interpolate the depth at the voxels of a row."""
    before, after = along_x
    right = min(1, depth.shape[2] - 1)
    value[:] = 0.0
    for dz in range(2):
        for dy in range(2):
            line = (weight[0] if dz else 1 - weight[0]) * (weight[1] if dy else 1 - weight[1])
            if line <= 0:
                continue
            at = depth[place[0] + dz * above[0], place[1] + dy * above[1]]
            for x in range(len(value)):
                share = after[x]
                # Without a surface the depth is infinite: a weight of 0 must not meet it.
                beyond = share * at[before[x] + right] if share > 0 else 0.0
                value[x] += line * ((1 - share) * at[before[x]] + beyond)
