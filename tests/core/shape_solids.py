"""Solids of known volume, area and curvatures, voxelised at any spacing, offset and orientation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Solid:
    """Labels (0 or 1) of one solid, and its true measures in nm."""

    labels: NDArray[np.uint32]
    spacing_nm: tuple[float, float, float]
    volume: float
    area: float
    total_mean_curvature: float
    total_gaussian_curvature: float


def sphere(radius, spacing, rng):
    def inside(p):
        return (p**2).sum(axis=-1) <= radius**2

    area = 4 * np.pi * radius**2
    return _voxelise(inside, radius, spacing, rng, radius * area / 3, area, area / radius, 4 * np.pi)


def ellipsoid(semi_axes, spacing, rng):
    a, b, c = semi_axes

    def inside(p):
        return ((p / np.array(semi_axes)) ** 2).sum(axis=-1) <= 1

    # Area and mean curvature by Gauss-Legendre quadrature on the unit ball's surface.
    height, weight = np.polynomial.legendre.leggauss(300)
    turn = (np.arange(300) + 0.5) * 2 * np.pi / 300
    z, phi = np.meshgrid(height, turn, indexing="ij")
    x, y = np.sqrt(1 - z**2) * np.cos(phi), np.sqrt(1 - z**2) * np.sin(phi)
    g = np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    element = a * b * c * g * weight[:, None] * 2 * np.pi / 300
    square = (a * x) ** 2 + (b * y) ** 2 + (c * z) ** 2
    mean = np.abs(square - a * a - b * b - c * c) / (2 * (a * b * c) ** 2 * g**3)
    volume = 4 / 3 * np.pi * a * b * c
    bending = float((mean * element).sum())
    return _voxelise(inside, max(semi_axes), spacing, rng, volume, float(element.sum()), bending, 4 * np.pi)


def torus(ring, tube, spacing, rng):
    def inside(p):
        return (np.hypot(p[..., 1], p[..., 2]) - ring) ** 2 + p[..., 0] ** 2 <= tube**2

    return _voxelise(
        inside,
        ring + tube,
        spacing,
        rng,
        2 * np.pi**2 * ring * tube**2,
        4 * np.pi**2 * ring * tube,
        2 * np.pi**2 * ring,
        0.0,
    )


def capsule(radius, length, spacing, rng):
    def inside(p):
        beyond = np.maximum(np.abs(p[..., 0]) - length / 2, 0)
        return beyond**2 + p[..., 1] ** 2 + p[..., 2] ** 2 <= radius**2

    return _voxelise(
        inside,
        radius + length / 2,
        spacing,
        rng,
        np.pi * radius**2 * (4 / 3 * radius + length),
        2 * np.pi * radius * (2 * radius + length),
        np.pi * (4 * radius + length),
        4 * np.pi,
    )


def cube(side, spacing, rng):
    def inside(p):
        return (np.abs(p) <= side / 2).all(axis=-1)

    reach = side * 0.867
    return _voxelise(inside, reach, spacing, rng, side**3, 6 * side**2, 3 * np.pi * side, 4 * np.pi)


def cylinder(radius, length, spacing, rng):
    """Make a cylinder, whose two sharp edges turn by 90°."""

    def inside(p):
        return (np.abs(p[..., 0]) <= length / 2) & (np.hypot(p[..., 1], p[..., 2]) <= radius)

    return _voxelise(
        inside,
        np.hypot(radius, length / 2),
        spacing,
        rng,
        np.pi * radius**2 * length,
        2 * np.pi * radius * (length + radius),
        np.pi * length + np.pi**2 * radius,
        4 * np.pi,
    )


def half_ball(radius, spacing, rng):
    def inside(p):
        return ((p**2).sum(axis=-1) <= radius**2) & (p[..., 0] >= 0)

    return _voxelise(
        inside,
        radius,
        spacing,
        rng,
        2 / 3 * np.pi * radius**3,
        3 * np.pi * radius**2,
        2 * np.pi * radius + np.pi**2 * radius / 2,
        4 * np.pi,
    )


def _voxelise(inside, reach, spacing, rng, *truth):
    """Label the voxels whose centre lies in the solid, at a random offset and a random orientation."""
    offset = rng.random(3) - 0.5
    axes = [
        (np.arange(-np.ceil(reach / h) - 2, np.ceil(reach / h) + 3) - o) * h
        for h, o in zip(spacing, offset, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    return Solid(inside(points @ turn.T).astype(np.uint32), tuple(spacing), *truth)
