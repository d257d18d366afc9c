"""Prior on the strain between two slices, which is usually small."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.normal_equations import OUTLIER_SIGMAS, NormalEquations, PairEquations

# Strain along y, strain along x and shear, from the six elements of a displacement.
_STRAIN = np.array([[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 2**-0.5, 0, 2**-0.5, 0, 0]], dtype=np.float64)
CORRELATED_PX = 24.0


@dataclass(frozen=True)
class StrainPrior:
    """Gaussian prior on stretch and shear; rotation and shift are free.

    In a slice that shows only a few cells, their growing and shrinking with depth looks like a deformation of the slice; the
    prior states that slices are rarely deformed. On phantoms with cells 140 px wide it suppresses 1.4 % of the strain at
    512² pixels, a quarter at 256² and 90 % at 128². There a stack of 32 slices was misplaced by 4.7 px rms without the
    prior and by 2.5 px with it.

    Attributes
    ----------
    strain
        Standard deviation of the strain.
    factor
        Binning of the resolution; residuals are correlated over 24 px of the source.
    """

    strain: float
    factor: int

    def add(self, normal: NormalEquations, equations: PairEquations, matrices: Matrix) -> NormalEquations:
        """Add the prior to the normal equations and the cost at the maps where they were computed."""
        half = (max(equations.shape) - 1) / 2.0
        linear = matrices[:, :, :2]
        green = 0.5 * (np.swapaxes(linear, 1, 2) @ linear - np.eye(2)) * half
        strain = np.stack([green[:, 0, 0], green[:, 1, 1], 2**0.5 * green[:, 0, 1]], -1)
        together = max(CORRELATED_PX / self.factor, 4.0) ** 2
        unit = together / (self.strain * half) ** 2
        scale = (equations.scale / OUTLIER_SIGMAS) ** 2 * unit
        misfit: NDArray[np.float64] = unit / OUTLIER_SIGMAS**2 * (strain**2).sum(-1) / equations.pixels
        return replace(
            normal,
            hessian=normal.hessian + scale[:, None, None] * (_STRAIN.T @ _STRAIN),
            gradient=normal.gradient + scale[:, None] * (strain @ _STRAIN),
            cost=normal.cost + misfit,
        )
