"""Exact distance transform inside one cell, in compiled loops that vectorise along x."""

from typing import Any

import numba
import numpy as np

# Above every squared distance in µm² that a volume can hold, and far from float32's limit.
FAR = np.float32(1e30)

# Half of a core's second-level cache; the last pass reads these bytes again for every slice.
TILE_BYTES = 1 << 18


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def write_cell_distance(
    nuclei: Any, cells: Any, label: Any, low: Any, high: Any, spacing: Any, out: Any
) -> bool:
    """Write the distance to the nearest nucleus voxel of one cell into `out`, only at the voxels of the cell.

    Squared distance separates by axis [1]_. Along each axis the minimum over all nucleus rows is taken directly, without the
    lower envelope of parabolas. This needs more additions, but they are vectorised, and in the box of a cell it is faster.
    Only rows that cross the nucleus are sources, and a row is computed only from the first to the last voxel of the cell.
    Runs on the CPU.

    Parameters
    ----------
    nuclei, cells : (Z, Y, X) C-contiguous ndarray of unsigned integers
    label
        Label of the cell.
    low, high : (3,) ndarray of int64
        Bounding box of the cell.
    spacing : (3,) ndarray of float64
        Voxel size; distances have its unit.
    out : (Z, Y, X) C-contiguous ndarray of float32

    Returns
    -------
    bool
        True if the cell has a nucleus; otherwise nothing is written.

    References
    ----------
    .. [1] T. Saito, J. Toriwaki, "New algorithms for Euclidean distance transformation of an n-dimensional digitized
       picture with applications", Pattern Recognition 27, 1551-1565 (1994).
    """
    first, last, source = _scan_rows(nuclei, cells, label, low, high)
    used = np.flatnonzero(source)
    if len(used) == 0:
        return False
    height, width = high[1] - low[1], high[2] - low[2]
    rows = _measure_rows(nuclei, cells, label, low, width, used, height, spacing[2])
    across = used % height
    planes = np.unique(used // height)
    begin = np.searchsorted(used // height, planes)
    end = np.append(begin[1:], len(used))
    tile = max(1, min(height, TILE_BYTES // (4 * len(planes) * width)))
    lowered = np.empty((tile, len(planes), width), np.float32)
    best = np.empty(width, np.float32)
    y_square, z_square = np.float32(spacing[1] ** 2), np.float32(spacing[0] ** 2)
    for y_start in range(0, height, tile):
        y_stop = min(height, y_start + tile)
        for y in range(y_start, y_stop):
            left, right = first[:, y].min(), last[:, y].max()
            for k in range(len(planes)):
                own = slice(begin[k], end[k])
                _lower(rows[own], across[own], y, y_square, left, right, lowered[y - y_start, k])
        for z in range(high[0] - low[0]):
            for y in range(y_start, y_stop):
                left, right = first[z, y], last[z, y]
                if left < right:
                    _lower(lowered[y - y_start], planes, z, z_square, left, right, best)
                    row = cells[z + low[0], y + low[1], left + low[2] : right + low[2]]
                    _store(
                        row,
                        label,
                        best[left:right],
                        out[z + low[0], y + low[1], left + low[2] : right + low[2]],
                    )
    return True


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def keep_in_cells(cells: Any, chosen: Any, distance: Any) -> None:
    """Set the distance to NaN outside the chosen cells, whose labels rise; runs on the CPU."""
    labels, values = cells.reshape(-1), distance.reshape(-1)
    last, inside = np.uint32(0), False
    for i in range(len(labels)):
        if labels[i] != last:
            last = labels[i]
            place = np.searchsorted(chosen, last)
            inside = place < len(chosen) and chosen[place] == last
        if not inside:
            values[i] = np.nan


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scan_rows(nuclei: Any, cells: Any, label: Any, low: Any, high: Any) -> Any:
    """Find the first and last (exclusive) voxel of the cell in each row of its box, and the rows that cross its nucleus."""
    depth, height, width = high - low
    first = np.full((depth, height), width, np.int64)
    last = np.zeros((depth, height), np.int64)
    source = np.zeros((depth, height), np.bool_)
    for z in range(depth):
        for y in range(height):
            row = cells[z + low[0], y + low[1], low[2] : high[2]]
            nucleus = nuclei[z + low[0], y + low[1], low[2] : high[2]]
            left, right = 0, width
            while left < width and row[left] != label:
                left += 1
            if left == width:
                continue
            while row[right - 1] != label:
                right -= 1
            first[z, y], last[z, y] = left, right
            source[z, y] = _meets(row[left:right], label, nucleus[left:right])
    return first, last, source


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _meets(row: Any, label: Any, nucleus: Any) -> bool:
    """Return whether a row holds a nucleus voxel of the cell. The loop has no early exit, so that it vectorises."""
    found = np.uint32(0)
    for x in range(len(row)):
        found |= nucleus[x] if row[x] == label else np.uint32(0)
    return bool(found != 0)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _measure_rows(
    nuclei: Any, cells: Any, label: Any, low: Any, width: int, used: Any, height: int, step: float
) -> Any:
    """Compute the squared distance along x to the nucleus in every row that crosses it."""
    rows = np.empty((len(used), width), np.float32)
    for k in range(len(used)):
        z, y = used[k] // height + low[0], used[k] % height + low[1]
        since = np.float32(1e14)
        for x in range(width):
            inside = cells[z, y, x + low[2]] == label and nuclei[z, y, x + low[2]] != 0
            since = np.float32(0) if inside else since + np.float32(step)
            rows[k, x] = since
        since = np.float32(1e14)
        for x in range(width - 1, -1, -1):
            since = min(rows[k, x], since + np.float32(step))
            rows[k, x] = since * since
    return rows


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def _store(row: Any, label: Any, best: Any, out: Any) -> None:
    for x in range(len(row)):
        out[x] = np.sqrt(best[x]) if row[x] == label else out[x]


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def _lower(rows: Any, places: Any, place: int, square: Any, left: int, right: int, best: Any) -> None:
    """Take the minimum over rows of their squared distances plus that from their place to this one; four at a time."""
    width, count = right - left, len(places)
    best = best[left:right]
    for x in range(width):
        best[x] = FAR
    k = 0
    while k + 4 <= count:
        a, b = rows[k][left:right], rows[k + 1][left:right]
        c, d = rows[k + 2][left:right], rows[k + 3][left:right]
        wa = np.float32((places[k] - place) ** 2) * square
        wb = np.float32((places[k + 1] - place) ** 2) * square
        wc = np.float32((places[k + 2] - place) ** 2) * square
        wd = np.float32((places[k + 3] - place) ** 2) * square
        for x in range(width):
            ab = min(a[x] + wa, b[x] + wb)
            cd = min(c[x] + wc, d[x] + wd)
            best[x] = min(best[x], min(ab, cd))
        k += 4
    while k < count:
        a = rows[k][left:right]
        wa = np.float32((places[k] - place) ** 2) * square
        for x in range(width):
            best[x] = min(best[x], a[x] + wa)
        k += 1
