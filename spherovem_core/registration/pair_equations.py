"""Choice of the implementation of the pair equations for a device."""

from typing import TYPE_CHECKING

from spherovem_core.registration.normal_equations import PairEquations
from spherovem_core.registration.pyramid import Level

if TYPE_CHECKING:
    from torch import Tensor


def pair_equations(fixed: Level, moving: Level, weight: "Tensor | None" = None) -> PairEquations:
    """Set up the equations of a batch of pairs at one resolution: compiled loops on the CPU, torch on a GPU.

    `weight` is the (B, Y, X) weight of each pixel of the fixed slices, 0 to 1; None is 1 everywhere.
    """
    images = fixed.image, moving.image, weight
    if fixed.image.device.type == "cpu":
        from spherovem_core.registration.normal_equations_numba import NumbaPairEquations

        return NumbaPairEquations(*images)
    from spherovem_core.registration.normal_equations_torch import TorchPairEquations

    return TorchPairEquations(*images)
