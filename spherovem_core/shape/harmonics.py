"""Rotation-invariant power of a label's outline in spherical harmonics.

The radius of a body in direction u, seen from its centroid, is ``r(u) = Σ c_lm Y_lm(u)``, with real orthonormal harmonics. Since
``∫ Y_lm(u) / |x|² dV`` over the body equals ``∫ r(u) Y_lm(u) dΩ = c_lm``, the coefficients are sums over its cells, without a
surface and its smoothing. Where a ray leaves the body and enters it again, r(u) is the length of the ray inside.
``p_l = Σ_m c_lm² / c_00²`` does not change when the body is turned, moved or scaled
(Kazhdan, Funkhouser, Rusinkiewicz, "Rotation invariant spherical harmonic
representation of 3D shape descriptors", Symposium on Geometry Processing, 2003).
"""

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.shape.surface import FAST
from spherovem_core.spacing import SpacingNm

DEGREES = 8
"""Highest degree l."""


def harmonic_power(occupancy: NDArray[np.float32], spacing_nm: SpacingNm) -> NDArray[np.float64]:
    """Compute the power of an outline in the degrees 1 to 8.

    Parameters
    ----------
    occupancy : (Z, Y, X) ndarray of float32
        Fraction of each cell that the whole body fills.
    spacing_nm
        Cell size.

    Returns
    -------
    (8,) ndarray of float64
        ``p_1`` to ``p_8``; all 0 for a ball. NaN where nothing is filled.
    """
    spacing = np.array(spacing_nm, np.float64)
    centre = _centroid(occupancy)
    if not np.isfinite(centre).all():
        return np.full(DEGREES, np.nan)
    # Rays end at the first cell that is not full; within, directions cancel and only the mean radius grows.
    free = math.sqrt(_nearest_gap(occupancy, centre, spacing)) - float(np.linalg.norm(spacing))
    whole = max(free, 0.0)
    near = whole / 2
    sums = _project(occupancy, centre, spacing, near, whole, _diagonal(), *_recurrence()) * spacing.prod()
    # The ramp leaves out half of the way from `near` to `whole`, and all below.
    missing = (near + whole) / 2
    first = sums[0] + missing * math.sqrt(4 * math.pi)
    power = np.array([(sums[n * n : (n + 1) ** 2] ** 2).sum() for n in range(1, DEGREES + 1)])
    relative: NDArray[np.float64] = power / first**2
    return relative


def _centroid(occupancy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the centroid in cells."""
    total = float(occupancy.sum(dtype=np.float64))
    if total == 0:
        return np.full(3, np.nan)
    planes = (
        occupancy.sum(axis=tuple(other for other in range(3) if other != axis), dtype=np.float64)
        for axis in range(3)
    )
    return np.array([float((plane * np.arange(len(plane))).sum()) / total for plane in planes])


def _diagonal() -> NDArray[np.float64]:
    """Compute the factors from ``P_(m-1)(m-1)`` to ``P_mm`` of normalised associated Legendre functions."""
    m = np.arange(1, DEGREES + 1)
    return np.append(1 / math.sqrt(4 * math.pi), np.sqrt((2 * m + 1) / (2 * m)))


def _recurrence() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the factors of ``P_lm = a (z P_(l-1)m - b P_(l-2)m)``, by degree and order."""
    n, m = np.meshgrid(np.arange(DEGREES + 1.0), np.arange(DEGREES + 1.0), indexing="ij")
    rising = n > m
    first = np.sqrt(np.divide(4 * n**2 - 1, n**2 - m**2, out=np.zeros_like(n), where=rising))
    below = np.divide((n - 1) ** 2 - m**2, 4 * (n - 1) ** 2 - 1, out=np.zeros_like(n), where=n > m + 1)
    return first, np.sqrt(below)


@numba.njit(**FAST)  # type: ignore[untyped-decorator]
def _nearest_gap(occupancy: Any, centre: Any, spacing: Any) -> Any:
    """Find the squared distance in nm from the centroid to the nearest cell that is not full."""
    depth, height, width = occupancy.shape
    nearest = np.inf
    for z in range(depth):
        dz = ((z - centre[0]) * spacing[0]) ** 2
        if dz >= nearest:
            continue
        for y in range(height):
            dzy = dz + ((y - centre[1]) * spacing[1]) ** 2
            if dzy >= nearest:
                continue
            for x in range(width):
                if occupancy[z, y, x] < np.float32(0.999):
                    nearest = min(nearest, dzy + ((x - centre[2]) * spacing[2]) ** 2)
    return nearest


@numba.njit(**FAST)  # type: ignore[untyped-decorator]
def _project(
    occupancy: Any,
    centre: Any,
    spacing: Any,
    near: float,
    whole: float,
    diagonal: Any,
    first: Any,
    second: Any,
) -> Any:
    """Sum ``Y_lm / |x|²`` over the cells beyond a ramp from `near` to `whole` nm, weighted by what they hold; CPU."""
    sums = np.zeros((DEGREES + 1) ** 2)
    root = np.sqrt(2.0)
    depth, height, width = occupancy.shape
    for iz in range(depth):
        dz = (iz - centre[0]) * spacing[0]
        for iy in range(height):
            dy = (iy - centre[1]) * spacing[1]
            for ix in range(width):
                filled = occupancy[iz, iy, ix]
                if filled <= 0:
                    continue
                dx = (ix - centre[2]) * spacing[2]
                square = dz * dz + dy * dy + dx * dx
                distance = np.sqrt(square)
                if distance <= near or distance == 0:
                    continue
                weight = filled / square
                if distance < whole:
                    weight *= (distance - near) / (whole - near)
                z, y, x = dz / distance, dy / distance, dx / distance
                real, imaginary, highest = weight, 0.0, 1.0
                for m in range(DEGREES + 1):
                    highest *= diagonal[m]
                    if m == 1:
                        real, imaginary = root * real * x, root * real * y
                    elif m > 1:
                        real, imaginary = real * x - imaginary * y, real * y + imaginary * x
                    before, value = 0.0, highest
                    for n in range(m, DEGREES + 1):
                        if n > m:
                            before, value = value, first[n, m] * (z * value - second[n, m] * before)
                        middle = n * n + n
                        sums[middle + m] += value * real
                        if m > 0:
                            sums[middle - m] += value * imaginary
    return sums
