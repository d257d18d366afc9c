"""Image of a ball: blurred in the plane, and averaged over the depth of the slices."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# A ball is drawn to this many blurs beyond its surface: there it is fainter than 0.007.
REACH_BLURS = 2.5
# A slice of a ball is tabulated by the distance from its axis, at steps of this many blurs up to so many beyond its edge: cubic
# interpolation is then off by 4e-4.
_PROFILE_STEP, _PROFILE_REACH = 0.7, 3.0
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
def window(ball, spacing, sigma, depth, shape, out):  # type: ignore[no-untyped-def]
    """Write the voxels (z0, z1, y0, y1, x0, x1) that a ball reaches to `out`."""
    for a in range(3):
        rim = ball[3] + (0.5 * depth if a == 0 else REACH_BLURS * sigma)
        low = max(0, math.ceil((ball[a] - rim) / spacing[a]))
        out[2 * a] = min(low, shape[a])
        out[2 * a + 1] = max(out[2 * a], min(shape[a], math.floor((ball[a] + rim) / spacing[a]) + 1))


@njit(cache=True, nogil=True)
def profile_length(radius, sigma):  # type: ignore[no-untyped-def]
    """Count the distances at which a ball of this radius is tabulated."""
    return math.ceil((radius + _PROFILE_REACH * sigma) / (_PROFILE_STEP * sigma)) + 2


@njit(cache=True, nogil=True)
def slice_profile(ball, z_nm, depth, sigma, tables, disc, out):  # type: ignore[no-untyped-def]
    """Tabulate a ball in the slice at `z_nm` by the distance from the ball's axis.

    Columns of `out`: intensity, and its derivatives by the distance, by the ball's z, and by its radius. Returns False where
    the slice does not meet the ball.
    """
    radius, middle = ball[3], z_nm - ball[0]
    low, high = max(middle - 0.5 * depth, -radius), min(middle + 0.5 * depth, radius)
    if low > high or (low == high and depth > 0.0):
        return False
    nodes = len(_NODES) if depth > 0.0 else 1
    step = _PROFILE_STEP * sigma
    out[:] = 0.0
    for k in range(nodes):
        h, share = middle, 1.0
        if depth > 0.0:
            h = 0.5 * (low + high) + 0.5 * (high - low) * _NODES[k]
            share = 0.5 * (high - low) / depth * _WEIGHTS[k]
        cut = math.sqrt(max(radius * radius - h * h, 0.0)) / sigma
        for n in range(len(out)):
            _disc(cut, n * _PROFILE_STEP, tables, disc)
            out[n, 0] += share * disc[0]
            out[n, 1] -= share * disc[2] / sigma
            # Up and down the ball, and with its radius, a disc's radius changes.
            out[n, 2] += share * disc[1] * h / (sigma * sigma)
            out[n, 3] += share * disc[1] * radius / (sigma * sigma)
    out[:, 1] *= step
    out[0, 1] = 0.0
    return True


@njit(cache=True, nogil=True)
def add_ball(image, ball, sign, spacing, sigma, depth, tables):  # type: ignore[no-untyped-def]
    """Add a ball, times `sign`, to an image."""
    box, disc = np.empty(6, np.int64), np.empty(3)
    window(ball, spacing, sigma, depth, image.shape, box)
    profile = np.empty((profile_length(ball[3], sigma), 4))
    step = _PROFILE_STEP * sigma
    for z in range(box[0], box[1]):
        if not slice_profile(ball, z * spacing[0], depth, sigma, tables, disc, profile):
            continue
        for y in range(box[2], box[3]):
            dy = y * spacing[1] - ball[1]
            for x in range(box[4], box[5]):
                dx = x * spacing[2] - ball[2]
                t = math.sqrt(dy * dy + dx * dx) / step
                k = int(t)
                if k < len(profile) - 1:
                    image[z, y, x] += sign * between(profile, k, t - k)


@njit(cache=True, nogil=True, inline="always")
def between(profile, k, f):  # type: ignore[no-untyped-def]
    """Interpolate the intensity at the fraction `f` between two distances (cubic, by values and slopes)."""
    g = 1.0 - f
    left = profile[k, 0] * (1.0 + 2.0 * f) + profile[k, 1] * f
    right = profile[k + 1, 0] * (3.0 - 2.0 * f) - profile[k + 1, 1] * g
    return left * g * g + right * f * f


@njit(cache=True, nogil=True)
def ball_derivatives(image, ball, box, root, spacing, sigma, depth, tables, out):  # type: ignore[no-untyped-def]
    """Add a ball to an image, and write its derivatives by z, y, x and radius, times `root`, to `out` (voxels of `box`, 4)."""
    disc = np.empty(3)
    profile = np.empty((profile_length(ball[3], sigma), 4))
    step = _PROFILE_STEP * sigma
    v = 0
    for z in range(box[0], box[1]):
        meets = slice_profile(ball, z * spacing[0], depth, sigma, tables, disc, profile)
        for y in range(box[2], box[3]):
            dy = y * spacing[1] - ball[1]
            for x in range(box[4], box[5]):
                w = root[z, y, x]
                dx = x * spacing[2] - ball[2]
                away = math.sqrt(dy * dy + dx * dx)
                t = away / step
                k = int(t)
                if not meets or w == 0.0 or k >= len(profile) - 1:
                    out[v, 0] = out[v, 1] = out[v, 2] = out[v, 3] = 0.0
                else:
                    f = t - k
                    image[z, y, x] += between(profile, k, f)
                    rise = 6.0 * f * (1.0 - f) * (profile[k + 1, 0] - profile[k, 0])
                    rise += (1.0 - f) * (1.0 - 3.0 * f) * profile[k, 1] + f * (3.0 * f - 2.0) * profile[
                        k + 1, 1
                    ]
                    inward = -w * rise / (step * max(away, 1e-6))
                    out[v, 0] = w * (profile[k, 2] * (1.0 - f) + profile[k + 1, 2] * f)
                    out[v, 1] = inward * dy
                    out[v, 2] = inward * dx
                    out[v, 3] = w * (profile[k, 3] * (1.0 - f) + profile[k + 1, 3] * f)
                v += 1


def draw_balls(
    balls: NDArray[np.float64],
    shape: tuple[int, ...],
    spacing: NDArray[np.float64],
    sigma: float,
    *,
    depth_nm: float | None = None,
) -> NDArray[np.float64]:
    """Draw balls on a dark ground.

    Parameters
    ----------
    balls : (N, 4) ndarray
        Centre z, y, x and radius in nm; the centre of voxel 0 is at 0.
    shape
        Shape of the image.
    spacing : (3,) ndarray
        Voxel size in nm.
    sigma
        Blur in the plane in nm: standard deviation of a Gaussian.
    depth_nm
        Depth from which the signal of a slice comes; by default the distance of the slices, 0 for slices that show planes.

    Returns
    -------
    (Z, Y, X) ndarray of float64
        Sum of the balls: 1 inside one of them.
    """
    image: NDArray[Any] = np.zeros(shape)
    depth = float(spacing[0] if depth_nm is None else depth_nm)
    for ball in balls:
        add_ball(image, ball, 1.0, spacing, sigma, depth, disc_tables())
    return image
