"""Image of a ball: blurred in the plane, and averaged over the thickness of the slices."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# A ball is drawn to this many blurs beyond its surface: there it is fainter than 0.007.
REACH_BLURS = 2.5
# The tables cover distances from a disc's edge of -5 to 5 blurs and radii to 20 blurs: larger discs have a straight edge.
_EDGE, _EDGE_STEP = 5.0, 0.1
_LARGEST, _RADIUS_STEP = 20.0, 0.25
# Nodes and weights of Gauss and Legendre on -1 to 1: depths at which the part of a ball inside a slice is cut into discs.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


@lru_cache(maxsize=1)
def disc_tables() -> NDArray[np.float64]:
    """Tabulate the image of a disc of any radius under a Gaussian blur of standard deviation 1.

    Returns
    -------
    (radii, distances, 3) ndarray of float64
        By radius and by distance from the edge: intensity; its derivative by the radius, divided by the radius; minus its
        derivative by the distance from the centre. The intensity is the distribution function of a noncentral chi-squared
        variable of two degrees of freedom.
    """
    from scipy.special import i0e, i1e
    from scipy.stats import ncx2

    radius = np.arange(0, _LARGEST + _RADIUS_STEP, _RADIUS_STEP)[:, None]
    distance = radius + np.arange(-_EDGE, _EDGE + _EDGE_STEP / 2, _EDGE_STEP)
    away = np.abs(distance)
    ring = np.exp(-0.5 * (radius - away) ** 2)
    value = ncx2.cdf(np.broadcast_to(radius, away.shape) ** 2, 2, np.maximum(away, 1e-6) ** 2)
    outward = radius * ring * i1e(radius * away) * np.sign(distance)
    return np.ascontiguousarray(np.stack([value, ring * i0e(radius * away), outward], axis=-1))


@njit(cache=True, nogil=True)
def _disc(radius, distance, tables, out):  # type: ignore[no-untyped-def]
    """Look a disc up by bilinear interpolation, all lengths in blurs."""
    t = (distance - radius + 5.0) / 0.1
    if t >= tables.shape[1] - 1:
        out[0] = out[1] = out[2] = 0.0
        return
    if t <= 0:
        out[0], out[1], out[2] = 1.0, 0.0, 0.0
        return
    u = min(radius, 20.0) / 0.25
    i, j = min(int(u), tables.shape[0] - 2), int(t)
    a, b = u - i, t - j
    for n in range(3):
        low = tables[i, j, n] * (1 - b) + tables[i, j + 1, n] * b
        high = tables[i + 1, j, n] * (1 - b) + tables[i + 1, j + 1, n] * b
        out[n] = low * (1 - a) + high * a


@njit(cache=True, nogil=True)
def window(ball, spacing, sigma, shape):  # type: ignore[no-untyped-def]
    """Return the voxels (z0, z1, y0, y1, x0, x1) that a ball reaches."""
    out = np.empty(6, np.int64)
    for a in range(3):
        rim = ball[3] + (0.5 * spacing[0] if a == 0 else REACH_BLURS * sigma)
        out[2 * a] = max(0, math.ceil((ball[a] - rim) / spacing[a]))
        out[2 * a + 1] = max(out[2 * a], min(shape[a], math.floor((ball[a] + rim) / spacing[a]) + 1))
    return out


@njit(cache=True, nogil=True)
def ball_voxel(ball, z, y, x, spacing, sigma, tables, disc, out):  # type: ignore[no-untyped-def]
    """Write a ball's intensity in one voxel to `out[0]`, and its derivatives by z, y, x and radius behind it."""
    out[:] = 0.0
    radius = ball[3]
    low = max((z - 0.5) * spacing[0] - ball[0], -radius)
    high = min((z + 0.5) * spacing[0] - ball[0], radius)
    if high <= low:
        return
    dy, dx = y * spacing[1] - ball[1], x * spacing[2] - ball[2]
    away = math.sqrt(dy * dy + dx * dx)
    for k in range(len(_NODES)):
        h = 0.5 * (low + high) + 0.5 * (high - low) * _NODES[k]
        share = 0.5 * (high - low) / spacing[0] * _WEIGHTS[k]
        _disc(math.sqrt(max(radius * radius - h * h, 0.0)) / sigma, away / sigma, tables, disc)
        out[0] += share * disc[0]
        # Up and down the ball, and with its radius, a disc's radius changes.
        out[1] += share * disc[1] * h / (sigma * sigma)
        out[4] += share * disc[1] * radius / (sigma * sigma)
        inward = share * disc[2] / (sigma * max(away, 1e-6))
        out[2] += inward * dy
        out[3] += inward * dx


@njit(cache=True, nogil=True)
def add_ball(image, ball, sign, spacing, sigma, tables):  # type: ignore[no-untyped-def]
    """Add a ball, times `sign`, to an image."""
    box, disc, out = window(ball, spacing, sigma, image.shape), np.empty(3), np.empty(5)
    for z in range(box[0], box[1]):
        for y in range(box[2], box[3]):
            for x in range(box[4], box[5]):
                ball_voxel(ball, z, y, x, spacing, sigma, tables, disc, out)
                image[z, y, x] += sign * out[0]


def draw_balls(
    balls: NDArray[np.float64], shape: tuple[int, ...], spacing: NDArray[np.float64], sigma: float
) -> NDArray[np.float64]:
    """Draw balls on a dark ground.

    Parameters
    ----------
    balls : (N, 4) ndarray
        Centre z, y, x and radius in nm; the centre of voxel 0 is at 0.
    shape
        Shape of the image.
    spacing : (3,) ndarray
        Voxel size in nm. A slice is as thick as slices are apart.
    sigma
        Blur in the plane in nm: standard deviation of a Gaussian.

    Returns
    -------
    (Z, Y, X) ndarray of float64
        Sum of the balls: 1 inside one of them.
    """
    image: NDArray[Any] = np.zeros(shape)
    for ball in balls:
        add_ball(image, ball, 1.0, spacing, sigma, disc_tables())
    return image
