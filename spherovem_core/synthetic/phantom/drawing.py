"""Drawing of balls into the image of a slice."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom.balls import Balls
from spherovem_core.synthetic.phantom.depth import SignalDepth, signal_above

Axes = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

# Points per pixel and axis at which the chord through a ball is averaged.
_CHORDS = 4


def draw_balls(
    image: NDArray[np.float32],
    axes: Axes,
    balls: Balls,
    depth: SignalDepth | None,
    texture: NDArray[np.float32],
) -> None:
    """Draw balls, averaged over the depth of the signal if there is one.

    In a plane, edges are a pixel wide. Over a depth, the part of a pixel's signal that comes from a ball is the exact
    integral along z, averaged over the area of the pixel.

    Parameters
    ----------
    image : (Y, X) ndarray of float32
        Changed in place.
    texture : (Y, X) ndarray of float32
        Added to the grey value of the balls.
    """
    if depth is None:
        _draw_plane(image, axes, balls.centres_um, balls.radii_um, balls.intensities, texture)
        return
    limits = (depth.top_um, depth.bottom_um, depth.escape_um)
    _draw_depth(
        image, image.copy(), axes, balls.centres_um, balls.radii_um, balls.intensities, texture, limits
    )


def mark_balls(
    owner: NDArray[np.uint32],
    axes: Axes,
    balls: Balls,
    numbers: NDArray[np.int64],
    nearest: NDArray[np.bool_],
) -> None:
    """Give each pixel whose centre lies in a ball the number of the ball plus 1.

    Parameters
    ----------
    owner : (Y, X) ndarray of uint32
        Changed in place.
    nearest : (N,) ndarray of bool
        True for balls to which this slice is the nearest. They also own the pixel that holds their centre, so that balls
        smaller than a voxel have one.
    """
    _mark(owner, axes, balls.centres_um, balls.radii_um, numbers, nearest)


def union_depth(
    image_shape: tuple[int, int], axes: Axes, balls: Balls, room_um: float
) -> NDArray[np.float32]:
    """Compute the depth in µm of each pixel in the union of balls with larger radii; far from them it is -inf."""
    depth = np.full(image_shape, -np.inf, np.float32)
    _union_depth(depth, axes, balls.centres_um, balls.radii_um + room_um)
    return depth


@njit(cache=True, nogil=True, error_model="numpy")
def _draw_plane(image, axes, centres, radii, greys, texture):  # type: ignore[no-untyped-def]
    zs, ys, xs = axes
    pixel = np.sqrt((ys[1] - ys[0]) * (xs[1] - xs[0]))
    for n in range(radii.size):
        first_y, stop_y = _window(ys, centres[n, 1], radii[n] + pixel)
        first_x, stop_x = _window(xs, centres[n, 2], radii[n] + pixel)
        for j in range(first_y, stop_y):
            for i in range(first_x, stop_x):
                depth = radii[n] - _distance(zs[0], ys[j], xs[i], centres[n])
                covered = min(max(depth / pixel + 0.5, 0.0), 1.0)
                image[j, i] += covered * (greys[n] + texture[j, i] - image[j, i])


@njit(cache=True, nogil=True, error_model="numpy")
def _draw_depth(image, under, axes, centres, radii, greys, texture, limits):  # type: ignore[no-untyped-def]
    zs, ys, xs = axes
    step_y, step_x = ys[1] - ys[0], xs[1] - xs[0]
    pixel = max(step_y, step_x)
    for n in range(radii.size):
        first_y, stop_y = _window(ys, centres[n, 1], radii[n] + pixel)
        first_x, stop_x = _window(xs, centres[n, 2], radii[n] + pixel)
        for j in range(first_y, stop_y):
            for i in range(first_x, stop_x):
                share = 0.0
                for v in range(_CHORDS):
                    y = ys[j] + ((v + 0.5) / _CHORDS - 0.5) * step_y - centres[n, 1]
                    for u in range(_CHORDS):
                        x = xs[i] + ((u + 0.5) / _CHORDS - 0.5) * step_x - centres[n, 2]
                        squared = radii[n] ** 2 - y * y - x * x
                        if squared > 0:
                            half = np.sqrt(squared)
                            z = centres[n, 0] - zs[0]
                            share += signal_above(z + half, *limits) - signal_above(z - half, *limits)
                share /= _CHORDS * _CHORDS
                image[j, i] += share * (greys[n] + texture[j, i] - under[j, i])


@njit(cache=True, nogil=True, error_model="numpy")
def _mark(owner, axes, centres, radii, numbers, nearest):  # type: ignore[no-untyped-def]
    zs, ys, xs = axes
    for n in range(radii.size):
        first_y, stop_y = _window(ys, centres[n, 1], radii[n])
        first_x, stop_x = _window(xs, centres[n, 2], radii[n])
        for j in range(first_y, stop_y):
            for i in range(first_x, stop_x):
                if radii[n] > _distance(zs[0], ys[j], xs[i], centres[n]):
                    owner[j, i] = numbers[n] + 1
    for n in range(radii.size):
        if not nearest[n]:
            continue
        j = int(np.rint((centres[n, 1] - ys[0]) / (ys[1] - ys[0])))
        i = int(np.rint((centres[n, 2] - xs[0]) / (xs[1] - xs[0])))
        if 0 <= j < ys.size and 0 <= i < xs.size and owner[j, i] == 0:
            owner[j, i] = numbers[n] + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _union_depth(depth, axes, centres, radii):  # type: ignore[no-untyped-def]
    zs, ys, xs = axes
    pixel = np.sqrt((ys[1] - ys[0]) * (xs[1] - xs[0]))
    for n in range(radii.size):
        reach = radii[n] + pixel
        if abs(zs[0] - centres[n, 0]) > reach:
            continue
        first_y, stop_y = _window(ys, centres[n, 1], reach)
        first_x, stop_x = _window(xs, centres[n, 2], reach)
        for j in range(first_y, stop_y):
            for i in range(first_x, stop_x):
                inside = radii[n] - _distance(zs[0], ys[j], xs[i], centres[n])
                depth[j, i] = max(depth[j, i], inside)


@njit(cache=True, nogil=True, error_model="numpy")
def _window(axis, centre, reach):  # type: ignore[no-untyped-def]
    step = axis[1] - axis[0]
    first = max(int((centre - reach - axis[0]) / step), 0)
    return first, min(int((centre + reach - axis[0]) / step) + 2, axis.size)


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(z, y, x, centre):  # type: ignore[no-untyped-def]
    return np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
