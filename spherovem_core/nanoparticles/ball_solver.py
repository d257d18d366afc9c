"""Levenberg and Marquardt steps for all balls of a scene together, on the windows that the balls reach."""

import numpy as np
from numba import njit

from spherovem_core.nanoparticles.ball_images import add_ball, ball_derivatives, window

# The steps end when no ball moves by more than this fraction of its radius, or when the squared residual falls by less than this.
_STILL, _FLAT = 0.01, 3e-4
# A step moves a ball by no more than this fraction of its radius.
_LONGEST = 0.3
_DAMPING, _MOST_DAMPING = 0.01, 1e3


@njit(cache=True, nogil=True)
def refine_balls(balls, moving, image, root, optics, limits, prior, steps):  # type: ignore[no-untyped-def]
    """Move balls (in place) and change their radii until the squared residual and the radii's prior are smallest.

    The normal equations hold all balls that move: balls that touch pull at each other. Radii that leave the limits stay there.

    Parameters
    ----------
    balls : (N, 4) ndarray
        Centres and radii.
    moving : (M,) ndarray of int
        Balls that move.
    image, root : (Z, Y, X) ndarray
        Image, and square root of the weight of each voxel.
    optics
        Spacing, blur, depth of a slice, and tables of discs.
    limits
        Smallest and largest radius.
    prior
        Usual radius, and weight of a squared difference from it.
    steps
        Number of steps at most.
    """
    spacing, sigma, depth, tables = optics
    rest, count = image.copy(), len(moving)
    still = np.ones(len(balls), np.bool_)
    still[moving] = False
    for n in range(len(balls)):
        if still[n]:
            add_ball(rest, balls[n], -1.0, spacing, sigma, depth, tables)
    room = _room(balls, moving, limits, spacing, sigma, depth, image.shape)
    slopes, boxes = np.empty((2, count, room, 4)), np.empty((2, count, 6), np.int64)
    residual = np.empty((2, *image.shape))
    now, trial = 0, balls.copy()
    error = _evaluate(trial, moving, rest, root, optics, prior, slopes[0], boxes[0], residual[0])
    damping = _DAMPING
    for _ in range(steps):
        matrix, vector = _equations(trial, moving, slopes[now], boxes[now], residual[now], prior)
        _hold(matrix, vector, balls, moving, limits)
        for a in range(4 * count):
            matrix[a, a] += damping * matrix[a, a] + 1e-9
        change = np.linalg.solve(matrix, vector)
        moved = 0.0
        for m in range(count):
            n, longest = moving[m], 0.0
            for a in range(4):
                longest = max(longest, abs(change[4 * m + a]))
            scale = 1.0 / max(1.0, longest / (_LONGEST * balls[n, 3]))
            for a in range(4):
                trial[n, a] = balls[n, a] + scale * change[4 * m + a]
            trial[n, 3] = min(max(trial[n, 3], limits[0]), limits[1])
            for a in range(4):
                moved = max(moved, abs(trial[n, a] - balls[n, a]) / balls[n, 3])
        after = _evaluate(
            trial, moving, rest, root, optics, prior, slopes[1 - now], boxes[1 - now], residual[1 - now]
        )
        if after < error:
            flat = error - after < _FLAT * error
            balls[:], error, now = trial, after, 1 - now
            damping = max(damping / 5.0, 1e-4)
            if moved < _STILL or flat:
                break
        else:
            trial[:] = balls
            damping *= 10.0
            if moved < _STILL or damping > _MOST_DAMPING:
                break


@njit(cache=True, nogil=True)
def _room(balls, moving, limits, spacing, sigma, depth, shape):  # type: ignore[no-untyped-def]
    """Count the voxels of the largest window that a ball can get."""
    widest = np.zeros(4)
    widest[3] = limits[1]
    for n in moving:
        widest[3] = max(widest[3], balls[n, 3])
    box, room = np.empty(6, np.int64), 1
    for a in range(3):
        widest[a] = widest[3] + depth + 4.0 * sigma + 2.0 * spacing[a]
    window(widest, spacing, sigma, depth, (1 << 20, 1 << 20, 1 << 20), box)
    for a in range(3):
        room *= min(shape[a], box[2 * a + 1] - box[2 * a] + 1)
    return room


@njit(cache=True, nogil=True)
def _evaluate(balls, moving, rest, root, optics, prior, slopes, boxes, residual):  # type: ignore[no-untyped-def]
    """Write derivatives, windows and weighted residuals, and return the sum of their squares and of the prior's."""
    spacing, sigma, depth, tables = optics
    residual[:] = 0.0
    error = 0.0
    for m in range(len(moving)):
        ball = balls[moving[m]]
        window(ball, spacing, sigma, depth, rest.shape, boxes[m])
        ball_derivatives(residual, ball, boxes[m], root, spacing, sigma, depth, tables, slopes[m])
        error += prior[1] * (prior[0] - ball[3]) ** 2
    for z in range(rest.shape[0]):
        for y in range(rest.shape[1]):
            for x in range(rest.shape[2]):
                left = root[z, y, x] * (rest[z, y, x] - residual[z, y, x])
                residual[z, y, x] = left
                error += left * left
    return error


@njit(cache=True, nogil=True)
def _equations(balls, moving, slopes, boxes, residual, prior):  # type: ignore[no-untyped-def]
    count = len(moving)
    matrix, vector = np.zeros((4 * count, 4 * count)), np.zeros(4 * count)
    for m in range(count):
        box, v = boxes[m], 0
        for z in range(box[0], box[1]):
            for y in range(box[2], box[3]):
                for x in range(box[4], box[5]):
                    left = residual[z, y, x]
                    for a in range(4):
                        vector[4 * m + a] += left * slopes[m, v, a]
                    v += 1
        vector[4 * m + 3] += prior[1] * (prior[0] - balls[moving[m], 3])
        for n in range(m, count):
            _add_block(matrix, m, n, slopes, boxes)
        matrix[4 * m + 3, 4 * m + 3] += prior[1]
    return matrix, vector


@njit(cache=True, nogil=True)
def _add_block(matrix, m, n, slopes, boxes):  # type: ignore[no-untyped-def]
    """Add the products of two balls' derivatives where their windows overlap."""
    one, other, block = boxes[m], boxes[n], np.zeros((4, 4))
    x0, x1 = max(one[4], other[4]), min(one[5], other[5])
    met = False
    for z in range(max(one[0], other[0]), min(one[1], other[1])):
        for y in range(max(one[2], other[2]), min(one[3], other[3])):
            v = ((z - one[0]) * (one[3] - one[2]) + y - one[2]) * (one[5] - one[4]) + x0 - one[4]
            u = (
                ((z - other[0]) * (other[3] - other[2]) + y - other[2]) * (other[5] - other[4])
                + x0
                - other[4]
            )
            for k in range(x1 - x0):
                met = True
                for a in range(4):
                    for b in range(4):
                        block[a, b] += slopes[m, v + k, a] * slopes[n, u + k, b]
    if met:
        for a in range(4):
            for b in range(4):
                matrix[4 * m + a, 4 * n + b] = block[a, b]
                matrix[4 * n + b, 4 * m + a] = block[a, b]


@njit(cache=True, nogil=True)
def _hold(matrix, vector, balls, moving, limits):  # type: ignore[no-untyped-def]
    """Take the radii that press against a limit out of the equations."""
    for m in range(len(moving)):
        radius, k = balls[moving[m], 3], 4 * m + 3
        if (radius <= limits[0] and vector[k] < 0.0) or (radius >= limits[1] and vector[k] > 0.0):
            matrix[k, :] = 0.0
            matrix[:, k] = 0.0
            matrix[k, k] = 1.0
            vector[k] = 0.0
