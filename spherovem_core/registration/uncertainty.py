"""Uncertainty of a fitted motion, from the scatter between tiles of the slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix, slice_centre
from spherovem_core.registration.normal_equations import NormalEquations, PairEquations
from spherovem_core.registration.refinement import MODEL_BASES

FINE_TILES, COARSE_TILES = 16, (4, 8)
# Variance of the error of pairs over that of the sandwich estimate, for what fine tiles see and for what only coarse tiles see.
# The first is 1 / 0.73² for the robust weights, which make the normal equations too steep, times 1.8 for linear
# interpolation and the border: on copies of one slice the error was 1.9 times the estimate with noise of 8 to 20 grey values.
# The second comes from tissue that changes (phantoms and FIB-SEM slices at distance 1).
FINE_FACTOR, COARSE_FACTOR = 3.4, 6.0
# What is left of a pattern that was subtracted, as a part of the change it made to the map, and the variance that its own noise,
# which is the same in all slices, adds to a pair: from 40 textured and FIB-SEM stacks with curtains, detector pattern and resin.
PATTERN_LEFT, PATTERN_FACTOR = 0.35, 1.5
# Kish's number of tiles of evenly textured slices is lower by this factor.
EVEN = 1.5
LEAST_FREE = 0.5
_FITTED = 3


def motion_covariances(
    equations: PairEquations, matrices: Matrix, normal: NormalEquations, model: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the covariance of the motion of each pair within the model, and the condition of its normal equations.

    The true motion of a pair is that of the frame against the specimen. Tissue that changes between the slices and seems to
    move the slice as a whole therefore counts as error, except for the steady lean of tissue, which no pair can tell
    from motion.

    The estimate is cluster-robust (White 1984): contributions to the gradient are summed over tiles of the slice and taken to
    be independent between tiles. Noise and interpolation give the same variance for all sizes of the tiles. Tissue
    changes over larger distances, so that the variance grows with the tiles. From 16 x 16 to 4 x 4 tiles, the growth
    measures the part that acts on the whole slice, which is added with a larger factor. Where tissue fills few of the coarse
    tiles, their sums cancel, because the whole gradient is 0 at the fit; 8 x 8 tiles are taken if they scatter more. An error
    that all tiles have in common without any scatter is not seen.

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
    values = np.linalg.eigvalsh(hessian)
    conditions = values[:, -1] / np.maximum(values[:, 0], 1e-300)
    inverse = basis @ np.linalg.pinv(hessian, rcond=1e-9, hermitian=True) @ basis.T
    tiles = _tile_gradients(equations, matrices)
    weights = _mean_square_weights(equations.shape)
    scatters = [inverse @ _scatter(tiles, count) @ inverse for count in (FINE_TILES, *COARSE_TILES)]
    sizes = [np.einsum("i,bii->b", weights, scatter) for scatter in scatters]
    fine, small = scatters[0], sizes[0]
    chosen = np.argmax(sizes[1:], axis=0)
    coarse = np.stack(scatters[1:])[chosen, np.arange(len(chosen))]
    large = np.max(sizes[1:], axis=0)
    growth = np.maximum(large - small, 0.0) / np.maximum(large, 1e-300)
    return FINE_FACTOR * fine + COARSE_FACTOR * growth[:, None, None] * coarse, conditions


def covariance_with_pattern(
    covariance: NDArray[np.float64], matrix: Matrix, before: Matrix | None, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Add the uncertainty of the pattern that was subtracted from both slices to the covariance of their motion.

    A pattern measured from few slices is too weak and noisy, and what is left of it pulls all tiles alike, so that their
    scatter does not show it. The change that the subtraction made shows how strongly the pair can be pulled.

    Parameters
    ----------
    covariance : (6, 6) ndarray
        As in `motion_covariances`, in pixels² of the slices.
    matrix, before : (2, 3) ndarray
        Map with the pattern subtracted, and without; None if the pair was not registered before.
    shape : (Y, X)
        Shape of a slice.
    """
    widened = PATTERN_FACTOR * covariance
    if before is None:
        return widened
    difference = matrix - before
    shift = difference @ np.append(slice_centre(shape), 1.0)
    half = (max(shape) - 1) / 2.0
    change = np.column_stack([half * difference[:, :2], shift]).ravel()
    return widened + PATTERN_LEFT**2 * np.outer(change, change)


def rms_of_covariance(covariance: NDArray[np.float64], shape: tuple[int, int]) -> float:
    """Compute the root mean square displacement over a slice of a motion with this covariance, in pixels."""
    weights = _mean_square_weights(shape)
    return float(np.sqrt(np.maximum(weights @ np.diag(covariance), 0.0)))


def _mean_square_weights(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the mean squares over a slice of the displacements of the six elements."""
    half = (max(shape) - 1) / 2.0
    spread = (np.asarray(shape, dtype=np.float64) ** 2 - 1.0) / 12.0 / half**2
    return np.tile([*spread, 1.0], 2)


def _tile_gradients(equations: PairEquations, matrices: Matrix) -> NDArray[np.float64]:
    """Sum the contributions to the gradient over each of the fine tiles: (B, 16, 16, 6)."""
    tiles = equations.tile_gradients(matrices, FINE_TILES)
    return tiles.reshape(-1, FINE_TILES, FINE_TILES, 6)


def _scatter(tiles: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Sum the outer products of the contributions of `count` x `count` tiles, less what the fit took: (B, 6, 6)."""
    side = FINE_TILES // count
    clusters = tiles.reshape(-1, count, side, count, side, 6).sum((2, 4)).reshape(-1, count**2, 6)
    scatter: NDArray[np.float64] = np.swapaxes(clusters, 1, 2) @ clusters
    filled = np.minimum(_filled_tiles(clusters), count**2)
    widened: NDArray[np.float64] = (
        scatter * (filled / np.maximum(filled - _FITTED, LEAST_FREE))[:, None, None]
    )
    return widened


def _filled_tiles(clusters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the number of tiles that contribute, as of Kish for weights: (B,).

    The squares of contributions vary by chance as well, which `EVEN` makes up for.
    """
    squares = (clusters**2).sum(-1)
    number: NDArray[np.float64] = EVEN * squares.sum(-1) ** 2 / np.maximum((squares**2).sum(-1), 1e-300)
    return number
