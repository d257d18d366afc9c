"""Search for the place of a further ball: where the image of one explains most of what is left; numba on the CPU."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_fitting import BallFit, BallScene
from spherovem_core.nanoparticles.ball_images import add_ball, draw_balls
from spherovem_core.nanoparticles.ball_profiles import FAST, disc_tables

# Candidates have radii that fall by this factor.
_RADIUS_STEP = 0.8
# Residual at which a voxel can hold the centre of a further ball.
_OPEN = 0.2
# Every second row and column is looked at first, where a ball's radius has at least this many pixels.
_COARSE = 3.0


class _Templates(NamedTuple):
    """Images of balls of all radii, as lists of voxels one after the other.

    Attributes
    ----------
    values : (V,) ndarray of float64
        Intensity of each voxel.
    offsets : (V, 3) ndarray of int64
        Its place relative to that of the ball.
    bounds : (templates + 1,) ndarray of int64
        Where the voxels of each template begin.
    kinds : (templates, 3) ndarray of float64
        Radius, part of a slice by which the ball lies deeper, and stride of the search.
    reach : (3,) ndarray of int64
        Voxels that the largest one reaches to each side.
    """

    values: NDArray[np.float64]
    offsets: NDArray[np.int64]
    bounds: NDArray[np.int64]
    kinds: NDArray[np.float64]
    reach: NDArray[np.int64]


def next_ball(scene: BallScene, fit: BallFit) -> NDArray[np.float64]:
    """Find the ball (4,) that lowers the residual most when it is added to those found."""
    templates = _templates(scene.radii, tuple(scene.spacing), scene.sigma, scene.depth)
    optics = (scene.spacing, scene.sigma, scene.depth, disc_tables())
    return np.asarray(
        _search(scene.image, scene.weight, scene.inside, fit.balls, fit.brightness, optics, *templates)
    )


@lru_cache(maxsize=64)
def _templates(
    radii: tuple[float, float], spacing: tuple[float, ...], sigma: float, depth: float
) -> _Templates:
    values, offsets, kinds = [], [], []
    radius = radii[1]
    while True:
        stride = 2 if radius >= _COARSE * max(spacing[1:]) else 1
        # Half a slice is far in relation to a small ball.
        for shift in (0.0, 0.5) if spacing[0] > 1.5 * spacing[1] else (0.0,):
            intensity, places = _template(radius, shift, spacing, sigma, depth)
            values.append(intensity)
            offsets.append(places)
            kinds.append((radius, shift, stride))
        if radius <= radii[0]:
            break
        radius = max(radius * _RADIUS_STEP, radii[0])
    bounds = np.cumsum([0, *map(len, values)])
    reach = np.abs(np.concatenate(offsets)).max(axis=0)
    return _Templates(np.concatenate(values), np.concatenate(offsets), bounds, np.array(kinds), reach)


def _template(
    radius: float, shift: float, spacing: tuple[float, ...], sigma: float, depth: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw a ball, `shift` slices deeper, and list its voxels row by row, from the first to the last that it fills."""
    step = np.array(spacing)
    half = np.ceil((radius + 2 * sigma + np.array([0.5, 0, 0]) * step) / step)
    centre = (half + np.array([shift, 0, 0])) * step
    template = draw_balls(
        np.array([[*centre, radius]]), tuple(int(2 * h) + 1 for h in half), step, sigma, depth_nm=depth
    )
    filled = template > 1e-3
    before = np.logical_or.accumulate(filled, axis=2)
    after = np.logical_or.accumulate(filled[:, :, ::-1], axis=2)[:, :, ::-1]
    places = np.argwhere(before & after)
    return template[tuple(places.T)], places - half.astype(np.int64)


@njit(cache=True, nogil=True)
def _search(image, weight, inside, balls, brightness, optics, values, offsets, bounds, kinds, reach):  # type: ignore[no-untyped-def]
    """Find the place and the template that lower the squared residual most; returns the ball."""
    spacing, sigma, depth, tables = optics
    left = image / brightness
    for n in range(len(balls)):
        add_ball(left, balls[n], -1.0, spacing, sigma, depth, tables)
    # A ball's centre is where something is left to explain.
    places = inside & (left > _OPEN)
    if not places.any():
        places = inside
    # With a margin as wide as a template, where nothing is looked at, no template leaves the image.
    rows, columns = image.shape[1] + 2 * reach[1], image.shape[2] + 2 * reach[2]
    pairs = np.zeros(((image.shape[0] + 2 * reach[0]) * rows * columns, 2))
    for z in range(image.shape[0]):
        for y in range(image.shape[1]):
            at = ((z + reach[0]) * rows + y + reach[1]) * columns + reach[2]
            for x in range(image.shape[2]):
                pairs[at + x, 0] = 2.0 * weight[z, y, x] * left[z, y, x]
                pairs[at + x, 1] = weight[z, y, x]
    flat = (offsets[:, 0] * rows + offsets[:, 1]) * columns + offsets[:, 2]
    origin = (reach[0] * rows + reach[1]) * columns + reach[2]
    best, found = -np.inf, np.zeros(4)
    for n in range(len(kinds)):
        own = slice(bounds[n], bounds[n + 1])
        gain, z, y, x = _best_place(
            pairs, places, values[own], flat[own], int(kinds[n, 2]), origin, rows, columns
        )
        if gain > best:
            best = gain
            found[0], found[1], found[2] = (z + kinds[n, 1]) * spacing[0], y * spacing[1], x * spacing[2]
            found[3] = kinds[n, 0]
    return found


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _gain(pairs, at, values, flat):  # type: ignore[no-untyped-def]
    """Compute by how much a template lowers the squared residual."""
    total = 0.0
    for n in range(len(values)):
        total += values[n] * (pairs[at + flat[n], 0] - pairs[at + flat[n], 1] * values[n])
    return total


@njit(cache=True, nogil=True)
def _best_place(pairs, places, values, flat, stride, origin, rows, columns):  # type: ignore[no-untyped-def]
    """Find the place where the template lowers the squared residual most: on a grid, then uphill."""
    best, bz, by, bx = -np.inf, 0, 0, 0
    for z in range(places.shape[0]):
        for y in range(places.shape[1]):
            for x in range(places.shape[2]):
                # Where nothing is found on the grid, the first place of all begins.
                if places[z, y, x] and ((y % stride == 0 and x % stride == 0) or best == -np.inf):
                    gain = _gain(pairs, origin + (z * rows + y) * columns + x, values, flat)
                    if gain > best:
                        best, bz, by, bx = gain, z, y, x
    climbing = stride > 1
    while climbing:
        climbing = False
        cz, cy, cx = bz, by, bx
        for z in range(max(0, cz - 1), min(places.shape[0], cz + 2)):
            for y in range(max(0, cy - 1), min(places.shape[1], cy + 2)):
                for x in range(max(0, cx - 1), min(places.shape[2], cx + 2)):
                    if places[z, y, x] and (z != cz or y != cy or x != cx):
                        gain = _gain(pairs, origin + (z * rows + y) * columns + x, values, flat)
                        if gain > best:
                            best, bz, by, bx, climbing = gain, z, y, x, True
    return best, bz, by, bx
