"""Outline of a body in uneven surroundings: half-way between its level and that of its surroundings at each place."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.nanoparticles.crop_filters import gaussian, widened
from spherovem_core.spacing import SpacingNm

# The surroundings at a place are averaged with a Gaussian of this many pixels, without the body and its blurred rim.
_REACH_PX, _RIM_PX = 3.0, 2
# The outline moves by at most so many pixels, in this many rounds.
_MOVE_PX, _ROUNDS = 2, 2
# Smoothing of the image that shows the outline: half the height of a smoothed ball lies inside the ball.
_SMOOTHING_PX = 0.8
# Bodies that extend over fewer voxels along an axis do not show an outline of their own.
_FEWEST = 6


def mask_in_box(voxels: NDArray[np.int32], margin: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Mark voxels (N, 3) in their bounding box with a margin; returns the mask, and its first voxel."""
    low = voxels.min(axis=0) - margin
    mask = np.zeros(tuple(voxels.max(axis=0) - low + margin + 1), np.bool_)
    mask[tuple((voxels - low).T)] = True
    return mask, low


def shows_outline(voxels: NDArray[np.int32]) -> bool:
    """Return whether a body of these voxels (N, 3) is wide enough to have an outline of its own."""
    return bool((voxels.max(axis=0) - voxels.min(axis=0) + 1 >= _FEWEST).all())


def refine_outline(
    voxels: NDArray[np.int32],
    level: float,
    intensity: NDArray[np.float32],
    taken: NDArray[np.bool_],
    spacing_nm: SpacingNm,
) -> NDArray[np.int32]:
    """Move the outline of a body to half its height above the surroundings there.

    Beside a bright neighbour, half the height above the mean surroundings lies outside a body, and beside a dark one inside.

    Parameters
    ----------
    voxels : (N, 3) ndarray of int32
        Voxels of the body in the crop.
    level
        Intensity inside the body.
    intensity : (Z, Y, X) ndarray of float32
        Intensities of the crop as acquired.
    taken : (Z, Y, X) ndarray of bool
        Voxels of other bodies.
    spacing_nm
        Voxel size.

    Returns
    -------
    (M, 3) ndarray of int32
        The voxels as they were where the body is small, or no surroundings are free.
    """
    import cv2
    from scipy import ndimage

    if not shows_outline(voxels):
        return voxels
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    pixel = min(spacing_nm[1:])
    reach = [_REACH_PX * pixel / step for step in spacing_nm]
    margin = np.array([int(np.ceil(3 * r)) + _RIM_PX + _MOVE_PX for r in reach])
    start, stop = np.maximum(low - margin, 0), np.minimum(high + margin, intensity.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    free = ~taken[box]
    image = np.stack([cv2.GaussianBlur(plane, (0, 0), _SMOOTHING_PX) for plane in intensity[box]])
    body = np.zeros(image.shape, np.bool_)
    body[tuple((voxels - start).T)] = True
    allowed = widened(body, _MOVE_PX) & free
    first = body
    for _ in range(_ROUNDS):
        around = free & ~widened(body, _RIM_PX)
        weight = gaussian(around.astype(np.float32), reach, 3.0)
        if not (weight[allowed] > 0).all():
            return voxels
        mean = gaussian(np.where(around, image, 0).astype(np.float32), reach, 3.0)
        surroundings = mean / np.maximum(weight, 1e-6)
        above = allowed & (image > (level + surroundings) / 2)
        pieces, count = ndimage.label(above, np.ones((3, 3, 3)))
        if not count:
            return voxels
        body = pieces == 1 + int(np.argmax(np.bincount(pieces[above & first], minlength=count + 1)[1:]))
    return np.asarray(np.argwhere(body) + start, np.int32)
