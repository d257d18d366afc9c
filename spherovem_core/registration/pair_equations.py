"""Choice of the implementation of the pair equations for a device."""

from spherovem_core.registration.normal_equations import PairEquations
from spherovem_core.registration.pyramid import Level


def pair_equations(fixed: Level, moving: Level) -> PairEquations:
    """Set up the equations of a batch of pairs at one resolution: compiled loops on the CPU, torch on a GPU."""
    images = fixed.image, moving.image, fixed.weight, moving.weight
    if fixed.image.device.type == "cpu":
        from spherovem_core.registration.normal_equations_numba import NumbaPairEquations

        return NumbaPairEquations(*images)
    from spherovem_core.registration.normal_equations_torch import TorchPairEquations

    return TorchPairEquations(*images)
