"""Levenberg and Marquardt steps for all balls of a scene together, on the windows that the balls reach; numba on the CPU."""

import math

import numpy as np
from numba import njit

from spherovem_core.nanoparticles.ball_images import add_ball, add_with_derivatives, window
from spherovem_core.nanoparticles.ball_profiles import FAST, profile_length

# The steps end when no ball moves by more than this fraction of its radius, or when the squared residual falls by less than this.
_STILL, _FLAT = 0.01, 3e-4
# A step moves a ball by no more than this fraction of its radius.
_LONGEST = 0.3
_DAMPING, _MOST_DAMPING = 0.01, 1e3
# The steps begin again with the brightness that those before have found.
_ROUNDS = 2
# Up to this many unknowns are solved for here; LAPACK is faster for more.
_FEW = 64


@njit(cache=True, nogil=True)
def refine_balls(balls, moving, image, weight, looked, brightness, optics, limits, prior, steps):  # type: ignore[no-untyped-def]
    """Move balls (in place) and change their radii until the squared residual and the radii's prior are smallest.

    The normal equations hold all balls that move: balls that touch pull at each other. Radii that leave the limits stay there.

    Parameters
    ----------
    balls : (N, 4) ndarray
        Centres and radii.
    moving : (M,) ndarray of int
        Balls that move.
    image, weight : (Z, Y, X) ndarray
        Image, and weight of each voxel.
    looked : (Z, Y, 2) ndarray of int64
        First and last column, half-open, of the voxels of each row that have a weight.
    brightness : (3,) ndarray
        Brightness of the component to start with, the least and the most.
    optics
        Spacing, blur, depth of a slice, and tables of discs.
    limits
        Smallest and largest radius.
    prior
        Usual radius, and weight of a squared difference from it.
    steps
        Number of steps per round at most.

    Returns
    -------
    tuple of float
        Sum of squared residuals, and the brightness that makes it smallest.
    """
    spacing, sigma, depth, tables = optics
    shape, count = image.shape, len(moving)
    fixed, still = np.zeros(shape), np.ones(len(balls), np.bool_)
    still[moving] = False
    for n in range(len(balls)):
        if still[n]:
            add_ball(fixed, balls[n], 1.0, spacing, sigma, depth, tables)
    room, length = _room(balls, moving, limits, spacing, sigma, depth, shape, looked)
    slopes, rows = np.empty((2, count, 4, room)), np.empty((2, count, shape[0], shape[1], 3), np.int64)
    boxes, sizes = np.empty((2, count, 6), np.int64), np.empty((2, count), np.int64)
    drawn, residual, root = np.empty((2, *shape)), np.empty((2, *shape)), np.sqrt(weight)
    packed, profile = np.empty(room), np.empty((length, 4))
    matrix, vector = np.empty((4 * count, 4 * count)), np.empty(4 * count)
    now, trial, bright = 0, balls.copy(), brightness[0]
    _draw(
        trial, moving, root, looked, fixed, optics, profile, slopes[0], rows[0], boxes[0], sizes[0], drawn[0]
    )
    for _round in range(_ROUNDS):
        error = _residual(image, drawn[now], bright, root, looked, residual[now])
        error += _strain(trial, moving, prior)
        damping = _DAMPING
        for _ in range(steps):
            _equations(trial, moving, slopes[now], rows[now], boxes[now], sizes[now], residual[now], prior,
                       packed, matrix, vector)  # fmt: skip
            _hold(matrix, vector, balls, moving, limits)
            for a in range(4 * count):
                matrix[a, a] += damping * matrix[a, a] + 1e-9
            moved = _step(matrix, vector, balls, moving, limits, trial)
            new = 1 - now
            _draw(trial, moving, root, looked, fixed, optics, profile, slopes[new], rows[new], boxes[new], sizes[new],
                  drawn[new])  # fmt: skip
            after = _residual(image, drawn[new], bright, root, looked, residual[new])
            after += _strain(trial, moving, prior)
            if after < error:
                flat = error - after < _FLAT * error
                balls[:], error, now = trial, after, new
                damping = max(damping / 5.0, 1e-4)
                if moved < _STILL or flat:
                    break
            else:
                trial[:] = balls
                damping *= 10.0
                if moved < _STILL or damping > _MOST_DAMPING:
                    break
        bright = _brightness(image, drawn[now], weight, looked, brightness)
    return _residual(image, drawn[now], bright, root, looked, residual[now]), bright


@njit(cache=True, nogil=True)
def _room(balls, moving, limits, spacing, sigma, depth, shape, looked):  # type: ignore[no-untyped-def]
    """Count the voxels of the largest window that a ball can get, and the points of the longest profile."""
    widest = np.zeros(4)
    widest[3] = limits[1]
    for n in moving:
        widest[3] = max(widest[3], balls[n, 3])
    box, room, all_looked = np.empty(6, np.int64), 1, 0
    for a in range(3):
        widest[a] = widest[3] + depth + 4.0 * sigma + 2.0 * spacing[a]
    window(widest, spacing, sigma, depth, (1 << 20, 1 << 20, 1 << 20), box)
    for a in range(3):
        room *= min(shape[a], box[2 * a + 1] - box[2 * a] + 1)
    for z in range(shape[0]):
        for y in range(shape[1]):
            all_looked += looked[z, y, 1] - looked[z, y, 0]
    return min(room, all_looked), profile_length(widest[3], sigma)


@njit(cache=True, nogil=True)
def _draw(balls, moving, root, looked, fixed, optics, profile, slopes, rows, boxes, sizes, drawn):  # type: ignore[no-untyped-def]
    """Draw all balls, and write windows and derivatives of those that move."""
    drawn[:] = fixed
    for m in range(len(moving)):
        sizes[m] = add_with_derivatives(
            drawn, balls[moving[m]], boxes[m], root, looked, optics, profile, rows[m], slopes[m]
        )


@njit(cache=True, nogil=True)
def _strain(balls, moving, prior):  # type: ignore[no-untyped-def]
    strain = 0.0
    for n in moving:
        strain += prior[1] * (prior[0] - balls[n, 3]) ** 2
    return strain


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _residual(image, drawn, brightness, root, looked, residual):  # type: ignore[no-untyped-def]
    """Write the weighted residuals, and return the sum of their squares."""
    error, scale = 0.0, 1.0 / brightness
    for z in range(image.shape[0]):
        for y in range(image.shape[1]):
            for x in range(looked[z, y, 0], looked[z, y, 1]):
                left = root[z, y, x] * (image[z, y, x] * scale - drawn[z, y, x])
                residual[z, y, x] = left
                error += left * left
    return error


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _brightness(image, drawn, weight, looked, brightness):  # type: ignore[no-untyped-def]
    """Compute the brightness that makes the residual smallest."""
    product, square = 0.0, 0.0
    for z in range(image.shape[0]):
        for y in range(image.shape[1]):
            for x in range(looked[z, y, 0], looked[z, y, 1]):
                product += weight[z, y, x] * drawn[z, y, x] * image[z, y, x]
                square += weight[z, y, x] * drawn[z, y, x] * drawn[z, y, x]
    return min(max(product / max(square, 1e-12), brightness[1]), brightness[2])


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _equations(balls, moving, slopes, rows, boxes, sizes, residual, prior, packed, matrix, vector):  # type: ignore[no-untyped-def]
    matrix[:] = 0.0
    for m in range(len(moving)):
        box, v = boxes[m], 0
        for z in range(box[0], box[1]):
            for y in range(box[2], box[3]):
                for x in range(rows[m, z, y, 0], rows[m, z, y, 1]):
                    packed[v] = residual[z, y, x]
                    v += 1
        _add_own(slopes[m], packed, sizes[m], 4 * m, matrix, vector)
        vector[4 * m + 3] += prior[1] * (prior[0] - balls[moving[m], 3])
        matrix[4 * m + 3, 4 * m + 3] += prior[1]
        for n in range(m + 1, len(moving)):
            other = boxes[n]
            if (
                min(box[1], other[1]) > max(box[0], other[0])
                and min(box[3], other[3]) > max(box[2], other[2])
                and min(box[5], other[5]) > max(box[4], other[4])
            ):
                _add_pair(slopes[m], slopes[n], rows[m], rows[n], box, other, 4 * m, 4 * n, matrix)


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _add_own(slopes, left, size, at, matrix, vector):  # type: ignore[no-untyped-def]
    """Add the products of a ball's derivatives with each other, and with the residual."""
    z, y, x, r = slopes[0], slopes[1], slopes[2], slopes[3]
    zz = zy = zx = zr = yy = yx = yr = xx = xr = rr = 0.0
    for v in range(size):
        zz += z[v] * z[v]
        zy += z[v] * y[v]
        zx += z[v] * x[v]
        zr += z[v] * r[v]
        yy += y[v] * y[v]
        yx += y[v] * x[v]
        yr += y[v] * r[v]
        xx += x[v] * x[v]
        xr += x[v] * r[v]
        rr += r[v] * r[v]
    products = ((zz, zy, zx, zr), (zy, yy, yx, yr), (zx, yx, xx, xr), (zr, yr, xr, rr))
    for a in range(4):
        for b in range(4):
            matrix[at + a, at + b] = products[a][b]
        total = 0.0
        for v in range(size):
            total += slopes[a, v] * left[v]
        vector[at + a] = total


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _add_pair(one, other, rows, other_rows, box, other_box, at, to, matrix):  # type: ignore[no-untyped-def]
    """Add the products of two balls' derivatives where their windows overlap."""
    block = np.zeros((4, 4))
    for z in range(max(box[0], other_box[0]), min(box[1], other_box[1])):
        for y in range(max(box[2], other_box[2]), min(box[3], other_box[3])):
            first = max(rows[z, y, 0], other_rows[z, y, 0])
            last = min(rows[z, y, 1], other_rows[z, y, 1])
            v = rows[z, y, 2] + first - rows[z, y, 0]
            u = other_rows[z, y, 2] + first - other_rows[z, y, 0]
            for k in range(last - first):
                for a in range(4):
                    for b in range(4):
                        block[a, b] += one[a, v + k] * other[b, u + k]
    for a in range(4):
        for b in range(4):
            matrix[at + a, to + b] = block[a, b]
            matrix[to + b, at + a] = block[a, b]


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


@njit(cache=True, nogil=True)
def _step(matrix, vector, balls, moving, limits, trial):  # type: ignore[no-untyped-def]
    """Move the balls of `trial` by the solution of the equations; returns the longest way, in radii."""
    if len(vector) > _FEW or not _solve(matrix, vector):
        vector[:] = np.linalg.solve(matrix, vector)
    moved = 0.0
    for m in range(len(moving)):
        n, longest = moving[m], 0.0
        for a in range(4):
            longest = max(longest, abs(vector[4 * m + a]))
        scale = 1.0 / max(1.0, longest / (_LONGEST * balls[n, 3]))
        for a in range(4):
            trial[n, a] = balls[n, a] + scale * vector[4 * m + a]
        trial[n, 3] = min(max(trial[n, 3], limits[0]), limits[1])
        for a in range(4):
            moved = max(moved, abs(trial[n, a] - balls[n, a]) / balls[n, 3])
    return moved


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _solve(matrix, vector):  # type: ignore[no-untyped-def]
    """Solve positive definite equations in place (Cholesky); returns False, and changes nothing, where they are not."""
    count = len(vector)
    factor = np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if j < i:
                factor[i, j] = total / factor[j, j]
            elif total > 0.0:
                factor[i, i] = math.sqrt(total)
            else:
                return False
    for i in range(count):
        for k in range(i):
            vector[i] -= factor[i, k] * vector[k]
        vector[i] /= factor[i, i]
    for i in range(count - 1, -1, -1):
        for k in range(i + 1, count):
            vector[i] -= factor[k, i] * vector[k]
        vector[i] /= factor[i, i]
    return True
