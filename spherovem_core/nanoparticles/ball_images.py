"""Image of a ball: blurred in the plane, and averaged over the depth of the slices; numba kernels on the CPU."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_profiles import (
    FAST,
    PROFILE_STEP,
    disc_tables,
    profile_length,
    slice_profile,
)

# A ball is drawn to this many blurs beyond its surface: there it is fainter than 0.007.
REACH_BLURS = 2.5


@njit(cache=True, nogil=True)
def window(ball, spacing, sigma, depth, shape, out):  # type: ignore[no-untyped-def]
    """Write the voxels (z0, z1, y0, y1, x0, x1) that a ball reaches to `out`."""
    for a in range(3):
        rim = ball[3] + (0.5 * depth if a == 0 else REACH_BLURS * sigma)
        low = max(0, math.ceil((ball[a] - rim) / spacing[a]))
        out[2 * a] = min(low, shape[a])
        out[2 * a + 1] = max(out[2 * a], min(shape[a], math.floor((ball[a] + rim) / spacing[a]) + 1))


@njit(cache=True, nogil=True, inline="always")
def _row_end(ball, dy, rim, spacing, low, high):  # type: ignore[no-untyped-def]
    """Return the columns from `low` to `high`, half-open, of a row that are nearer to the ball's axis than `rim`."""
    half = math.sqrt(max(rim * rim - dy * dy, 0.0))
    first = max(low, math.ceil((ball[2] - half) / spacing[2]))
    return first, max(first, min(high, math.floor((ball[2] + half) / spacing[2]) + 1))


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def add_ball(image, ball, sign, spacing, sigma, depth, tables):  # type: ignore[no-untyped-def]
    """Add a ball, times `sign`, to an image."""
    box = np.empty(6, np.int64)
    window(ball, spacing, sigma, depth, image.shape, box)
    profile = np.empty((profile_length(ball[3], sigma), 4))
    step = PROFILE_STEP * sigma
    rim = (len(profile) - 1) * step * (1.0 - 1e-9)
    for z in range(box[0], box[1]):
        if not slice_profile(ball, z * spacing[0], depth, sigma, tables, profile):
            continue
        for y in range(box[2], box[3]):
            dy = y * spacing[1] - ball[1]
            first, last = _row_end(ball, dy, rim, spacing, box[4], box[5])
            for x in range(first, last):
                dx = x * spacing[2] - ball[2]
                t = math.sqrt(dy * dy + dx * dx) / step
                k = int(t)
                image[z, y, x] += sign * _between(profile, k, t - k)


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _between(profile, k, f):  # type: ignore[no-untyped-def]
    """Interpolate the intensity at the fraction `f` between two distances (cubic, by values and slopes)."""
    g = 1.0 - f
    left = profile[k, 0] * (1.0 + 2.0 * f) + profile[k, 1] * f
    right = profile[k + 1, 0] * (3.0 - 2.0 * f) - profile[k + 1, 1] * g
    return left * g * g + right * f * f


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def add_with_derivatives(image, ball, box, root, looked, optics, profile, rows, out):  # type: ignore[no-untyped-def]
    """Add a ball to an image, and write its derivatives by z, y, x and radius, times `root`.

    Parameters
    ----------
    image, root : (Z, Y, X) ndarray
        Image, and the factor of the derivatives.
    ball : (4,) ndarray
    box : (6,) ndarray of int64
        Takes the window of the ball.
    looked : (Z, Y, 2) ndarray of int64
        First and last column, half-open, of each row that is looked at; the others get no ball.
    optics
        Spacing, blur, depth of a slice, and tables of discs.
    profile : (length, 4) ndarray
        Room for the profile of the largest ball.
    rows : (Z, Y, 3) ndarray of int64
        Takes first and last column, half-open, of each row of the window, and where its derivatives begin.
    out : (4, voxels) ndarray
        Takes the derivatives, row after row.

    Returns
    -------
    int
        Number of voxels.
    """
    spacing, sigma, depth, tables = optics
    window(ball, spacing, sigma, depth, image.shape, box)
    profile = profile[: profile_length(ball[3], sigma)]
    step = PROFILE_STEP * sigma
    rim = (len(profile) - 1) * step * (1.0 - 1e-9)
    by_z, by_y, by_x, by_radius = out[0], out[1], out[2], out[3]
    v = 0
    for z in range(box[0], box[1]):
        meets = slice_profile(ball, z * spacing[0], depth, sigma, tables, profile)
        for y in range(box[2], box[3]):
            dy = y * spacing[1] - ball[1]
            low, high = max(box[4], looked[z, y, 0]), min(box[5], looked[z, y, 1])
            first, last = _row_end(ball, dy, rim, spacing, low, high)
            if not meets:
                last = first
            rows[z, y, 0], rows[z, y, 1], rows[z, y, 2] = first, last, v
            for n in range(last - first):
                x = first + n
                w = root[z, y, x]
                dx = x * spacing[2] - ball[2]
                away = math.sqrt(dy * dy + dx * dx)
                t = away / step
                k = int(t)
                f = t - k
                image[z, y, x] += _between(profile, k, f)
                rise = 6.0 * f * (1.0 - f) * (profile[k + 1, 0] - profile[k, 0])
                rise += (1.0 - f) * (1.0 - 3.0 * f) * profile[k, 1]
                rise += f * (3.0 * f - 2.0) * profile[k + 1, 1]
                inward = -w * rise / (step * max(away, 1e-6))
                by_z[v + n] = w * (profile[k, 2] * (1.0 - f) + profile[k + 1, 2] * f)
                by_y[v + n] = inward * dy
                by_x[v + n] = inward * dx
                by_radius[v + n] = w * (profile[k, 3] * (1.0 - f) + profile[k + 1, 3] * f)
            v += last - first
    return v


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
