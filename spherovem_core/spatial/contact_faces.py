"""Voxel faces between two labels, added up in small cubes, and the area of the surface that they stand for.

The faces across an axis have, together, exactly the area of the surface's projection along that axis. Where the direction of the
surface is known, its area follows: a face of area a counts as a · |n|, with n the component of the unit normal across the face,
because the squares of the components add up to 1. An error of the normal by an angle e changes the area by e²/2 only.

The normal comes from the faces themselves: their signed sum over a window is the surface's vector area there. Only faces of the
same two labels are added, so that edges where a third label or background begins do not turn it.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm

WINDOW_CUBES = 4
"""Cubes on each side of a cube from which its normal is averaged."""
WINDOW_SIGMA = 2.2
"""Standard deviation of the Gaussian window, in cubes."""


class Faces(NamedTuple):
    """Faces between labels in a block, one element a face.

    Attributes
    ----------
    first, second
        The two labels, the smaller first.
    axis
        Axis that the face lies across.
    sign
        1 if the smaller label is on the lower side, else -1.
    place : (N, 3)
        Voxel on the lower side.
    gap_um
        Gap between the two labels at the face: the distance of the centres of their nearest voxels, less the length of a voxel in
        that direction; 0 where they touch.
    """

    first: NDArray[np.uint32]
    second: NDArray[np.uint32]
    axis: NDArray[np.int8]
    sign: NDArray[np.int8]
    place: NDArray[np.int32]
    gap_um: NDArray[np.float64]


def cube_factors(spacing_nm: SpacingNm) -> tuple[int, int, int]:
    """Return the voxels along z, y, x of a cube about as long on each side as the longest side of a voxel."""
    z, y, x = (max(1, round(max(spacing_nm) / side)) for side in spacing_nm)
    return z, y, x


def find_faces(
    labels: NDArray[np.uint32], nearest: NDArray[np.int32], gap_um: float, spacing_um: SpacingNm
) -> Faces:
    """List the faces between two labels; runs on the CPU.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of uint32
        0 is background.
    nearest : (Z, Y, X) ndarray of int32
        Flat index of the labelled voxel that each voxel belongs to (`grow_labels`); -1 for none.
    gap_um
        Widest gap of a face.
    spacing_um
        Voxel size in µm.
    """
    arguments = (labels, nearest, gap_um + 1e-9, np.array(spacing_um, np.float64))
    count = _list_faces(*arguments, *_empty(0), False)
    arrays = _empty(count)
    _list_faces(*arguments, *arrays, True)
    return Faces(*arrays)


def _empty(count: int) -> Faces:
    return Faces(
        np.empty(count, np.uint32),
        np.empty(count, np.uint32),
        np.empty(count, np.int8),
        np.empty(count, np.int8),
        np.empty((count, 3), np.int32),
        np.empty(count, np.float64),
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _list_faces(
    labels: Any,
    nearest: Any,
    widest: float,
    side: Any,
    first: Any,
    second: Any,
    axes: Any,
    sign: Any,
    place: Any,
    gap: Any,
    write: bool,
) -> int:
    depth, height, width = labels.shape
    flat = labels.reshape(-1)
    count = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                own = nearest[z, y, x]
                if own < 0:
                    continue
                for axis in range(3):
                    k, j, i = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                    if k >= depth or j >= height or i >= width:
                        continue
                    other = nearest[k, j, i]
                    if other < 0 or flat[own] == flat[other]:
                        continue
                    between = _gap(own, other, height, width, side)
                    if between > widest:
                        continue
                    if write:
                        a, b = flat[own], flat[other]
                        first[count], second[count] = min(a, b), max(a, b)
                        axes[count], sign[count] = axis, 1 if a < b else -1
                        place[count, 0], place[count, 1], place[count, 2] = z, y, x
                        gap[count] = max(between, 0.0)
                    count += 1
    return count


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _gap(own: int, other: int, height: int, width: int, side: Any) -> float:
    """Measure the gap between two voxels: the distance of their centres less the length of a voxel in that direction."""
    square = inverse = 0.0
    here, there = own, other
    for axis in (2, 1, 0):
        count = width if axis == 2 else height
        step = here - there if axis == 0 else here % count - there % count
        here, there = here // count, there // count
        square += (step * side[axis]) ** 2
        inverse += float(step) ** 2
    # With v the vector between the centres and s the side, an ellipsoid of these sides has the length |v| / |v / s|.
    return float(np.sqrt(square) * (1 - 1 / np.sqrt(inverse)))


def area_of_faces(
    cube: NDArray[np.int64], faces: Faces, cubes: tuple[int, int, int], face_area: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Estimate the area of the surface that each face stands for; runs on the CPU.

    Parameters
    ----------
    cube : (N,) ndarray of int64
        Flat index of the cube that holds each face.
    faces
        Faces sorted by cube.
    cubes
        Number of cubes along z, y, x.
    face_area : (3,) ndarray of float64
        Area of a voxel's face across each axis.

    Returns
    -------
    (N,) ndarray of float64
        Areas in the unit of `face_area`.
    """
    key = np.stack([cube, faces.first.astype(np.int64), faces.second.astype(np.int64)])
    order = np.lexsort(key[::-1])
    own = key[:, order]
    start = np.ones(len(order), bool)
    start[1:] = (own[:, 1:] != own[:, :-1]).any(axis=0)
    entry = np.cumsum(start) - 1
    count = int(start.sum())
    vector = np.zeros((count, 3))
    across, sign = faces.axis[order], faces.sign[order]
    for axis in range(3):
        chosen = across == axis
        vector[:, axis] = np.bincount(entry[chosen], sign[chosen] * face_area[axis], count)
    pairs = own[:, start]
    normal = _normals(pairs, vector, np.array(cubes), _window())
    area = np.empty(len(order))
    area[order] = face_area[across] * np.abs(normal[entry, across])
    return area


def _window() -> NDArray[np.float64]:
    steps = np.arange(-WINDOW_CUBES, WINDOW_CUBES + 1)
    line = np.exp(-0.5 * (steps / WINDOW_SIGMA) ** 2)
    return line[:, None, None] * line[:, None] * line


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _normals(pairs: Any, vector: Any, cubes: Any, window: Any) -> Any:
    """Average the vector areas of a pair around each of its cubes, and return the unit normals."""
    depth, height, width = cubes
    reach = len(window) // 2
    first = np.full(depth * height * width + 1, len(vector), np.int64)
    for n in range(len(vector) - 1, -1, -1):
        first[pairs[0, n]] = n
    for place in range(len(first) - 2, -1, -1):
        first[place] = min(first[place], first[place + 1])
    normals = np.empty_like(vector)
    for n in range(len(vector)):
        place = pairs[0, n]
        z, y, x = place // (height * width), place // width % height, place % width
        total = np.zeros(3)
        for k in range(max(0, z - reach), min(depth, z + reach + 1)):
            for j in range(max(0, y - reach), min(height, y + reach + 1)):
                row = (k * height + j) * width
                left, right = max(0, x - reach), min(width, x + reach + 1)
                for m in range(first[row + left], first[row + right]):
                    if pairs[1, m] == pairs[1, n] and pairs[2, m] == pairs[2, n]:
                        i = pairs[0, m] - row
                        weight = window[k - z + reach, j - y + reach, i - x + reach]
                        for axis in range(3):
                            total[axis] += weight * vector[m, axis]
        length = np.sqrt((total**2).sum())
        # Faces that cancel have no direction: the mean of |n| over all directions is 1/2.
        for axis in range(3):
            normals[n, axis] = total[axis] / length if length > 0 else 0.5
    return normals
