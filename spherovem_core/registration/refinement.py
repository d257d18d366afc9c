"""Levenberg-Marquardt refinement of a batch of pairs at one resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix, compose, invert, nearest_rigid, slice_centre
from spherovem_core.registration.normal_equations import NormalEquations, PairEquations
from spherovem_core.registration.strain_prior import StrainPrior

# The contrast is matched at every evaluation with the outlier weights of the one before. Near the end this changes the cost
# by up to 0.6 % in either direction, more than the last steps do.
COST_SLACK = 1.02

_TURN = np.array([0.0, -1.0, 0.0, 1.0, 0.0, 0.0])
_SWELL = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])

# Rows are the six elements of a displacement (yy, yx, y, xy, xx, x), columns the motions of the model.
MODEL_BASES: dict[str, NDArray[np.float64]] = {
    "translation": np.eye(6)[:, [2, 5]],
    "rigid": np.column_stack([np.eye(6)[:, [2, 5]], _TURN]),
    "similarity": np.column_stack([np.eye(6)[:, [2, 5]], _TURN, _SWELL]),
    "affine": np.eye(6),
}


def refine(
    equations: PairEquations,
    start: Matrix,
    model: str,
    prior: StrainPrior,
    max_iterations: int,
    tolerance_px: float,
) -> tuple[Matrix, NormalEquations, NDArray[np.int_]]:
    """Refine the map of each pair until the next step would move all corners by less than `tolerance_px`.

    A step is kept if it lowers the cost, or if the next step is shorter and the cost rises by at most 2 %, the variation
    due to matching contrast. Otherwise the damping is raised, which makes the step shorter and closer to the gradient
    (Marquardt 1963).

    Parameters
    ----------
    equations : PairEquations
        The pairs at one resolution.
    start : (B, 2, 3) ndarray
        Maps in pixels of that resolution, fixed to moving.
    model
        Key of `MODEL_BASES`.
    prior : StrainPrior
        Added to the normal equations.
    max_iterations
        Most steps.
    tolerance_px
        In pixels of that resolution.

    Returns
    -------
    matrices : (B, 2, 3) ndarray
    normal : NormalEquations
        Those of the last evaluation that was kept.
    iterations : (B,) ndarray
        Number of evaluations of each pair.
    """
    matrices = start.copy()
    basis = MODEL_BASES[model]
    normal = prior.add(equations.evaluate(matrices), equations, matrices)
    damping = np.full(len(matrices), 1e-4)
    active = np.isfinite(normal.cost)
    iterations = np.ones(len(matrices), dtype=np.int_)
    for _ in range(max_iterations):
        displacement = solve_step(normal, basis, damping)
        displacement[~active] = 0.0
        reach = _reach(displacement, equations.shape)
        proposed = _follow(matrices, displacement, equations.shape, model)
        small = active & (reach <= tolerance_px)
        # The last step is not evaluated again: an evaluation costs as much as every step before it.
        matrices = np.where(small[:, None, None], proposed, matrices)
        active &= ~small
        if not active.any():
            break
        tried = np.where(active[:, None, None], proposed, matrices)
        trial = prior.add(equations.evaluate(tried), equations, tried)
        iterations += active
        onward = _reach(solve_step(trial, basis, damping), equations.shape)
        nearer = (onward < reach) & (trial.cost < COST_SLACK * normal.cost)
        better = active & ((trial.cost < normal.cost) | nearer)
        matrices = np.where(better[:, None, None], proposed, matrices)
        normal = trial.where(better, normal)
        damping = np.where(better, damping * 0.1, np.maximum(damping, 1e-2) * 10.0)
        active &= damping < 1e5
    return matrices, normal, iterations


def solve_step(
    normal: NormalEquations, basis: NDArray[np.float64], damping: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solve the damped normal equations of each pair within the motion model: (B, 2, 3) displacements."""
    reduced = basis.T @ normal.hessian @ basis
    diagonal = np.einsum("bii->bi", reduced)
    diagonal += damping[:, None] * diagonal + 1e-9 * diagonal.max(-1, keepdims=True) + 1e-12
    right = normal.gradient @ basis
    solved = np.linalg.solve(reduced, right[..., None])[..., 0] @ basis.T
    return np.asarray(solved.reshape(-1, 2, 3))


def _follow(
    matrices: Matrix, displacement: NDArray[np.float64], shape: tuple[int, int], model: str
) -> Matrix:
    """Compose the maps with the inverse of a displacement of the fixed slice, which is applied first."""
    half = (max(shape) - 1) / 2.0
    linear = displacement[..., :2] / half
    shift = displacement[..., 2] - linear @ slice_centre(shape)
    update = np.eye(2, 3) + np.concatenate([linear, shift[..., None]], -1)
    moved = compose(matrices, invert(update))
    return nearest_rigid(moved, shape) if model == "rigid" else moved


def _reach(displacement: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Compute the largest displacement of a corner along an axis, in pixels."""
    spread = (np.asarray(shape) - 1.0) / (max(shape) - 1)
    reach = (np.abs(displacement[..., :2]) * spread).sum(-1) + np.abs(displacement[..., 2])
    furthest: NDArray[np.float64] = reach.max(-1)
    return furthest
