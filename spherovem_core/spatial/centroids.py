"""Distance from the centroid of each particle to the nucleus and to the surface of its cell."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region, map_blocks, values_at
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import CENTROID_COLUMNS, LabelStatistics
from spherovem_core.spacing import SpacingNm, spacing_um
from spherovem_core.spatial.grids import SERIAL, check_same_grid
from spherovem_core.spatial.known_space import CellContents, KnownSpace, find_cells
from spherovem_core.spatial.surface_distance import distance_to_surface

Group = tuple[int, Region, NDArray[np.int64]]


def measure_centroids(
    particles: pd.DataFrame,
    cells: ArrayLike,
    distance: ArrayLike,
    spacing_nm: SpacingNm,
    execution: Execution = SERIAL,
    *,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
    contents: CellContents | None = None,
    known: KnownSpace | None = None,
) -> pd.DataFrame:
    """Add the distance from each centroid to the nucleus and to the surface of its parent cell to the table of particles.

    Only cells that are the parent of a particle are read. Runs on the CPU.

    Parameters
    ----------
    particles
        Table with ``parent_cell``, and ``centroid_z_um`` to ``centroid_x_um``.
    cells, distance : (Z, Y, X) array-like
        Labels of the cells, and the map of `write_distance_map`.
    spacing_nm, origin_nm
        Voxel size of both, and the position of the centre of their first voxel in the coordinates of the centroids.
    execution
        Executor and deadline.
    contents
        The cells, if they are known, with their keys if `known` is given; None reads the cells for them.
    known
        Distances of centroids so far, by cell and voxel; a cell is only read for the others.

    Returns
    -------
    DataFrame
        The table with two more columns. ``distance_to_nucleus_centroid_um`` is the value of the map at the voxel that holds
        the centroid. ``distance_to_cell_surface_um`` is the distance from the centre of that voxel to the centre of the
        nearest voxel outside the cell; the border of the volume is not a surface. Both are NaN for a particle with no
        parent or with its centroid outside the parent. The first is also NaN if the parent has no nucleus, the second if the
        cell fills the whole volume.

    Raises
    ------
    ShapeMismatchError
        If cells and distance differ in shape.
    """
    check_same_grid(cells=cells, distance=distance)
    place = particles[list(CENTROID_COLUMNS)].to_numpy(np.float64) * 1000 - np.array(origin_nm)
    index = np.rint(place / np.array(spacing_nm)).astype(np.int64)
    index = np.clip(index, 0, np.array(cells.shape) - 1)
    parents = particles["parent_cell"].to_numpy(np.int64)
    contents = contents or find_cells(cells, cells, execution, keyed=False)
    groups, members = _group(parents, index, contents.statistics, cells.shape)
    keys = dict(zip(contents.statistics.labels.tolist(), contents.keys, strict=False))
    found = np.full((len(particles), 2), np.nan)
    todo: list[Group] = []
    lacking: list[NDArray[np.int64]] = []
    for (label, region), own in zip(groups, members, strict=True):
        if known is not None:
            own = own[~_recall(known, keys[label], index[own], found, own)]
        if len(own):
            todo.append((label, region, index[own] - [side.start for side in region]))
            lacking.append(own)
    if known is not None:
        known.count(
            "centroids of particles", sum(map(len, lacking)), sum(map(len, members)) - sum(map(len, lacking))
        )
    mapped = map_blocks(
        _measure_group,
        todo,
        cells,
        distance,
        spacing_nm,
        executor=execution.executor,
        ahead=execution.workers + 1,
    )
    everything = dict(zip((label for label, _ in groups), members, strict=True))
    for done, ((label, _, _), values) in enumerate(mapped, 1):
        found[lacking[done - 1]] = values
        if known is not None:
            own = everything[label]
            rows = [
                [*place, *pair] for place, pair in zip(index[own].tolist(), found[own].tolist(), strict=True)
            ]
            known.add(_entry(keys[label]), rows)
        execution.report(done, len(todo))
    return particles.assign(
        distance_to_nucleus_centroid_um=found[:, 0], distance_to_cell_surface_um=found[:, 1]
    )


def _entry(key: str) -> str:
    return f"centroids {key}"


def _recall(
    known: KnownSpace, key: str, index: NDArray[np.int64], found: NDArray[np.float64], own: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Write the known distances in one cell into rows `own` of `found`; return for which voxels of `index` they were known."""
    places = {tuple(row[:3]): row[3:] for row in known.find(_entry(key)) or ()}
    pairs = [places.get(tuple(place)) for place in index.tolist()]
    for row, pair in zip(own, pairs, strict=True):
        if pair is not None:
            found[row] = pair
    return np.array([pair is not None for pair in pairs], np.bool_)


def _group(
    parents: NDArray[np.int64], index: NDArray[np.int64], boxes: LabelStatistics, shape: tuple[int, ...]
) -> tuple[list[tuple[int, Region]], list[NDArray[np.int64]]]:
    """Group the particles by parent: its box, one voxel wider to include the surface, and the particles centred in it."""
    rows = {int(label): row for row, label in enumerate(boxes.labels)}
    groups: list[tuple[int, Region]] = []
    members = []
    for label, own in pd.Series(parents).groupby(parents).indices.items():
        row = rows.get(int(label))  # type: ignore[call-overload]
        if row is None:
            continue
        low = np.maximum(boxes.low[row] - 1, 0)
        high = np.minimum(boxes.high[row] + 1, shape)
        inside = own[((index[own] >= low) & (index[own] < high)).all(axis=1)]
        region = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        groups.append((int(boxes.labels[row]), region))
        members.append(inside)
    return groups, members


def _measure_group(
    group: Group, cells: ArrayLike, distance: ArrayLike, spacing_nm: SpacingNm
) -> NDArray[np.float64]:
    label, region, index = group
    own = np.ascontiguousarray(cells[region], np.uint32)
    to_surface = distance_to_surface(own, np.uint32(label), index, np.array(spacing_um(spacing_nm)))
    to_nucleus = values_at(distance, index + [side.start for side in region]).astype(np.float64)
    to_nucleus[~np.isfinite(to_nucleus) | (own[tuple(index.T)] != label)] = np.nan
    return np.stack([to_nucleus, to_surface], axis=1)
