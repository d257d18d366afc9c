"""Streaks that cross a body: thin bright lines of one slice, cut off from what is thick."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles.bodies import Body

# A body this long in the plane, or not isolated, may be a particle on a streak.
_LONG = 1.6
# Streaks are at most two pixels high: an opening by three by three pixels removes them.
_THICK = np.ones((1, 3, 3), bool)
_FEWEST = 8


def without_streaks(body: Body, shape: tuple[int, ...]) -> list[Body]:
    """Cut a long body into its thick parts and the thin rest.

    Parameters
    ----------
    body
        A body in a crop.
    shape
        Shape of the crop.

    Returns
    -------
    list of Body
        The body itself if it is compact, or nothing thick is left of it.
    """
    if not _is_long(body):
        return [body]
    low = body.voxels.min(axis=0)
    mask = np.pad(np.zeros(body.voxels.max(axis=0) - low + 1, bool), 1)
    mask[tuple((body.voxels - low + 1).T)] = True
    thick = ndimage.binary_opening(mask, _THICK)
    labels, count = ndimage.label(thick, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    if count == 0 or sizes.max() < _FEWEST or thick.sum() > 0.9 * mask.sum():
        return [body]
    parts = []
    for number in np.flatnonzero(sizes >= _FEWEST) + 1:
        parts.append(
            replace(
                body,
                voxels=_voxels(labels == number, low),
                isolated=not _touches(labels == number, low, shape, body),
            )
        )
    rest = mask & ~thick
    return [*parts, replace(body, voxels=_voxels(rest, low))] if rest.any() else parts


def _is_long(body: Body) -> bool:
    """Return whether a body is long in the plane or reaches beyond its crop."""
    if not body.isolated:
        return True
    if len(body.voxels) < _FEWEST:
        return False
    plane = body.voxels[:, 1:] - body.voxels[:, 1:].mean(axis=0)
    short, long = np.linalg.eigvalsh(plane.T @ plane / len(plane) + np.eye(2) / 12)
    return bool(long > _LONG**2 * short)


def _voxels(mask: NDArray[np.bool_], low: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.asarray(np.argwhere(mask) - 1 + low, np.int32)


def _touches(mask: NDArray[np.bool_], low: NDArray[np.int32], shape: tuple[int, ...], body: Body) -> bool:
    """Return whether a part reaches the border of the crop, if its body does."""
    if body.isolated:
        return False
    voxels = _voxels(mask, low)
    return bool((voxels.min(axis=0) == 0).any() or (voxels.max(axis=0) == np.array(shape) - 1).any())
