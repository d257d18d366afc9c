"""Fit of balls to the image of a component: one after the other where they explain most, then together."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_profiles import disc_tables
from spherovem_core.nanoparticles.ball_solver import refine_balls

_STEPS = 16
_MEANS = 10


@dataclass(frozen=True)
class BallScene:
    """Image of a component, and how balls look in it.

    Attributes
    ----------
    image : (Z, Y, X) ndarray of float64
        Scale 0 = surroundings, 1 = inside a particle.
    weight : (Z, Y, X) ndarray of float64
        0 for voxels that are not looked at.
    inside : (Z, Y, X) ndarray of bool
        Voxels that can hold the centre of a ball.
    spacing : (3,) ndarray of float64
        Voxel size in nm.
    sigma
        Blur in nm.
    depth
        Depth from which the signal of a slice comes, in nm.
    radii
        Smallest and largest radius of a ball in nm.
    brightness
        Least and most brightness of the component's particles, relative to that of the mean particle.
    radius_prior
        Mean and standard deviation of the radii in nm; an infinite standard deviation if they are not known.
    """

    image: NDArray[np.float64]
    weight: NDArray[np.float64]
    inside: NDArray[np.bool_]
    spacing: NDArray[np.float64]
    sigma: float
    depth: float
    radii: tuple[float, float]
    brightness: tuple[float, float]
    radius_prior: tuple[float, float]

    @cached_property
    def looked(self) -> NDArray[np.int64]:
        """First and last column, half-open, of the voxels of each row that have a weight (Z, Y, 2)."""
        some = self.weight > 0
        first = np.where(some.any(axis=2), some.argmax(axis=2), 0)
        last = np.where(some.any(axis=2), some.shape[2] - some[:, :, ::-1].argmax(axis=2), 0)
        return np.stack([first, last], axis=-1)

    @cached_property
    def centre_limits(self) -> NDArray[np.int64]:
        """First and last voxel along each axis (3, 2) whose weight tells whether a ball's centre may lie there.

        A particle that the border of the volume cuts can have its centre beyond it.
        """
        looked = self.weight > 0
        out = np.empty((3, 2), np.int64)
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            seen = np.flatnonzero(looked.any(axis=others))
            filled = np.atleast_1d(self.inside.any(axis=others))
            out[axis, 0] = seen[0] if filled[seen[0]] else 0
            out[axis, 1] = seen[-1] if filled[seen[-1]] else looked.shape[axis] - 1
        return out

    @cached_property
    def total_weight(self) -> float:
        """Sum of the weights."""
        return float(self.weight.sum())

    @cached_property
    def mass(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Places (N, 3) in nm of the voxels that have a weight, and the part of each that is filled."""
        places = np.argwhere(self.weight > 0)
        return places * self.spacing, np.clip(self.image[tuple(places.T)], 0, 1)


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

    Balls that touch without overlap add up, so overlap costs residual.

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
    optics = (scene.spacing, scene.sigma, scene.depth, disc_tables())
    prior = (scene.radius_prior[0], noise / scene.radius_prior[1] ** 2)
    bright = np.array([brightness, *scene.brightness])
    error, brightness = refine_balls(
        balls, moving, scene.image, scene.weight, scene.looked, bright, optics, scene.radii, prior, _STEPS
    )
    return BallFit(balls, error, brightness, error / max(scene.total_weight, 1.0))


def spread_balls(scene: BallScene, balls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share the image among balls of one radius, each at the centre of the part nearest to it (k-means).

    From there, a fit finds balls that the slices hide and that balls too large had explained before.
    """
    places, mass = scene.mass
    centres = _means(places, mass, balls[:, :3].copy(), _MEANS)
    volume = mass.sum() * scene.spacing.prod() / len(balls)
    radius = np.clip(np.cbrt(3 / (4 * np.pi) * volume), *scene.radii)
    return np.column_stack([centres, np.full(len(balls), radius)])


@njit(cache=True, nogil=True)
def _means(points, mass, centres, rounds):  # type: ignore[no-untyped-def]
    """Move each centre to the mean of the points nearest to it."""
    for _ in range(rounds):
        sums, shares = np.zeros(centres.shape), np.zeros(len(centres))
        for p in range(len(points)):
            if mass[p] <= 0.0:
                continue
            nearest, least = 0, np.inf
            for n in range(len(centres)):
                apart = 0.0
                for a in range(3):
                    apart += (points[p, a] - centres[n, a]) ** 2
                if apart < least:
                    nearest, least = n, apart
            shares[nearest] += mass[p]
            for a in range(3):
                sums[nearest, a] += mass[p] * points[p, a]
        moved = 0.0
        for n in range(len(centres)):
            if shares[n] > 0.0:
                for a in range(3):
                    moved = max(moved, abs(sums[n, a] / shares[n] - centres[n, a]))
                    centres[n, a] = sums[n, a] / shares[n]
        if moved == 0.0:
            break
    return centres
