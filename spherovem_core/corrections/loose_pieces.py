"""Pieces of a part that are cut off from it, joined to the part that they touch."""

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NEIGHBOURHOOD = np.ones((3, 3, 3), bool)


def nearest_place(
    voxels: NDArray[np.int64], places: NDArray[np.int64], spacing: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the number of the place nearest to each voxel, and the square of its distance."""
    least, nearest = np.full(len(voxels), np.inf), np.zeros(len(voxels), np.intp)
    for index, place in enumerate(places):
        squared = (((voxels - place) * spacing) ** 2).sum(axis=1)
        closer = squared < least
        least[closer], nearest[closer] = squared[closer], index
    return nearest, least


def join_loose_pieces(parts: NDArray[np.uint16], places: NDArray[np.int64]) -> None:
    """Give pieces that are not connected with the seed of their part to the part that they touch most, in place.

    Parameters
    ----------
    parts : (Z, Y, X) ndarray of uint16
        Parts numbered from 1, 0 outside; connected means 26 neighbours.
    places : (N, 3) ndarray of int64
        Seed of each part, a voxel of it.
    """
    pieces, count = cc3d.connected_components(parts, connectivity=26, out_dtype=np.uint32, return_N=True)
    loose = sorted(set(range(1, count + 1)) - set(pieces[tuple(places.T)].tolist()))
    if not loose:
        return
    boxes = cc3d.statistics(pieces)["bounding_boxes"]
    while loose:
        left = [piece for piece in loose if not _join(parts, pieces, piece, boxes[piece], loose)]
        if len(left) == len(loose):
            return
        loose = left


def _join(
    parts: NDArray[np.uint16],
    pieces: NDArray[np.uint32],
    piece: int,
    box: tuple[slice, ...],
    loose: list[int],
) -> bool:
    """Join one piece to the part that it touches most; return False if it touches only other loose pieces, or nothing."""
    wider = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
    own = pieces[wider] == piece
    ring = ndimage.binary_dilation(own, NEIGHBOURHOOD) & ~own & ~np.isin(pieces[wider], loose)
    touched = np.bincount(parts[wider][ring])
    if not touched[1:].any():
        return False
    parts[wider][own] = np.argmax(touched[1:]) + 1
    return True
