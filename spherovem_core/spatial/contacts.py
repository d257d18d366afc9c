"""Contacts between cells: which cells touch, over which area, and how far they are apart."""

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, block_grid, corners, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.known_blocks import KnownResults
from spherovem_core.label_statistics import CENTROID_COLUMNS, LabelStatistics, collect_label_statistics
from spherovem_core.spacing import NM_PER_UM, SpacingNm, spacing_um
from spherovem_core.spatial.contact_areas import PIECE, SUMS, WINDOW_CUBES, Pieces, cube_factors, sum_faces
from spherovem_core.spatial.contact_changes import (
    CHANGED,
    BlockChanges,
    KnownContacts,
    mark_boxes,
    whole_block,
)
from spherovem_core.spatial.contact_faces import Faces, find_faces
from spherovem_core.spatial.grids import SERIAL
from spherovem_core.spatial.label_growth import gap_reach, grow_labels

BLOCK_EDGE = 128

MOST_FRACTION = 0.8
"""Fraction of a block that is looked at again above which all of it is."""


def measure_contacts(
    cells: ArrayLike,
    spacing_nm: SpacingNm,
    contact_gap_um: float,
    execution: Execution = SERIAL,
    *,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
    statistics: LabelStatistics | None = None,
    known: KnownResults | None = None,
) -> pd.DataFrame:
    """Measure the contacts between cells, block by block.

    Labels first grow into the gaps between them (`grow_labels`). The contact of two labels is the surface where they then meet,
    and its area that of the voxel faces on it, each weighted with the direction of the surface (`sum_faces`). On phantoms
    with contacts of 20 voxels' radius or more the area is within 3 % of the truth; voxel faces alone give up to 70 % too much.
    The edge of a contact is known to about a quarter of a voxel: contacts with blunt edges and 12 voxels' radius are up to 4 %
    too small, with 6 voxels up to 10 % (`benchmarks/contacts.py`).

    Parameters
    ----------
    cells : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background; read block by block.
    spacing_nm, origin_nm
        Voxel size, and the position of the centre of the first voxel.
    contact_gap_um
        Widest gap between two cells in contact; 0 takes only cells that share voxel faces.
    execution
        Executor, deadline and progress. Runs on the CPU.
    statistics
        Statistics of the cells, if they are known; None reads the cells for them.
    known
        Contacts in blocks so far, of which those are taken over that no change of labels can have touched
        (`spherovem_core.spatial.contact_changes`).

    Returns
    -------
    DataFrame
        One row per pair, sorted: ``label`` and ``other_label``, the smaller first; ``contact_area_um2``; ``gap_um`` and
        ``gap_min_um``, mean over the contact's area and minimum of the gap, 0 where voxels touch;
        ``centroid_distance_um``, between the centroids of the two cells; ``centroid_z_um`` to ``centroid_x_um`` of the contact;
        ``cut_by_border``: the contact reaches the first or last voxels of the volume.
    """
    boxes = collect_label_statistics(cells, execution.executor) if statistics is None else statistics
    factors = cube_factors(spacing_nm)
    side = spacing_um(spacing_nm)
    growth = gap_reach(contact_gap_um, side)
    halo = [WINDOW_CUBES * factor + reach + 1 for factor, reach in zip(factors, growth, strict=True)]
    edges = [-(-BLOCK_EDGE // factor) * factor for factor in factors]
    blocks = block_grid(cells.shape, edges, halo)
    earlier = None if known is None else KnownContacts(known, boxes, growth)
    changes = [whole_block(block) if earlier is None else earlier.changes(block) for block in blocks]
    measured = map_blocks(
        _measure_block,
        [each for each in changes if not each.is_same],
        cells,
        side,
        contact_gap_um,
        executor=execution.executor,
        ahead=execution.workers + 1,
    )
    tables = [_table({})]
    for done, each in enumerate(changes, 1):
        pieces, taken_over = (each.kept, len(each.kept.pairs)) if each.is_same else next(measured)[1]
        if earlier is not None:
            earlier.add(each.block, pieces, taken_over)
        tables.append(_table(pieces.columns()))
        execution.report(done, len(blocks))
    return _join(pd.concat(tables, ignore_index=True), boxes, side, np.array(origin_nm) / NM_PER_UM)


def contacts_of_cells(
    labels: NDArray[np.unsignedinteger], contacts: pd.DataFrame, excluded: frozenset[int] = frozenset()
) -> pd.DataFrame:
    """Sum up the contacts of each cell.

    Parameters
    ----------
    labels : (N,) ndarray of uint32
    contacts
        Pairs, from `measure_contacts`.
    excluded
        Labels that do not count as neighbours.

    Returns
    -------
    DataFrame
        One row per label: ``label``, ``neighbour_count``, ``contact_area_um2``.
    """
    one, two = PIECE[:2]
    ends = pd.concat(
        [
            contacts.loc[~contacts[other].isin(list(excluded)), [own, "contact_area_um2"]].set_axis(
                ["label", "area"], axis=1
            )
            for own, other in ((one, two), (two, one))
        ]
    )
    sums = ends.groupby("label")["area"].agg(["size", "sum"]).reindex(labels, fill_value=0)
    return pd.DataFrame(
        {
            "label": labels,
            "neighbour_count": sums["size"].to_numpy(np.int64),
            "contact_area_um2": sums["sum"].to_numpy(np.float64),
        }
    )


def _measure_block(
    changes: BlockChanges, cells: ArrayLike, side: SpacingNm, contact_gap_um: float
) -> tuple[Pieces, int]:
    """Measure the contacts of which the lower voxels of the faces lie in the core of a block, as far as they changed.

    Returns the pieces of all contacts, and the number of those that were taken over.
    """
    block = changes.block
    labels = np.ascontiguousarray(cells[block.outer], np.uint32)
    if not _holds_two(labels):
        return Pieces.none(), 0
    marks = mark_boxes(changes)
    if len(changes.kept.pairs) and (marks > 0).mean() > MOST_FRACTION:
        changes = whole_block(block)
        marks = mark_boxes(changes)
    faces = _faces_in_box(labels, changes, marks > 0, cells.shape, side, contact_gap_um)
    kept = changes.kept
    if len(kept.pairs) and _holds_new_faces(kept, faces, marks, block):
        return _measure_block(whole_block(block), cells, side, contact_gap_um)
    return sum_faces(faces, *corners(block.core), side, cells.shape, kept.pairs).join(kept), len(kept.pairs)


def _holds_new_faces(kept: Pieces, faces: Faces, marks: NDArray[np.uint8], block: Block) -> bool:
    """Tell whether a pair that was to be kept has faces where something changed."""
    place = faces.place - [s.start for s in block.outer]
    changed = marks[place[:, 0], place[:, 1], place[:, 2]] == CHANGED
    found = _as_one(faces.first[changed], faces.second[changed])
    return bool(np.isin(_as_one(*kept.pairs.T), found).any())


def _as_one(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.uint64]:
    """Return pairs of labels of 32 bits as one number each."""
    return (first.astype(np.uint64) << np.uint64(32)) | second.astype(np.uint64)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _holds_two(labels: Any) -> bool:
    """Tell whether there are two labels or more."""
    found = np.uint32(0)
    for label in labels.flat:
        if label != 0 and label != found:
            if found != 0:
                return True
            found = label
    return False


def _faces_in_box(
    labels: NDArray[np.uint32],
    changes: BlockChanges,
    chosen: NDArray[np.bool_],
    shape: tuple[int, ...],
    side: SpacingNm,
    contact_gap_um: float,
) -> Faces:
    """List the faces of chosen voxels in the outer box of a block, placed in the whole volume.

    Labels are mirrored at the volume's border while they grow: what lies between a label and the border is no gap.
    """
    outer, reach = changes.block.outer, gap_reach(contact_gap_um, side)
    pads = [
        (steps * (s.start == 0), steps * (s.stop == n))
        for steps, s, n in zip(reach, outer, shape, strict=True)
    ]
    # A face has an upper voxel, whose growth depends on that of voxels around.
    needed = mark_boxes(changes, [steps + 1 for steps in reach]) > 0
    padded = labels
    if np.any(pads):
        padded = np.pad(labels, pads, mode="symmetric")
        chosen, needed = (np.pad(each, pads, mode="symmetric") for each in (chosen, needed))
    before = np.array([pad for pad, _ in pads], np.int64)
    origin = np.array([s.start for s in outer], np.int64) - before
    bounds = np.stack([before, before + labels.shape], axis=1)
    nearest = grow_labels(padded, contact_gap_um, side, needed)
    return find_faces(padded, nearest, contact_gap_um, side, bounds, origin, chosen)


def _table(columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    types = dict.fromkeys(PIECE[:2], np.int64) | dict.fromkeys(PIECE[2:], np.float64)
    return pd.DataFrame({name: np.asarray(columns.get(name, ()), kind) for name, kind in types.items()})


def _join(
    pieces: pd.DataFrame, boxes: LabelStatistics, side: SpacingNm, origin_um: NDArray[np.float64]
) -> pd.DataFrame:
    """Join the pieces of each pair, which come in the order of the blocks."""
    rules = dict.fromkeys(SUMS, "sum") | {"gap_min_um": "min"}
    whole = pieces.groupby(["label", "other_label"], as_index=False).agg(rules)
    area = whole["contact_area_um2"].to_numpy()
    rows = [np.searchsorted(boxes.labels, whole[name].to_numpy()) for name in PIECE[:2]]
    apart = (boxes.centroid[rows[0]] - boxes.centroid[rows[1]]) * np.array(side)
    places = {
        name: whole[f"centroid_{axis}_sum"].to_numpy() / area * step + start
        for name, axis, step, start in zip(CENTROID_COLUMNS, "zyx", side, origin_um, strict=True)
    }
    return pd.DataFrame(
        {
            "label": whole["label"].astype(np.uint32),
            "other_label": whole["other_label"].astype(np.uint32),
            "contact_area_um2": area,
            "gap_um": whole["gap_sum"].to_numpy() / area,
            "gap_min_um": whole["gap_min_um"],
            "centroid_distance_um": np.sqrt((apart**2).sum(axis=1)),
            **places,
            "cut_by_border": whole["on_border"].to_numpy() > 0,
        }
    )
