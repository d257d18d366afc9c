"""Voxel faces between two labels."""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm

FIRST_CAPACITY = 1 << 12
"""Faces for which room is made at first."""


class Faces(NamedTuple):
    """Faces between labels in a block, one element a face, in the order of their voxels and axes.

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
    place: NDArray[np.int64]
    gap_um: NDArray[np.float64]


def find_faces(
    labels: NDArray[np.uint32],
    nearest: NDArray[np.int32],
    gap_um: float,
    spacing_um: SpacingNm,
    bounds: NDArray[np.int64],
    origin: NDArray[np.int64],
    chosen: NDArray[np.bool_],
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
    bounds : (3, 2) ndarray of int64
        First voxel along each axis, and the one after the last, of those whose faces are listed.
    origin : (3,) ndarray of int64
        What is added to a voxel's index for `Faces.place`.
    chosen : (Z, Y, X) ndarray of bool
        Voxels whose faces are listed.
    """
    found: tuple[NDArray[Any], ...] = _list_faces(
        labels, nearest, gap_um + 1e-9, np.array(spacing_um, np.float64), bounds, origin, chosen
    )
    return Faces(*found)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _list_faces(
    labels: Any, nearest: Any, widest: float, side: Any, bounds: Any, origin: Any, chosen: Any
) -> Any:
    height, width = labels.shape[1:]
    first, second = np.empty(FIRST_CAPACITY, np.uint32), np.empty(FIRST_CAPACITY, np.uint32)
    axes, sign = np.empty(FIRST_CAPACITY, np.int8), np.empty(FIRST_CAPACITY, np.int8)
    place, gap = np.empty((FIRST_CAPACITY, 3), np.int64), np.empty(FIRST_CAPACITY, np.float64)
    grown = _grown(labels, nearest)
    stop = bounds[:, 1]
    count = 0
    for z in range(bounds[0, 0], stop[0]):
        for y in range(bounds[1, 0], stop[1]):
            line, wanted = grown[z, y], chosen[z, y]
            if not wanted.any():
                continue
            # Beyond the last voxel, the row itself: no face.
            lines = (grown[min(z + 1, stop[0] - 1), y], grown[z, min(y + 1, stop[1] - 1)])
            for x in range(bounds[2, 0], stop[2]):
                a, after = line[x], line[min(x + 1, stop[2] - 1)]
                if not wanted[x] or a == 0 or (a == lines[0][x] and a == lines[1][x] and a == after):
                    continue
                for axis in range(3):
                    b = after if axis == 2 else lines[axis][x]
                    if b == 0 or a == b:
                        continue
                    own = nearest[z, y, x]
                    other = nearest[z + (axis == 0), y + (axis == 1), x + (axis == 2)]
                    between = 0.0
                    if labels[z, y, x] == 0 or labels[z + (axis == 0), y + (axis == 1), x + (axis == 2)] == 0:
                        between = _gap(own, other, height, width, side)
                    if between > widest:
                        continue
                    if count == len(first):
                        first, second = _longer(first), _longer(second)
                        axes, sign, gap = _longer(axes), _longer(sign), _longer(gap)
                        place = np.concatenate((place, np.empty_like(place)))
                    first[count], second[count] = min(a, b), max(a, b)
                    axes[count], sign[count] = axis, 1 if a < b else -1
                    place[count, 0], place[count, 1] = z + origin[0], y + origin[1]
                    place[count, 2] = x + origin[2]
                    gap[count] = max(between, 0.0)
                    count += 1
    return first[:count], second[:count], axes[:count], sign[:count], place[:count], gap[:count]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grown(labels: Any, nearest: Any) -> Any:
    """Return the label that each voxel belongs to."""
    grown = labels.copy()
    flat, own, place = labels.reshape(-1), grown.reshape(-1), nearest.reshape(-1)
    for n in range(len(flat)):
        if flat[n] == 0 and place[n] >= 0:
            own[n] = flat[place[n]]
    return grown


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _longer(values: Any) -> Any:
    return np.concatenate((values, np.empty_like(values)))


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
