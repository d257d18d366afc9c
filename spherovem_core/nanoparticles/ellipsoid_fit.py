"""Fit of one ellipsoid to the image of a component: the alternative to several balls that touch."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_fitting import BallScene

# A particle's axes are at least this fraction of a voxel and of the blur: thinner ones look alike.
_THINNEST = 0.5
# Depths over which each slice is averaged.
_SAMPLES = 5
# Steps end when the squared residual falls by less than this fraction, or after so many: further ones follow the noise, which
# lengthens an ellipsoid of 1.5 : 1 to 2.5 at a noise of 15.
_STEPS, _FLAT = 8, 1e-3
# Beyond this many blurs, the far side of an ellipsoid adds less than 1e-12.
_FAR_SIDE = 7.5
# An edge along z is at least as soft as this fraction of a pixel, where slices show planes.
_SHARPEST = 0.1


@dataclass(frozen=True)
class EllipsoidFit:
    """Ellipsoid that explains a component.

    Attributes
    ----------
    error
        Sum of squared residuals, in voxels.
    diameter
        Diameter of the ball of the same volume, in nm.
    elongation
        Larger one of the longest axis by the geometric mean of the others, and of that of the longer two by the shortest.
    """

    error: float
    diameter: float
    elongation: float


def fit_ellipsoid(scene: BallScene) -> EllipsoidFit:
    """Fit centre, axes and direction of an ellipsoid, blurred and averaged over the slices as balls are.

    The edge of the blurred ellipsoid is that of a ball of the same volume, at the same distance from the surface. The fit
    starts from the moments of the image.
    """
    looked = scene.weight > 0
    values, root = scene.image[looked], np.sqrt(scene.weight[looked])
    points = np.argwhere(looked) * scene.spacing
    found = _from_moments(points, np.clip(values, 0, 1), scene)
    optics = (scene.sigma, scene.depth, _SHARPEST * float(scene.spacing[1]))
    error = _refine(found, points, values, root, optics, scene.brightness, _STEPS)
    axes = np.sort(_axes(found))
    mean = float(np.cbrt(axes.prod()))
    elongation = max(axes[2] / np.sqrt(axes[0] * axes[1]), np.sqrt(axes[1] * axes[2]) / axes[0])
    return EllipsoidFit(float(error), 2 * mean, float(elongation))


def _axes(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half axes (3,) from a centre and a triangular root of the covariance."""
    root = np.zeros((3, 3))
    root[np.tril_indices(3)] = parameters[3:]
    return np.asarray(np.sqrt(np.maximum(np.linalg.eigvalsh(root @ root.T), 1.0)))


def _from_moments(
    points: NDArray[np.float64], values: NDArray[np.float64], scene: BallScene
) -> NDArray[np.float64]:
    total = max(float(values.sum()), 1e-9)
    centre = (values[:, None] * points).sum(axis=0) / total
    away = points - centre
    covariance = (values[:, None] * away).T @ away / total
    # Slices and pixels are averages, and the plane is blurred: their variances are not the particle's.
    covariance -= np.diag(np.array([scene.depth, *scene.spacing[1:]]) ** 2 / 12 + scene.sigma**2)
    squares, directions = np.linalg.eigh(5 * covariance)
    smallest = (_THINNEST * scene.spacing.min()) ** 2
    root = np.linalg.cholesky((directions * np.maximum(squares, smallest)) @ directions.T)
    return np.concatenate([centre, root[np.tril_indices(3)]])


@njit(cache=True, nogil=True)
def _refine(parameters, points, values, root, optics, brightness, steps):  # type: ignore[no-untyped-def]
    """Take steps of Levenberg and Marquardt; change the parameters in place and return the sum of squared residuals."""
    count = len(points)
    slopes, residual = np.empty((2, count, 9)), np.empty((2, count))
    now, damping, trial = 0, 1e-2, parameters.copy()
    error = _evaluate(trial, points, values, root, optics, brightness, slopes[0], residual[0])
    for _ in range(steps):
        matrix = slopes[now].T @ slopes[now]
        vector = slopes[now].T @ residual[now]
        for a in range(9):
            matrix[a, a] += damping * matrix[a, a] + 1e-12
        trial[:] = parameters + np.linalg.solve(matrix, vector)
        after = np.inf
        if min(abs(trial[3]), abs(trial[5]), abs(trial[8])) > 1.0:
            after = _evaluate(
                trial, points, values, root, optics, brightness, slopes[1 - now], residual[1 - now]
            )
        if after < error:
            flat = error - after < _FLAT * error
            parameters[:], error, now = trial, after, 1 - now
            damping = max(damping / 5.0, 1e-4)
            if flat:
                break
        else:
            damping *= 10.0
            if damping > 1e3:
                break
    return error


@njit(cache=True, nogil=True)
def _evaluate(parameters, points, values, root, optics, brightness, slopes, residual):  # type: ignore[no-untyped-def]
    """Draw the ellipsoid; write its weighted derivatives and residuals, and return the sum of squares."""
    product, square, error = 0.0, 0.0, 0.0
    drawn, change = np.empty(len(points)), np.zeros(9)
    for p in range(len(points)):
        drawn[p] = _draw(parameters, points[p], optics, slopes[p])
        product += drawn[p] * values[p]
        square += drawn[p] ** 2
    free = product / max(square, 1e-9)
    bright = min(max(free, brightness[0]), brightness[1])
    if bright == free:
        # The brightness follows the ellipsoid, and the residual follows the brightness.
        for p in range(len(points)):
            share = (values[p] - 2.0 * bright * drawn[p]) / square
            for a in range(9):
                change[a] += slopes[p, a] * share
    for p in range(len(points)):
        residual[p] = root[p] * (values[p] / bright - drawn[p])
        follows = values[p] / bright**2
        for a in range(9):
            slopes[p, a] = root[p] * (slopes[p, a] + change[a] * follows)
        error += residual[p] ** 2
    return error


@njit(cache=True, nogil=True)
def _draw(parameters, point, optics, slopes):  # type: ignore[no-untyped-def]
    """Return the intensity in a voxel, and write its derivatives, at constant blur of the edge."""
    sigma, depth, sharpest = optics
    zz, yz, yy = parameters[3], parameters[4], parameters[5]
    xz, xy, xx = parameters[6], parameters[7], parameters[8]
    radius = abs(zz * yy * xx) ** (1.0 / 3.0)
    slopes[:] = 0.0
    drawn = 0.0
    samples = _SAMPLES if depth > 0.0 else 1
    for k in range(samples):
        vz = point[0] - parameters[0] + ((k + 0.5) / samples - 0.5) * depth
        vy, vx = point[1] - parameters[1], point[2] - parameters[2]
        # Along the axes of the root, where the ellipsoid is the ball of radius 1; and the gradient there.
        uz = vz / zz
        uy = (vy - yz * uz) / yy
        ux = (vx - xz * uz - xy * uy) / xx
        gx = ux / xx
        gy = (uy - xy * gx) / yy
        gz = (uz - yz * gy - xz * gx) / zz
        rho = max(math.sqrt(uz * uz + uy * uy + ux * ux), 1e-6)
        slope = max(math.sqrt(gz * gz + gy * gy + gx * gx), 1e-9)
        flat = math.sqrt(gy * gy + gx * gx) / slope
        # Only the plane is blurred; along z, the edge is as soft as the distance between the depths.
        soft = max(math.hypot(flat * sigma, depth / (samples * math.sqrt(12.0))), sharpest)
        outside = (rho - 1.0) * rho / slope
        d = max(radius + outside, 1e-3 * soft)
        if outside > 5.0 * soft:
            continue
        if radius - d > 5.0 * soft:
            drawn += 1.0
            continue
        low, high = math.exp(-0.5 * ((d - radius) / soft) ** 2), 0.0
        edges = math.erf((radius - d) / (math.sqrt(2.0) * soft)) + 1.0
        if radius + d < _FAR_SIDE * soft:
            # The far side is near in a small ellipsoid only.
            high = math.exp(-0.5 * ((d + radius) / soft) ** 2)
            edges += math.erf((radius + d) / (math.sqrt(2.0) * soft)) - 1.0
        ring = soft / (math.sqrt(2.0 * math.pi) * d) * (low - high)
        drawn += 0.5 * edges - ring
        fall = radius / d * (low + high) / (math.sqrt(2.0 * math.pi) * soft) - ring / d
        # The gradient's own gradient, by the same two substitutions.
        wz = gz / zz
        wy = (gy - yz * wz) / yy
        wx = (gx - xz * wz - xy * wy) / xx
        hx = wx / xx
        hy = (wy - xy * hx) / yy
        hz = (wz - yz * hy - xz * hx) / zz
        near, far = fall * (2.0 * rho - 1.0) / (slope * rho), fall * outside / (slope * slope)
        slopes[0] += near * gz - far * hz
        slopes[1] += near * gy - far * hy
        slopes[2] += near * gx - far * hx
        larger = ring / d * radius / 3.0
        slopes[3] += near * gz * uz - far * (hz * uz + gz * wz) + larger / zz
        slopes[4] += near * gy * uz - far * (hy * uz + gy * wz)
        slopes[5] += near * gy * uy - far * (hy * uy + gy * wy) + larger / yy
        slopes[6] += near * gx * uz - far * (hx * uz + gx * wz)
        slopes[7] += near * gx * uy - far * (hx * uy + gx * wy)
        slopes[8] += near * gx * ux - far * (hx * ux + gx * wx) + larger / xx
    slopes /= samples
    return drawn / samples
