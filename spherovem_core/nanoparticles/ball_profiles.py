"""Profiles of balls: what each slice shows of a ball by the distance from its axis, blurred in the plane; numba on the CPU."""

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Sums may be taken in any order, and by several numbers at once.
FAST = {"contract", "reassoc", "nsz", "arcp"}
# A slice of a ball is tabulated by the distance from its axis, at steps of this many blurs up to so many beyond its edge: cubic
# interpolation is then off by 4e-4.
PROFILE_STEP, _PROFILE_REACH = 0.7, 3.0
# The tables cover distances from a disc's edge of -5 to 5 blurs and radii to 20 blurs: larger discs have a straight edge.
_EDGE, _EDGE_STEP = 5.0, 0.1
_LARGEST, _RADIUS_STEP = 20.0, 0.25
# Distances of the table from one point of a profile to the next.
_STRIDE = 7
# Nodes and weights of Gauss and Legendre on -1 to 1: depths at which the part of a ball inside a slice is cut into discs.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


@lru_cache(maxsize=1)
def disc_tables() -> NDArray[np.float64]:
    """Tabulate the image of a disc of any radius under a Gaussian blur of standard deviation 1.

    Returns
    -------
    (radii, 7, distances / 7, 4) ndarray of float64
        By radius: intensity; minus its derivative by the distance from the centre; and twice its derivative by the radius,
        divided by the radius. The intensity is the distribution function of a noncentral chi-squared variable of two degrees
        of freedom. Distance d from the edge is at [d % 7, d // 7], because a profile takes every seventh.
    """
    from scipy.special import i0e, i1e
    from scipy.stats import ncx2

    radius = np.arange(0, _LARGEST + _RADIUS_STEP, _RADIUS_STEP)[:, None]
    distance = radius + np.arange(-_EDGE, _EDGE + _EDGE_STEP / 2, _EDGE_STEP)
    away = np.abs(distance)
    ring = np.exp(-0.5 * (radius - away) ** 2)
    value = ncx2.cdf(np.broadcast_to(radius, away.shape) ** 2, 2, np.maximum(away, 1e-6) ** 2)
    outward = radius * ring * i1e(radius * away) * np.sign(distance)
    growth = ring * i0e(radius * away)
    flat = np.stack([value, outward, growth, growth], axis=-1)
    # At least one column more than the distances need, because a point and the next distance are read together.
    columns = flat.shape[1] // _STRIDE + 2
    flat = np.pad(flat, ((0, 0), (0, columns * _STRIDE - flat.shape[1]), (0, 0)))
    return np.ascontiguousarray(flat.reshape(len(flat), columns, _STRIDE, 4).swapaxes(1, 2))


@njit(cache=True, nogil=True)
def profile_length(radius, sigma):  # type: ignore[no-untyped-def]
    """Count the distances at which a ball of this radius is tabulated."""
    return math.ceil((radius + _PROFILE_REACH * sigma) / (PROFILE_STEP * sigma)) + 2


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def slice_profile(ball, z_nm, depth, sigma, tables, out):  # type: ignore[no-untyped-def]
    """Tabulate a ball in the slice at `z_nm` by the distance from the ball's axis.

    Columns of `out` (length, 4): intensity, and its derivatives by the distance, by the ball's z, and by its radius. Returns
    False where the slice does not meet the ball.
    """
    radius, middle = ball[3], z_nm - ball[0]
    low, high = max(middle - 0.5 * depth, -radius), min(middle + 0.5 * depth, radius)
    if low > high or (low == high and depth > 0.0):
        return False
    out[:] = 0.0
    for k in range(len(_NODES) if depth > 0.0 else 1):
        h, share = middle, 1.0
        if depth > 0.0:
            h = 0.5 * (low + high) + 0.5 * (high - low) * _NODES[k]
            share = 0.5 * (high - low) / depth * _WEIGHTS[k]
        cut = math.sqrt(max(radius * radius - h * h, 0.0)) / sigma
        # Up and down the ball, and with its radius, a disc's radius changes.
        _add_disc(cut, share, PROFILE_STEP, h / (sigma * sigma), radius / (sigma * sigma), tables, out)
    out[0, 1] = 0.0
    return True


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _add_disc(cut, share, inward, by_z, by_radius, tables, out):  # type: ignore[no-untyped-def]
    """Add a disc of radius `cut` to a profile, by bilinear interpolation; all lengths in blurs."""
    length = len(out)
    at, first = (_EDGE - cut) / _EDGE_STEP, 0
    if at <= 0.0:
        first = min(int(-at / _STRIDE) + 1, length)
        at += first * _STRIDE
    for n in range(first):
        out[n, 0] += share
    u = min(cut, _LARGEST) / _RADIUS_STEP
    i, j = min(int(u), tables.shape[0] - 2), int(at)
    a, b = u - i, at - j
    near, far = share * (1.0 - a), share * a
    w00, w01, w10, w11 = near * (1.0 - b), near * b, far * (1.0 - b), far * b
    p, m = j % _STRIDE, j // _STRIDE
    q, o = (p + 1, m) if p + 1 < _STRIDE else (0, m + 1)
    last = 2.0 * _EDGE / _EDGE_STEP
    count = min(length - first, math.ceil((last - at) / _STRIDE))
    for n in range(count):
        near0, near1, far0, far1 = (
            tables[i, p, m + n],
            tables[i, q, o + n],
            tables[i + 1, p, m + n],
            tables[i + 1, q, o + n],
        )
        # All are read before the first is written: they are computed as one vector.
        value = w00 * near0[0] + w01 * near1[0] + w10 * far0[0] + w11 * far1[0]
        fall = w00 * near0[1] + w01 * near1[1] + w10 * far0[1] + w11 * far1[1]
        deeper = w00 * near0[2] + w01 * near1[2] + w10 * far0[2] + w11 * far1[2]
        larger = w00 * near0[3] + w01 * near1[3] + w10 * far0[3] + w11 * far1[3]
        point = out[first + n]
        value, fall = point[0] + value, point[1] - fall * inward
        deeper, larger = point[2] + deeper * by_z, point[3] + larger * by_radius
        point[0], point[1], point[2], point[3] = value, fall, deeper, larger
