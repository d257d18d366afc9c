"""Uncertainty of a fitted motion, from the scatter between tiles of the slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.normal_equations import NormalEquations, PairEquations
from spherovem_core.registration.refinement import MODEL_BASES

TILES = 8


def motion_covariances(
    equations: PairEquations, matrices: Matrix, normal: NormalEquations, model: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the covariance of the motion of each pair within the model, and the condition of its normal equations.

    The estimate is cluster-robust (White 1984): residuals of neighbouring pixels are correlated, those of different tiles
    of the slice hardly. It includes noise and local motion of tissue, but not a change that all tiles have in common.

    Parameters
    ----------
    equations : PairEquations
        At the finest resolution.
    matrices : (B, 2, 3) ndarray
        Maps at the end of the refinement.
    normal : NormalEquations
        Normal equations at these maps.
    model
        Key of `MODEL_BASES`.

    Returns
    -------
    covariances : (B, 6, 6) ndarray
        In pixels² of that resolution.
    conditions : (B,) ndarray
    """
    basis = MODEL_BASES[model]
    hessian = basis.T @ normal.hessian @ basis
    scatter = basis.T @ _scatter(equations, matrices) @ basis
    values = np.linalg.eigvalsh(hessian)
    conditions = values[:, -1] / np.maximum(values[:, 0], 1e-300)
    inverse = np.linalg.pinv(hessian, rcond=1e-9, hermitian=True)
    return basis @ inverse @ scatter @ inverse @ basis.T, conditions


def rms_of_covariance(covariance: NDArray[np.float64], shape: tuple[int, int]) -> float:
    """Compute the root mean square displacement over a slice of a motion with this covariance, in pixels."""
    half = (max(shape) - 1) / 2.0
    spread = (np.asarray(shape, dtype=np.float64) ** 2 - 1.0) / 12.0 / half**2
    weights = np.tile([*spread, 1.0], 2)
    return float(np.sqrt(np.maximum(weights @ np.diag(covariance), 0.0)))


def _scatter(equations: PairEquations, matrices: Matrix) -> NDArray[np.float64]:
    """Sum the outer products of the gradient contributions of 8 x 8 tiles: (B, 6, 6)."""
    contributions = equations.tile_gradients(matrices, TILES)
    scatter: NDArray[np.float64] = np.swapaxes(contributions, 1, 2) @ contributions
    return scatter
