"""Positions and shapes of the nuclei of one cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom.cell_states import CellState

# Radius of each of two nuclei relative to a single one.
_TWIN = 0.76
# Half axes of a plate of chromosomes, and distance of two of them from the middle, relative to the radius of a nucleus.
_PLATE = (0.9, 0.9, 0.3)
_APART = 0.75
# Radius of the condensed nucleus of a dead cell relative to that of a living one.
_CONDENSED = 0.62

Forms = tuple[NDArray[np.float64], NDArray[np.float64]]


def nuclei_in(
    points: NDArray[np.float64],
    depth: NDArray[np.float32],
    radius: float,
    jitter: NDArray[np.float64],
    number: int,
    state: int,
) -> Forms:
    """Place the nuclei of a cell, given as a cloud of points; return centres and metrics.

    Parameters
    ----------
    points : (N, 3) ndarray
        Points of the cell, with their depth below its surface.
    radius : float
        Mean radius of a single nucleus in µm.
    jitter : (3,) ndarray
        Normally distributed displacement.
    number : int
        Number of nuclei, at least 1.
    state : int
        `CellState` of the cell.
    """
    middle, axes, stretch = _form(points, depth)
    middle = middle + 0.06 * radius * jitter
    if state == CellState.DIVIDING:
        return _plates(middle, axes, radius, number)
    if number > 2:
        return _many(points, depth, middle, radius / number ** (1 / 3), number)
    if state == CellState.DEAD:
        radius *= _CONDENSED
    if number == 2:
        radius *= _TWIN
    metric = axes @ np.diag((radius * stretch) ** -2) @ axes.T
    along = axes[:, 2] * radius * stretch[2] * 1.12
    centres = [middle] if number == 1 else [middle - along, middle + along]
    return np.array(centres), np.array([metric] * number)


def _plates(middle: NDArray[np.float64], axes: NDArray[np.float64], radius: float, number: int) -> Forms:
    """Place one plate of chromosomes across the long axis of the cell, or two that move apart along it."""
    half = radius * np.array(_PLATE) * (1.0 if number == 1 else 0.8)
    metric = axes @ np.diag(half**-2) @ axes.T
    along = axes[:, 2] * radius * _APART
    centres = [middle] if number == 1 else [middle - along, middle + along]
    return np.array(centres), np.array([metric] * number)


def _many(
    points: NDArray[np.float64],
    depth: NDArray[np.float32],
    middle: NDArray[np.float64],
    radius: float,
    number: int,
) -> Forms:
    """Spread round nuclei over the deep parts of a cell: each as far as possible from those before it."""
    deep = points[depth >= min(radius, float(np.quantile(depth, 0.5)))]
    centres = [deep[np.argmin(np.linalg.norm(deep - middle, axis=1))]]
    away = np.linalg.norm(deep - centres[0], axis=1)
    for _ in range(number - 1):
        # Not the farthest point, which would push all of them against the membrane.
        reachable = np.where(away < 2.6 * radius, away, 0)
        centres.append(deep[np.argmax(reachable)])
        away = np.minimum(away, np.linalg.norm(deep - centres[-1], axis=1))
    return np.array(centres), np.array([np.eye(3) / radius**2] * number)


def _form(
    points: NDArray[np.float64], depth: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find the centre of the deep parts of a cell, its principal axes (columns, longest last) and their relative lengths."""
    weights = np.square(depth.astype(np.float64))
    centre = weights @ points / weights.sum()
    values, axes = np.linalg.eigh(np.cov(points.T) + 1e-6 * np.eye(3))
    stretch = np.sqrt(values) ** 0.7
    return centre, axes, stretch / np.prod(stretch) ** (1 / 3)
