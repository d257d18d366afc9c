"""Streaks that cross a body: thin bright lines of one slice, cut off from what is thick."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles.bodies import Body
from spherovem_core.nanoparticles.growth import open_slices
from spherovem_core.nanoparticles.local_outline import mask_in_box

# A body this long in the plane, or not isolated, may be a particle on a streak.
_LONG = 1.6
# Streaks are at most two pixels high: an opening by three by three pixels removes them. Parts of fewer voxels go with them.
_FEWEST = 8
_MARGIN = 2


def without_streaks(body: Body, shape: tuple[int, ...], inside_volume: NDArray[np.bool_]) -> list[Body]:
    """Cut a long body into its thick parts and the thin rest.

    Parameters
    ----------
    body
        A body in a crop.
    shape
        Shape of the crop.
    inside_volume : (3, 2) ndarray of bool
        True for the faces of the crop that lie inside the volume: what another face cuts goes on beyond it.

    Returns
    -------
    list of Body
        The body itself if it is compact, or nothing thick is left of it.
    """
    if not _is_long(body):
        return [body]
    mask, low = mask_in_box(body.voxels, margin=_MARGIN)
    thick = open_slices(_continued(mask, low, shape, inside_volume)) & mask
    if thick.any():
        thick = _with_caps(thick, mask)
    filled = int(thick.sum())
    if filled < _FEWEST or filled > 0.9 * mask.sum():
        return [body]
    labels, _ = ndimage.label(thick, np.ones((3, 3, 3)))
    places = np.argwhere(thick)
    numbers = labels[tuple(places.T)]
    sizes = np.bincount(numbers)
    if sizes.max() < _FEWEST:
        return [body]
    parts = []
    grouped = np.split(places[np.argsort(numbers, kind="stable")], np.cumsum(sizes[1:-1]))
    for part in grouped:
        if len(part) >= _FEWEST:
            voxels = np.asarray(part + low, np.int32)
            parts.append(replace(body, voxels=voxels, isolated=not _touches(voxels, shape, body)))
    rest = np.argwhere(mask & ~thick)
    return [*parts, replace(body, voxels=np.asarray(rest + low, np.int32))] if len(rest) else parts


def _continued(
    mask: NDArray[np.bool_],
    low: NDArray[np.integer],
    shape: tuple[int, ...],
    inside_volume: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Continue a mask beyond the sides of the volume, within its margin."""
    out = mask.copy()
    for axis in (1, 2):
        planes = np.moveaxis(out, axis, 0)
        if low[axis] + _MARGIN == 0 and not inside_volume[axis, 0]:
            planes[:_MARGIN] = planes[_MARGIN]
        if low[axis] + out.shape[axis] - _MARGIN == shape[axis] and not inside_volume[axis, 1]:
            planes[-_MARGIN:] = planes[-_MARGIN - 1]
    return out


def _with_caps(thick: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add what joins thick voxels along z: the ends of small particles are narrow, and no streaks."""
    along = np.zeros((3, 3, 3), np.bool_)
    along[:, 1, 1] = True
    return np.asarray(ndimage.binary_propagation(thick, along, mask))


def _is_long(body: Body) -> bool:
    """Return whether a body is long in the plane or reaches beyond its crop."""
    if not body.isolated:
        return True
    if len(body.voxels) < _FEWEST:
        return False
    plane = body.voxels[:, 1:] - body.voxels[:, 1:].mean(axis=0)
    (yy, yx), (_, xx) = plane.T @ plane / len(plane)
    middle, away = (yy + xx) / 2 + 1 / 12, np.hypot((yy - xx) / 2, yx)
    return bool(middle + away > _LONG**2 * (middle - away))


def _touches(voxels: NDArray[np.int32], shape: tuple[int, ...], body: Body) -> bool:
    """Return whether a part reaches the border of the crop, if its body does."""
    if body.isolated:
        return False
    return bool((voxels.min(axis=0) == 0).any() or (voxels.max(axis=0) == np.array(shape) - 1).any())
