"""Bodies between two levels (a particle half in tissue, half in resin): their image as it would be in even surroundings."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.bodies import Body
from spherovem_core.nanoparticles.crop_filters import gaussian, widened
from spherovem_core.spacing import SpacingNm

# Standard deviation in pixels with which the surroundings are averaged, beyond the rim that blur brightens.
_REACH_PX, _RIM_PX, _TRUNCATE = 2.5, 2, 2.0
# What rises to this part of a body's contrast is no surroundings, but another body.
_OTHER_BODY = 0.75
# Quantiles of the surroundings along a body between which they differ, and how much of the contrast that is where two levels
# meet: the texture of tissue differs by less.
_SIDES, _TWO_LEVELS = (0.1, 0.9), 0.4
# The means of the nearest surroundings (pixels beyond the rim) in eight directions differ by this part of the contrast where a
# closer look is worth its time.
_WORTH_A_LOOK, _LOOK_PX = 0.4, 3
# A body stands out on its brighter side too: by this part of its mean contrast.
_LEAST_CONTRAST = 0.3
# Of compact bodies alone is the level beneath them known from both sides: sides of the box in a slice, and how much the outline
# grows. A part of a nucleus between its envelope and what is brighter is none.
_LONGEST, _MOST_GROWTH = 1.6, 1.4
# The outline moves by at most so many pixels, in this many rounds.
_MOVE_PX, _ROUNDS = 1, 2


class Evened(NamedTuple):
    """A body, and the image around it in even surroundings.

    Attributes
    ----------
    body
        Body with the outline at half its height above the surroundings at each place.
    intensity, smooth : (Z, Y, X) ndarray of float32
        Intensities of the crop, as acquired and smoothed, brought to the level of the body's surroundings.
    surroundings : (Z, Y, X) ndarray of float32
        Level of the surroundings at each voxel near the body, and the body's beyond.
    """

    body: Body
    intensity: NDArray[np.float32]
    smooth: NDArray[np.float32]
    surroundings: NDArray[np.float32]


def even_surroundings(
    body: Body, intensity: NDArray[np.float32], smooth: NDArray[np.float32], spacing_nm: SpacingNm
) -> Evened | None:
    """Bring the image around a body between two levels to one level.

    A voxel that a body fills by a part has that part of the height of the body above what surrounds it there, whatever
    that is. The heights are therefore measured from the surroundings at each place, and given back relative to the mean
    surroundings: size, shape, slope and likeness to a ball are then those of the same body in even surroundings.

    Parameters
    ----------
    body
        A body of the crop.
    intensity, smooth : (Z, Y, X) ndarray of float32
        Intensities of the crop, as acquired and smoothed.
    spacing_nm
        Voxel size.

    Returns
    -------
    Evened or None
        None where one level surrounds the body, it hardly stands out on one side, or it is not compact.
    """
    reach = [_REACH_PX * min(spacing_nm[1:]) / step for step in spacing_nm]
    margin = np.array([int(np.ceil(_TRUNCATE * r)) + _RIM_PX + _MOVE_PX for r in reach])
    low, high = body.voxels.min(axis=0), body.voxels.max(axis=0) + 1
    sides = (high - low)[1:] * np.array(spacing_nm[1:])
    if sides.max() > _LONGEST * sides.min():
        return None
    start, stop = np.maximum(low - margin, 0), np.minimum(high + margin, smooth.shape)
    limit = body.surroundings + _OTHER_BODY * body.contrast
    if _spread_of_octants(smooth, low, high, _RIM_PX, _LOOK_PX, limit) < _WORTH_A_LOOK * body.contrast:
        return None
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    mask = np.zeros(tuple(stop - start), np.bool_)
    mask[tuple((body.voxels - start).T)] = True
    found = _two_levels(mask, smooth[box], body, limit, reach)
    if found is None:
        return None
    mask, level, mean = found
    if mask.sum() > _MOST_GROWTH * len(body.voxels):
        return None
    part = (body.level - mean) / np.maximum(body.level - level, 1e-3)
    # Beyond the body's reach nothing is known of the surroundings, and nothing is measured.
    part, level = np.where(level < body.level, part, 1.0), np.where(level < body.level, level, mean)
    evened = [image.copy() for image in (intensity, smooth)]
    for image in evened:
        image[box] = mean + (image[box] - level) * part
    surroundings = np.full(smooth.shape, mean, np.float32)
    surroundings[box] = level
    voxels = np.asarray(np.argwhere(mask) + start, np.int32)
    return Evened(replace(body, voxels=voxels, surroundings=mean), evened[0], evened[1], surroundings)


def _two_levels(
    mask: NDArray[np.bool_], image: NDArray[np.float32], body: Body, limit: float, reach: list[float]
) -> tuple[NDArray[np.bool_], NDArray[np.float32], float] | None:
    """Return the outline of a body between two levels, the level at each place and its mean; None for any other body."""
    level, mean = None, 0.0
    for _ in range(_ROUNDS):
        first, level = level is None, _local_level(mask, image, limit, reach)
        if level is None:
            return None
        inside = level[mask]
        if first and np.ptp(np.quantile(inside, _SIDES)) < _TWO_LEVELS * body.contrast:
            return None
        mean = float(inside.mean())
        if body.level - float(inside.max()) < _LEAST_CONTRAST * (body.level - mean):
            return None
        mask = _outline(mask, image > (body.level + level) / 2)
    return None if level is None else (mask, level, mean)


def _local_level(
    mask: NDArray[np.bool_], image: NDArray[np.float32], limit: float, reach: list[float]
) -> NDArray[np.float32] | None:
    """Average the surroundings of a body at each voxel; None where a part of the body has none."""
    around = ~widened(mask, _RIM_PX) & (image < limit)
    weight = gaussian(around.astype(np.float32), reach, _TRUNCATE)
    total = gaussian(np.where(around, image, 0).astype(np.float32), reach, _TRUNCATE)
    if not (weight[widened(mask, _MOVE_PX)] > 0).all():
        return None
    return np.asarray(np.where(weight > 0, total / np.maximum(weight, 1e-9), np.inf), np.float32)


def _outline(mask: NDArray[np.bool_], above: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of a mask, moved by at most `_MOVE_PX`, where the image is above."""
    from scipy import ndimage

    pieces, count = ndimage.label(above & widened(mask, _MOVE_PX), np.ones((3, 3, 3)))
    if not count:
        return mask
    return np.asarray(pieces == 1 + int(np.argmax(np.bincount(pieces[pieces > 0])[1:])))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _spread_of_octants(image: Any, low: Any, high: Any, rim: int, far: int, limit: float) -> Any:
    """Return the range of the means, in eight directions, of the voxels below a limit around the box of a body."""
    sums, counts = np.zeros(8), np.zeros(8)
    depth, height, width = image.shape
    reach = rim + far
    for z in range(max(0, low[0] - 1), min(depth, high[0] + 1)):
        for y in range(max(0, low[1] - reach), min(height, high[1] + reach)):
            for x in range(max(0, low[2] - reach), min(width, high[2] + reach)):
                in_plane = low[1] - rim <= y < high[1] + rim and low[2] - rim <= x < high[2] + rim
                if (in_plane and low[0] <= z < high[0]) or image[z, y, x] >= limit:
                    continue
                octant = (
                    4 * (2 * z >= low[0] + high[0] - 1)
                    + 2 * (2 * y >= low[1] + high[1] - 1)
                    + (2 * x >= low[2] + high[2] - 1)
                )
                sums[octant] += image[z, y, x]
                counts[octant] += 1
    least, most = np.inf, -np.inf
    for octant in range(8):
        if counts[octant]:
            least = min(least, sums[octant] / counts[octant])
            most = max(most, sums[octant] / counts[octant])
    return most - least
