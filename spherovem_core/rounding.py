"""Rounding of measured values to steps that compress well."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def power_of_two_below(value: float) -> float:
    """Return the largest power of two that is not above a positive value."""
    return 2.0 ** math.floor(math.log2(value))


def round_to(values: NDArray[Any], step: float) -> NDArray[Any]:
    """Round floating-point values to the nearest multiples of a step, a power of two so that they are exact.

    Halves go to the even multiple; NaN stays.
    """
    found: NDArray[Any] = values / values.dtype.type(step)
    np.rint(found, out=found)
    found *= values.dtype.type(step)
    return found
