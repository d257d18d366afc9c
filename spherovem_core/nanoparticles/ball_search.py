"""Search for the place of a further ball: where the image of one explains most of what is left."""

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_fitting import BallFit, BallScene
from spherovem_core.nanoparticles.ball_images import draw_balls

# Candidates have radii that fall by this factor.
_RADIUS_STEP = 0.8
# Residual at which a voxel can hold the centre of a further ball.
_OPEN = 0.2
# Every second row and column is looked at first, where a ball's radius has at least this many pixels.
_COARSE = 3.0


def next_ball(scene: BallScene, fit: BallFit) -> NDArray[np.float64]:
    """Find the ball (4,) that lowers the residual most when it is added to those found."""
    residual = scene.image / fit.brightness - scene.draw(fit.balls)
    # A ball's centre is where something is left to explain.
    places = scene.inside & (residual > _OPEN)
    if not places.any():
        places = scene.inside
    twice = 2.0 * scene.weight * residual
    best, found = -np.inf, np.zeros(4)
    radius = scene.radii[1]
    while True:
        stride = 2 if radius >= _COARSE * scene.spacing[1:].max() else 1
        # Half a slice is far in relation to a small ball.
        for shift in (0.0, 0.5) if scene.spacing[0] > 1.5 * scene.spacing[1] else (0.0,):
            template, ends = _template(radius, shift, tuple(scene.spacing), scene.sigma, scene.depth)
            gain, z, y, x = _best_place(twice, scene.weight, places, template, ends, stride)
            if gain > best:
                best, found = gain, np.array([*(np.array([z + shift, y, x]) * scene.spacing), radius])
        if radius <= scene.radii[0]:
            return found
        radius = max(radius * _RADIUS_STEP, scene.radii[0])


@lru_cache(maxsize=256)
def _template(
    radius: float, shift: float, spacing: tuple[float, ...], sigma: float, depth: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw a ball in the middle of an image, `shift` slices deeper, and list where each of its rows begins and ends."""
    step = np.array(spacing)
    half = np.ceil((radius + 2 * sigma + np.array([0.5, 0, 0]) * step) / step)
    centre = (half + np.array([shift, 0, 0])) * step
    template = draw_balls(
        np.array([[*centre, radius]]), tuple(int(2 * h) + 1 for h in half), step, sigma, depth_nm=depth
    )
    filled = template > 1e-3
    first = np.where(filled.any(axis=2), filled.argmax(axis=2), 0)
    last = np.where(filled.any(axis=2), filled.shape[2] - filled[:, :, ::-1].argmax(axis=2), 0)
    return template, np.stack([first, last], axis=-1)


@njit(cache=True, nogil=True, fastmath=True)
def _gain(twice, weight, z0, y0, x0, template, ends):  # type: ignore[no-untyped-def]
    """Compute by how much a template whose first voxel lies at (z0, y0, x0) lowers the squared residual."""
    total = 0.0
    for k in range(max(0, -z0), min(template.shape[0], weight.shape[0] - z0)):
        for j in range(max(0, -y0), min(template.shape[1], weight.shape[1] - y0)):
            row, left, looked = template[k, j], twice[z0 + k, y0 + j], weight[z0 + k, y0 + j]
            for i in range(max(ends[k, j, 0], -x0), min(ends[k, j, 1], weight.shape[2] - x0)):
                total += row[i] * (left[x0 + i] - looked[x0 + i] * row[i])
    return total


@njit(cache=True, nogil=True)
def _best_place(twice, weight, places, template, ends, stride):  # type: ignore[no-untyped-def]
    """Find the place where the template lowers the squared residual most: on a grid, then uphill."""
    hz, hy, hx = template.shape[0] // 2, template.shape[1] // 2, template.shape[2] // 2
    best, bz, by, bx = -np.inf, 0, 0, 0
    for z in range(places.shape[0]):
        for y in range(places.shape[1]):
            for x in range(places.shape[2]):
                # Where nothing is found on the grid, the first place of all begins.
                if places[z, y, x] and ((y % stride == 0 and x % stride == 0) or best == -np.inf):
                    gain = _gain(twice, weight, z - hz, y - hy, x - hx, template, ends)
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
                        gain = _gain(twice, weight, z - hz, y - hy, x - hx, template, ends)
                        if gain > best:
                            best, bz, by, bx, climbing = gain, z, y, x, True
    return best, bz, by, bx
