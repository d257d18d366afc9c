"""Fit of balls to the image of a component: one after the other where they explain most, then together."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_images import add_ball, ball_voxel, disc_tables, draw_balls, window

# Candidates for a further ball have radii that fall by this factor.
_RADIUS_STEP = 0.8
_SWEEPS = 8
_MEANS = 10
# Residual at which a voxel can hold the centre of a further ball.
_OPEN = 0.2


@dataclass(frozen=True)
class BallScene:
    """Image of a component, and how balls look in it.

    Attributes
    ----------
    image : (Z, Y, X) ndarray of float64
        Scale 0 = surroundings, 1 = inside a particle.
    weight : (Z, Y, X) ndarray of float64
        0 for voxels that are not looked at.
    centres : (N, 3) ndarray of int64
        Voxels that can hold the centre of a ball.
    spacing : (3,) ndarray of float64
        Voxel size in nm.
    sigma
        Blur in nm.
    radii
        Smallest and largest radius of a ball in nm.
    brightness
        Least and most brightness of the component's particles, relative to that of the mean particle.
    radius_prior
        Mean and standard deviation of the radii in nm; an infinite standard deviation if they are not known.
    """

    image: NDArray[np.float64]
    weight: NDArray[np.float64]
    centres: NDArray[np.int64]
    spacing: NDArray[np.float64]
    sigma: float
    radii: tuple[float, float]
    brightness: tuple[float, float]
    radius_prior: tuple[float, float]

    def residual(self, drawn: NDArray[np.float64]) -> tuple[float, float]:
        """Compute the sum of squared residuals of a drawn image, and the brightness that makes it smallest."""
        square = float((self.weight * drawn * drawn).sum())
        brightness = float((self.weight * drawn * self.image).sum()) / max(square, 1e-12)
        brightness = float(np.clip(brightness, *self.brightness))
        return float((self.weight * (self.image / brightness - drawn) ** 2).sum()), brightness


@dataclass(frozen=True)
class BallFit:
    """Balls that explain a component.

    Attributes
    ----------
    balls : (N, 4) ndarray
        Centre z, y, x and radius in nm.
    error
        Sum of squared residuals, in voxels.
    brightness
        Brightness of the component relative to the scale of the image.
    noise
        Mean squared residual of a voxel.
    """

    balls: NDArray[np.float64]
    error: float
    brightness: float
    noise: float


def fit_balls(
    scene: BallScene,
    balls: NDArray[np.float64],
    brightness: float,
    noise: float,
    moving: NDArray[np.int64] | None = None,
) -> BallFit:
    """Move balls and change their radii until the residual is smallest.

    The balls take turns in steps of Levenberg and Marquardt, each on the image less the other balls. Balls that touch
    without overlap add up, so overlap costs residual.

    Parameters
    ----------
    scene
        Image to explain.
    balls : (N, 4) ndarray
        Where the balls start.
    brightness
        Brightness of the component to start with.
    noise
        Mean squared residual of a voxel, which sets the weight of the radii's prior.
    moving : (M,) ndarray of int, optional
        Balls that move; without it all do.
    """
    balls = balls.copy()
    moving = np.arange(len(balls)) if moving is None else moving
    drawn = draw_balls(balls, scene.image.shape, scene.spacing, scene.sigma)
    for _ in range(2):
        image = scene.image / brightness
        optics = (scene.spacing, scene.sigma, disc_tables())
        prior = (scene.radius_prior[0], noise / scene.radius_prior[1] ** 2)
        _refine(balls, moving, image, scene.weight, drawn, optics, scene.radii, prior, _SWEEPS)
        error, brightness = scene.residual(drawn)
    return BallFit(balls, error, brightness, error / max(float(scene.weight.sum()), 1.0))


def spread_balls(scene: BallScene, balls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share the image among balls of one radius, each at the centre of the part nearest to it (k-means).

    From there, a fit finds balls that the slices hide and that balls too large had explained before.
    """
    places = np.argwhere(scene.weight > 0)
    points = places * scene.spacing
    mass = np.clip(scene.image[tuple(places.T)], 0, 1)
    centres = balls[:, :3].copy()
    for _ in range(_MEANS):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        shares = np.bincount(nearest, mass, len(balls))
        sums = np.stack([np.bincount(nearest, mass * p, len(balls)) for p in points.T], axis=1)
        centres[shares > 0] = sums[shares > 0] / shares[shares > 0, None]
    volume = mass.sum() * scene.spacing.prod() / len(balls)
    radius = np.clip(np.cbrt(3 / (4 * np.pi) * volume), *scene.radii)
    return np.column_stack([centres, np.full(len(balls), radius)])


def next_ball(scene: BallScene, fit: BallFit) -> NDArray[np.float64]:
    """Find the ball (4,) that lowers the residual most when it is added to those found."""
    drawn = draw_balls(fit.balls, scene.image.shape, scene.spacing, scene.sigma)
    residual = scene.image / fit.brightness - drawn
    # A ball's centre is where something is left to explain.
    open_places = residual[tuple(scene.centres.T)] > _OPEN
    centres = scene.centres[open_places] if open_places.any() else scene.centres
    best, found = -np.inf, np.zeros(4)
    radius = scene.radii[1]
    while True:
        gain, place = _best_place(residual, scene, centres, radius)
        if gain > best:
            best, found = gain, np.array([*place, radius])
        if radius <= scene.radii[0]:
            return found
        radius = max(radius * _RADIUS_STEP, scene.radii[0])


def _best_place(
    residual: NDArray[np.float64], scene: BallScene, centres: NDArray[np.int64], radius: float
) -> tuple[float, NDArray[np.float64]]:
    best, place = -np.inf, np.zeros(3)
    # Half a slice is far in relation to a small ball.
    shifts = (0.0, 0.5) if scene.spacing[0] > 1.5 * scene.spacing[1] else (0.0,)
    for shift in shifts:
        half = np.ceil((radius + 2 * scene.sigma + np.array([0.5, 0, 0]) * scene.spacing) / scene.spacing)
        shape = tuple(int(2 * h) + 1 for h in half)
        centre = (half + np.array([shift, 0, 0])) * scene.spacing
        template = draw_balls(np.array([[*centre, radius]]), shape, scene.spacing, scene.sigma)
        gains = _gains(residual, scene.weight, centres, template)
        at = int(np.argmax(gains))
        if gains[at] > best:
            best = float(gains[at])
            place = (centres[at] + np.array([shift, 0, 0])) * scene.spacing
    return best, place


@njit(cache=True, nogil=True)
def _gains(residual, weight, centres, template):  # type: ignore[no-untyped-def]
    """Compute by how much a template lowers the squared residual at each place."""
    out = np.zeros(len(centres))
    hz, hy, hx = template.shape[0] // 2, template.shape[1] // 2, template.shape[2] // 2
    for n in range(len(centres)):
        z0, y0, x0 = centres[n, 0] - hz, centres[n, 1] - hy, centres[n, 2] - hx
        total = 0.0
        for k in range(max(0, -z0), min(template.shape[0], residual.shape[0] - z0)):
            for j in range(max(0, -y0), min(template.shape[1], residual.shape[1] - y0)):
                for i in range(max(0, -x0), min(template.shape[2], residual.shape[2] - x0)):
                    t = template[k, j, i]
                    z, y, x = z0 + k, y0 + j, x0 + i
                    total += weight[z, y, x] * t * (2.0 * residual[z, y, x] - t)
        out[n] = total
    return out


@njit(cache=True, nogil=True)
def _local_error(ball, box, image, weight, rest, spacing, sigma, tables):  # type: ignore[no-untyped-def]
    disc, out, total = np.empty(3), np.empty(5), 0.0
    for z in range(box[0], box[1]):
        for y in range(box[2], box[3]):
            for x in range(box[4], box[5]):
                if weight[z, y, x] > 0:
                    ball_voxel(ball, z, y, x, spacing, sigma, tables, disc, out)
                    total += weight[z, y, x] * (image[z, y, x] - rest[z, y, x] - out[0]) ** 2
    return total


@njit(cache=True, nogil=True)
def _normal_equations(ball, box, image, weight, rest, spacing, sigma, tables):  # type: ignore[no-untyped-def]
    disc, out, total = np.empty(3), np.empty(5), 0.0
    matrix, vector = np.zeros((4, 4)), np.zeros(4)
    for z in range(box[0], box[1]):
        for y in range(box[2], box[3]):
            for x in range(box[4], box[5]):
                if weight[z, y, x] > 0:
                    ball_voxel(ball, z, y, x, spacing, sigma, tables, disc, out)
                    w = weight[z, y, x]
                    error = image[z, y, x] - rest[z, y, x] - out[0]
                    total += w * error * error
                    for a in range(4):
                        vector[a] += w * error * out[a + 1]
                        for b in range(4):
                            matrix[a, b] += w * out[a + 1] * out[b + 1]
    return matrix, vector, total


@njit(cache=True, nogil=True)
def _refine(balls, moving, image, weight, drawn, optics, limits, prior, sweeps):  # type: ignore[no-untyped-def]
    spacing, sigma, tables = optics
    smallest, largest = limits
    usual, pull = prior
    damping = np.full(len(balls), 0.01)
    for _ in range(sweeps):
        moved = 0.0
        for n in moving:
            old = balls[n].copy()
            add_ball(drawn, old, -1.0, spacing, sigma, tables)
            wide = old.copy()
            wide[3] *= 1.3
            box = window(wide, spacing, sigma, image.shape)
            matrix, vector, before = _normal_equations(old, box, image, weight, drawn, spacing, sigma, tables)
            matrix[3, 3] += pull
            vector[3] += pull * (usual - old[3])
            before += pull * (usual - old[3]) ** 2
            for a in range(4):
                matrix[a, a] += damping[n] * matrix[a, a] + 1e-9
            step = np.linalg.solve(matrix, vector)
            size = np.abs(step).max() / (0.3 * old[3])
            new = old + step / max(1.0, size)
            new[3] = min(max(new[3], smallest), largest)
            after = _local_error(new, box, image, weight, drawn, spacing, sigma, tables)
            if after + pull * (usual - new[3]) ** 2 < before:
                balls[n] = new
                damping[n] = max(damping[n] / 5, 1e-4)
                moved = max(moved, np.abs(new - old).max() / old[3])
            else:
                damping[n] = min(damping[n] * 10, 1e4)
                moved = max(moved, 0.02 if damping[n] < 100 else 0.0)
            add_ball(drawn, balls[n], 1.0, spacing, sigma, tables)
        if moved < 0.01:
            break
