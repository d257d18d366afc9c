"""Survey of one piece of a body: sums over its territory, and its voxels by height; numba kernels on the CPU."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Heights, relative to the contrast, from which voxels count for centre and moments, and between which an edge is measured.
_FOOT, _INNER = 0.25, 0.75
# Quantile that stands for the slope of an outline: part of it may touch a neighbour.
_STEEP = 0.7


class PieceSurvey(NamedTuple):
    """Survey of one piece of a body; lengths in nm, places in voxels of the box of `territories`.

    Attributes
    ----------
    size, weight
        Number of voxels within the outline, and sum of the weights of those of the territory.
    box
        z0, y0, x0, z1, y1, x1, half-open.
    centre : (3,) ndarray of float64
        Centre of the weights.
    moments : (3, 3) ndarray of float64
        Their second moments.
    excess
        Sum over the territory of the intensity above the surroundings.
    section
        Number of voxels of the largest cross-section.
    outer, inner
        Number of voxels in that slice above 25 and 75 % of the contrast.
    slope
        Slope in the plane (70 % quantile), in contrasts per nm, of the voxels inside the outline that touch others; NaN
        without any.
    voxels : (N, 3) ndarray of int32
        Voxels of the territory above the surroundings, the brightest first.
    height : (N,) ndarray of float32
        Smoothed contrast of these voxels relative to the body's.
    inside : (N,) ndarray of bool
        True for those within the outline.
    """

    size: int
    weight: float
    box: NDArray[np.int64]
    centre: NDArray[np.float64]
    moments: NDArray[np.float64]
    excess: float
    section: int
    outer: int
    inner: int
    slope: float
    voxels: NDArray[np.int32]
    height: NDArray[np.float32]
    inside: NDArray[np.bool_]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def grow_once(labels: Any) -> Any:
    """Grow labels by one voxel to all sides; of two labels that meet, the higher one wins."""
    depth, height, width = labels.shape
    out = labels.copy()
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                own = labels[z, y, x]
                if own == 0:
                    continue
                for k in range(max(0, z - 1), min(depth, z + 2)):
                    for j in range(max(0, y - 1), min(height, y + 2)):
                        for i in range(max(0, x - 1), min(width, x + 2)):
                            if labels[k, j, i] == 0 and out[k, j, i] < own:
                                out[k, j, i] = own
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def survey_piece(
    number: int,
    cores: Any,
    labels: Any,
    low: Any,
    intensity: Any,
    smooth: Any,
    level: float,
    surroundings: float,
    steps: Any,
) -> Any:
    """Survey the piece of this number; returns the fields of `PieceSurvey`.

    Parameters
    ----------
    number
        Number of the piece.
    cores, labels : (z, y, x) ndarray of int32
        Pieces within their outlines, and their territories, in a box of the crop.
    low : (3,) ndarray
        First voxel of the box in the crop.
    intensity, smooth : (Z, Y, X) ndarray of float32
        Intensities of the crop, as acquired and smoothed.
    level, surroundings
        Levels of the body.
    steps : (3,) ndarray of float64
        Voxel size in nm.
    """
    shape = labels.shape
    contrast, ground = np.float32(max(level - surroundings, 1e-6)), np.float32(surroundings)
    box = np.array([shape[0], shape[1], shape[2], 0, 0, 0])
    sections = np.zeros(shape[0], np.int64)
    territory, bright, weight, excess = 0, 0, 0.0, 0.0
    centre = np.zeros(3)
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if cores[z, y, x] == number:
                    sections[z] += 1
                    box[0], box[1], box[2] = min(box[0], z), min(box[1], y), min(box[2], x)
                    box[3], box[4], box[5] = max(box[3], z + 1), max(box[4], y + 1), max(box[5], x + 1)
                if labels[z, y, x] != number:
                    continue
                territory += 1
                excess += intensity[low[0] + z, low[1] + y, low[2] + x] - ground
                height = (smooth[low[0] + z, low[1] + y, low[2] + x] - ground) / contrast
                bright += height > 0.0
                if height >= np.float32(_FOOT):
                    own = min(height, np.float32(1.0))
                    weight += own
                    centre[0] += own * z
                    centre[1] += own * y
                    centre[2] += own * x
    # A thin part of a larger body may lie below a quarter of that body's contrast.
    thin = weight == 0.0
    if thin:
        for z in range(shape[0]):
            for y in range(shape[1]):
                for x in range(shape[2]):
                    if labels[z, y, x] == number and cores[z, y, x] == number:
                        weight += 1.0
                        centre[0] += z
                        centre[1] += y
                        centre[2] += x
    centre /= weight
    widest = int(sections.argmax())
    voxels, heights = np.empty((bright, 3), np.int32), np.empty(bright, np.float32)
    within = np.empty(bright, np.bool_)
    moments = np.zeros((3, 3))
    away = np.empty(3)
    n, outer, inner = 0, 0, 0
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if labels[z, y, x] != number:
                    continue
                inside = cores[z, y, x] == number
                height = (smooth[low[0] + z, low[1] + y, low[2] + x] - ground) / contrast
                if z == widest:
                    outer += height > np.float32(_FOOT)
                    inner += height > np.float32(_INNER)
                if height > 0.0:
                    voxels[n, 0], voxels[n, 1], voxels[n, 2] = z, y, x
                    heights[n], within[n] = height, inside
                    n += 1
                own = min(height, np.float32(1.0)) if height >= np.float32(_FOOT) else np.float32(0.0)
                if thin:
                    own = np.float32(1.0) if inside else np.float32(0.0)
                if own > 0.0:
                    away[0], away[1], away[2] = z - centre[0], y - centre[1], x - centre[2]
                    for a in range(3):
                        for b in range(a, 3):
                            moments[a, b] += own * away[a] * away[b]
    for a in range(3):
        for b in range(a, 3):
            moments[a, b] *= steps[a] * steps[b] / weight
            moments[b, a] = moments[a, b]
    order = np.argsort(-heights, kind="mergesort")
    slope = outline_slope(number, cores, low, smooth, steps, sections.sum(), _STEEP) / contrast
    return (
        sections.sum(), weight, box, centre, moments, excess, sections[widest], outer, inner, slope,
        voxels[order], heights[order], within[order],
    )  # fmt: skip


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def outline_slope(number: int, cores: Any, low: Any, smooth: Any, steps: Any, size: int, part: float) -> Any:
    """Return the slope of the image along the outline of a piece in the plane.

    Parameters
    ----------
    number, cores, low, smooth, steps
        As in `survey_piece`.
    size
        Number of voxels of the piece.
    part
        Quantile of the slopes.

    Returns
    -------
    float
        Grey values per unit of `steps`; NaN where the outline is that of the crop.
    """
    slopes, count = np.empty(size), 0
    height, width = cores.shape[1:]
    rows, columns = smooth.shape[1:]
    for z in range(cores.shape[0]):
        for y in range(height):
            for x in range(width):
                if cores[z, y, x] != number:
                    continue
                enclosed = True
                for m in range(4):
                    j, i = y + (m == 0) - (m == 1), x + (m == 2) - (m == 3)
                    enclosed = enclosed and (
                        j < 0 or j >= height or i < 0 or i >= width or cores[z, j, i] != 0
                    )
                k, j, i = low[0] + z, low[1] + y, low[2] + x
                if enclosed or j == 0 or j == rows - 1 or i == 0 or i == columns - 1:
                    continue
                down = (smooth[k, j + 1, i] - smooth[k, j - 1, i]) / (2 * steps[1])
                across = (smooth[k, j, i + 1] - smooth[k, j, i - 1]) / (2 * steps[2])
                slopes[count] = np.sqrt(down * down + across * across)
                count += 1
    if count == 0:
        return np.nan
    place = int(part * (count - 1) + 0.5)
    return np.partition(slopes[:count], place)[place]
