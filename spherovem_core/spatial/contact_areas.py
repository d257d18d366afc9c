"""Area, gap and centroid of the contact of each pair of labels, from the voxel faces between them.

The faces across an axis have, together, exactly the area of the surface's projection along that axis. Where the direction of the
surface is known, its area follows: a face of area a counts as a · |n|, with n the component of the unit normal across the face,
because the squares of the components add up to 1. An error of the normal by an angle e changes the area by e²/2 only.

The normal comes from the faces themselves, added up in small cubes: their signed sum over a window is the surface's vector area
there. Only faces of the same two labels are added, so that edges where a third label or background begins do not turn it.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm
from spherovem_core.spatial.contact_faces import Faces

WINDOW_CUBES = 4
"""Cubes on each side of a cube from which its normal is averaged."""
WINDOW_SIGMA = 2.2
"""Standard deviation of the Gaussian window, in cubes."""

SUMS = (
    "contact_area_um2",
    "gap_sum",
    "centroid_z_sum",
    "centroid_y_sum",
    "centroid_x_sum",
    "on_border",
)
PIECE = ("label", "other_label", *SUMS, "gap_min_um")
"""Columns of the contacts in a block."""


class Pieces(NamedTuple):
    """Pairs of labels in a block, one row a pair, in rising order.

    Attributes
    ----------
    pairs : (N, 2) ndarray of int64
        Labels, the smaller first.
    faces : (N, 6) ndarray of int64
        Box of the lower voxels of all faces that were found: lowest z, y, x, and highest, exclusive.
    sums : (N, 7) ndarray of float64
        `SUMS` and the least gap of the faces in the block's core; that is infinite for a pair without one.
    """

    pairs: NDArray[np.int64]
    faces: NDArray[np.int64]
    sums: NDArray[np.float64]

    @classmethod
    def none(cls) -> "Pieces":
        """Return no pieces."""
        return cls(np.empty((0, 2), np.int64), np.empty((0, 6), np.int64), np.empty((0, len(SUMS) + 1)))

    def select(self, rows: NDArray[Any]) -> "Pieces":
        """Return some of the pieces."""
        return Pieces(self.pairs[rows], self.faces[rows], self.sums[rows])

    def join(self, other: "Pieces") -> "Pieces":
        """Return these pieces and others, in rising order of the pairs."""
        whole = Pieces(*(np.concatenate(both) for both in zip(self, other, strict=True)))
        return whole.select(np.lexsort(whole.pairs.T[::-1]))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return `PIECE` of the pairs with faces in the core."""
        own = self.select(np.isfinite(self.sums[:, -1]))
        values = (*own.pairs.T, *own.sums.T)
        return dict(zip(PIECE, values, strict=True))


def cube_factors(spacing_nm: SpacingNm) -> tuple[int, int, int]:
    """Return the voxels along z, y, x of a cube about as long on each side as the longest side of a voxel."""
    z, y, x = (max(1, round(max(spacing_nm) / side)) for side in spacing_nm)
    return z, y, x


def sum_faces(
    faces: Faces,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    side: SpacingNm,
    shape: tuple[int, ...],
    left_out: NDArray[np.int64],
) -> Pieces:
    """Sum up the faces of each pair of labels; runs on the CPU.

    Parameters
    ----------
    faces
        Faces in the order in which they were found, also those outside of the box as far as the window of normals reaches.
    low, high : (3,) ndarray of int64
        Box of the faces to sum up, by their lower voxels; `high` exclusive.
    side
        Voxel size in µm.
    shape
        Shape of the whole volume.
    left_out : (N, 2) ndarray of int64
        Pairs that are not summed up.
    """
    if not len(faces.first):
        return Pieces.none()
    pairs, pair = _number_pairs(faces.first, faces.second)
    skipped = set(map(tuple, left_out.tolist()))
    kept = np.array([own not in skipped for own in map(tuple, pairs.tolist())], np.bool_)
    sums, boxes = _sum_pairs(
        *_by_pair(pair, len(pairs)),
        kept,
        faces.axis,
        faces.sign,
        faces.place,
        faces.gap_um,
        np.stack([low, high, np.array(cube_factors(side)), np.array(shape)]),
        np.prod(side) / np.array(side),
        _window(),
    )
    rows = np.flatnonzero(kept)
    return Pieces(pairs, boxes, sums).select(rows[np.lexsort(pairs[rows].T[::-1])])


def _window() -> NDArray[np.float64]:
    steps = np.arange(-WINDOW_CUBES, WINDOW_CUBES + 1)
    line = np.exp(-0.5 * (steps / WINDOW_SIGMA) ** 2)
    return line[:, None, None] * line[:, None] * line


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _number_pairs(first: Any, second: Any) -> Any:
    """Number the pairs of labels in the order in which they come; return them, and the number of each face's."""
    number = {(np.int64(first[0]), np.int64(second[0])): 0}
    pair = np.empty(len(first), np.int64)
    last = (np.int64(first[0]), np.int64(second[0]))
    current = 0
    for n in range(len(first)):
        key = (np.int64(first[n]), np.int64(second[n]))
        if key != last:
            last = key
            if key not in number:
                number[key] = len(number)
            current = number[key]
        pair[n] = current
    pairs = np.empty((len(number), 2), np.int64)
    for key, row in number.items():
        pairs[row, 0], pairs[row, 1] = key
    return pairs, pair


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _by_pair(pair: Any, count: int) -> Any:
    """Sort faces by pair, those of one pair in their order; return the first place of each pair, and the faces."""
    start = np.zeros(count + 1, np.int64)
    for n in range(len(pair)):
        start[pair[n] + 1] += 1
    for row in range(count):
        start[row + 1] += start[row]
    free, order = start[:-1].copy(), np.empty(len(pair), np.int64)
    for n in range(len(pair)):
        order[free[pair[n]]] = n
        free[pair[n]] += 1
    return start, order


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sum_pairs(
    start: Any,
    order: Any,
    kept: Any,
    axes: Any,
    sign: Any,
    place: Any,
    gap: Any,
    box: Any,
    face_area: Any,
    window: Any,
) -> Any:
    """Sum up the faces in a box, pair by pair; return `Pieces.sums` and `Pieces.faces`."""
    count = len(start) - 1
    sums, boxes = np.zeros((count, 7)), np.zeros((count, 6), np.int64)
    sums[:, 6] = np.inf
    for row in range(count):
        if not kept[row]:
            continue
        faces = order[start[row] : start[row + 1]]
        boxes[row, :3] = place[faces[0]]
        inside = np.zeros(len(faces), np.bool_)
        for n in range(len(faces)):
            at = place[faces[n]]
            inside[n] = True
            for axis in range(3):
                inside[n] = inside[n] and box[0, axis] <= at[axis] < box[1, axis]
                boxes[row, axis] = min(boxes[row, axis], at[axis])
                boxes[row, 3 + axis] = max(boxes[row, 3 + axis], at[axis] + 1)
        if not inside.any():
            continue
        entry, cube, needed, sides = _cubes(faces, inside, place, box[2])
        vector = np.zeros((len(cube), 3))
        for n in range(len(faces)):
            axis = axes[faces[n]]
            vector[entry[n], axis] += sign[faces[n]] * face_area[axis]
        normal = _normals(cube, needed, vector, sides, window)
        for n in range(len(faces)):
            if not inside[n]:
                continue
            face = faces[n]
            axis = axes[face]
            area = face_area[axis] * normal[entry[n], axis]
            sums[row, 0] += area
            sums[row, 1] += area * gap[face]
            border = False
            for along in range(3):
                lower = place[face, along]
                upper = lower + (along == axis)
                sums[row, 2 + along] += area * ((lower + upper) / 2)
                border = border or lower == 0 or upper == box[3, along] - 1
            sums[row, 5] += border
            sums[row, 6] = min(sums[row, 6], gap[face])
    return sums, boxes


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cubes(faces: Any, inside: Any, place: Any, factors: Any) -> Any:
    """Number the cubes that hold faces of a pair, in rising order.

    Returns the cube of each face, the flat index of each cube in the box around all, whether it holds faces that are summed up,
    and the sides of that box in cubes.
    """
    low, high = np.full(3, np.iinfo(np.int64).max), np.zeros(3, np.int64)
    for n in range(len(faces)):
        for axis in range(3):
            at = place[faces[n], axis] // factors[axis]
            low[axis], high[axis] = min(low[axis], at), max(high[axis], at)
    sides = high - low + 1
    entry = np.empty(len(faces), np.int64)
    state = np.zeros(sides[0] * sides[1] * sides[2], np.int64)
    for n in range(len(faces)):
        at = place[faces[n]] // factors - low
        flat = (at[0] * sides[1] + at[1]) * sides[2] + at[2]
        entry[n] = flat
        state[flat] = max(state[flat], 2 if inside[n] else 1)
    cube = np.flatnonzero(state)
    needed = state[cube] == 2
    for number in range(len(cube)):
        state[cube[number]] = number
    for n in range(len(faces)):
        entry[n] = state[entry[n]]
    return entry, cube, needed, sides


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _normals(cube: Any, needed: Any, vector: Any, sides: Any, window: Any) -> Any:
    """Average the vector areas of a pair around its needed cubes, and return the sizes of the components of unit normals."""
    depth, height, width = sides
    reach = len(window) // 2
    # For each place of the box, the number of cubes with faces before it.
    first = np.zeros(depth * height * width + 1, np.int64)
    for n in range(len(cube)):
        first[cube[n] + 1] = 1
    for flat in range(depth * height * width):
        first[flat + 1] += first[flat]
    normals = np.empty_like(vector)
    for n in range(len(cube)):
        if not needed[n]:
            continue
        place = cube[n]
        z, y, x = place // (height * width), place // width % height, place % width
        left, right = max(0, x - reach), min(width, x + reach + 1)
        along_z = along_y = along_x = 0.0
        for k in range(max(0, z - reach), min(depth, z + reach + 1)):
            for j in range(max(0, y - reach), min(height, y + reach + 1)):
                row = (k * height + j) * width
                for m in range(first[row + left], first[row + right]):
                    weight = window[k - z + reach, j - y + reach, cube[m] - row - x + reach]
                    along_z += weight * vector[m, 0]
                    along_y += weight * vector[m, 1]
                    along_x += weight * vector[m, 2]
        length = np.sqrt(along_z * along_z + along_y * along_y + along_x * along_x)
        if length > 0:
            normals[n, 0], normals[n, 1] = abs(along_z / length), abs(along_y / length)
            normals[n, 2] = abs(along_x / length)
        else:
            # Faces that cancel have no direction: the mean of |n| over all directions is 1/2.
            normals[n, :] = 0.5
    return normals
