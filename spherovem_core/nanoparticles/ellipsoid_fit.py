"""Fit of one ellipsoid to the image of a component: the alternative to several balls that touch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import erf

from spherovem_core.nanoparticles.ball_fitting import BallScene

# A particle's axes are at least this fraction of a voxel and of the blur: thinner ones look alike.
_THINNEST = 0.5
# Depths over which each slice is averaged.
_SAMPLES = 5


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
    where = np.argwhere(scene.weight > 0)
    values, weight = scene.image[scene.weight > 0], np.sqrt(scene.weight[scene.weight > 0])
    points = where * scene.spacing
    start = _from_moments(points, np.clip(values, 0, 1), scene)

    def residuals(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn = _draw(parameters, points, scene)
        brightness = float(np.clip((drawn * values).sum() / max((drawn**2).sum(), 1e-9), *scene.brightness))
        return np.asarray(weight * (values / brightness - drawn))

    found = least_squares(
        residuals,
        start,
        x_scale=np.maximum(np.abs(start), 20.0),
        max_nfev=12,
        method="lm" if len(values) > 9 else "trf",
    )
    axes = np.sort(_axes(found.x)[0])
    mean = float(np.cbrt(axes.prod()))
    elongation = max(axes[2] / np.sqrt(axes[0] * axes[1]), np.sqrt(axes[1] * axes[2]) / axes[0])
    return EllipsoidFit(float((found.fun**2).sum()), 2 * mean, float(elongation))


def _axes(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return half axes (3,) and directions (3, 3; columns) from a centre and a triangular root of the covariance."""
    root = np.zeros((3, 3))
    root[np.tril_indices(3)] = parameters[3:]
    squares, directions = np.linalg.eigh(root @ root.T)
    return np.sqrt(np.maximum(squares, 1.0)), directions


def _from_moments(
    points: NDArray[np.float64], values: NDArray[np.float64], scene: BallScene
) -> NDArray[np.float64]:
    total = max(float(values.sum()), 1e-9)
    centre = (values[:, None] * points).sum(axis=0) / total
    away = points - centre
    covariance = (values[:, None] * away).T @ away / total
    # Slices and pixels are averages, and the plane is blurred: their variances are not the particle's.
    covariance -= np.diag(scene.spacing**2 / 12 + scene.sigma**2)
    squares, directions = np.linalg.eigh(5 * covariance)
    smallest = (_THINNEST * scene.spacing.min()) ** 2
    root = np.linalg.cholesky((directions * np.maximum(squares, smallest)) @ directions.T)
    return np.concatenate([centre, root[np.tril_indices(3)]])


def _draw(
    parameters: NDArray[np.float64], points: NDArray[np.float64], scene: BallScene
) -> NDArray[np.float64]:
    axes, directions = _axes(parameters)
    radius = float(np.cbrt(axes.prod()))
    drawn = np.zeros(len(points))
    for k in range(_SAMPLES):
        shift = ((k + 0.5) / _SAMPLES - 0.5) * scene.spacing[0]
        along = (points + np.array([shift, 0, 0]) - parameters[:3]) @ directions / axes
        rho = np.sqrt((along**2).sum(axis=1))
        normal = along / axes @ directions.T
        slope = np.maximum(np.sqrt((normal**2).sum(axis=1)), 1e-9)
        flat = np.sqrt((normal[:, 1:] ** 2).sum(axis=1)) / slope
        # Only the plane is blurred; along z, the edge is as soft as the distance between the depths.
        sigma = np.hypot(flat * scene.sigma, scene.spacing[0] / (_SAMPLES * np.sqrt(12)))
        d = np.maximum(radius + (rho - 1) * np.maximum(rho, 1e-6) / slope, 1e-3 * sigma)
        low, high = np.exp(-0.5 * ((d - radius) / sigma) ** 2), np.exp(-0.5 * ((d + radius) / sigma) ** 2)
        edges = erf((radius - d) / (np.sqrt(2) * sigma)) + erf((radius + d) / (np.sqrt(2) * sigma))
        drawn += 0.5 * edges - sigma / (np.sqrt(2 * np.pi) * d) * (low - high)
    return drawn / _SAMPLES
