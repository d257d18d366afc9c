"""Change of magnification between two slices: whether a prior against stretch hides it, and whether it is sure without."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix

SUSPECTED, LEAST = 0.25, 0.7
"""Change of scale, in units of the usual strain, from which a prior may hide more of it, and from which it is unusual."""
SURE = 3.0
FREE = 20.0
"""Factor of the usual strain with which a suspected pair is fitted again."""


def is_suspected(matrix: Matrix, usual_strain: float) -> bool:
    """Tell whether a map (2, 3) that was fitted with the prior changes the scale enough to be fitted again without."""
    return _change(matrix) > SUSPECTED * usual_strain


def is_sure(
    matrix: Matrix, covariance: NDArray[np.float64], shape: tuple[int, int], usual_strain: float
) -> bool:
    """Tell whether a map (2, 3) that was fitted freely changes the scale by more than is usual and than three standard errors.

    The prior draws every strain to none, a step of the magnification by a fifth to three quarters in slices of 220 to 256 px with
    tissue that changes. A change of scale that is sure is no accident of a few cells.

    Parameters
    ----------
    covariance : (6, 6) ndarray
        As in `PairResult`.
    shape : (Y, X)
        Shape of a slice.
    """
    half = (max(shape) - 1) / 2.0
    variance = (covariance[0, 0] + covariance[4, 4] + 2.0 * covariance[0, 4]) / 4.0 / half**2
    return _change(matrix) > max(LEAST * usual_strain, SURE * float(np.sqrt(variance)))


def _change(matrix: Matrix) -> float:
    return abs(float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))) - 1.0)
