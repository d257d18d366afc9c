"""Size of a single particle, where the sizes found in a stack make it evident."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Fewer particles show no size.
_MIN_COUNT = 8
# Standard deviation, in log diameter, of the kernel that smooths the distribution.
_BANDWIDTH = 0.04
# The peak ends where the density falls below this fraction of its height.
_FOOT = 0.1
# A peak wider than this factor, from foot to foot, is no single size.
_MAX_WIDTH = 2.3
# The peak must hold this fraction of the particles, or more than one size is there, or none.
_MIN_FRACTION = 0.6


@dataclass(frozen=True)
class SingleSize:
    """Size of a single particle.

    Attributes
    ----------
    diameter_nm
        Smallest and largest diameter; None if no size is evident.
    usual_nm
        Most frequent diameter; NaN without particles.
    fraction
        Fraction of the particles between the smallest and largest diameter of the peak.
    count
        Number of particles.
    reason
        Why no size is evident, with the numbers; empty if one is.
    """

    diameter_nm: tuple[float, float] | None
    usual_nm: float
    fraction: float
    count: int
    reason: str = ""


def evident_diameter(diameters_nm: NDArray[np.floating]) -> SingleSize:
    """Tell whether the particles have a usual size.

    The density of the log diameters is estimated with a Gaussian kernel. Its highest peak is the usual size if it holds most
    particles and is narrow.

    Parameters
    ----------
    diameters_nm : (N,) ndarray of float
        Diameters of the particles from a first split without a known size
        (`spherovem_core.nanoparticles.component_fit.fit_component`). Diameters of whole components mislead where most
        particles lie in clumps of the same number.
    """
    logs = np.log(np.asarray(diameters_nm, np.float64))
    if len(logs) < _MIN_COUNT:
        return SingleSize(
            None,
            float(np.exp(np.median(logs))) if len(logs) else np.nan,
            0.0,
            len(logs),
            f"{len(logs)} particles are too few to show their size; expected {_MIN_COUNT}",
        )
    grid = np.arange(logs.min() - 5 * _BANDWIDTH, logs.max() + 5 * _BANDWIDTH, _BANDWIDTH / 8)
    counts, edges = np.histogram(logs, np.append(grid, grid[-1] + _BANDWIDTH / 8))
    centres = 0.5 * (edges[1:] + edges[:-1])
    reach = np.arange(-40, 41) / 8
    density = np.convolve(counts, np.exp(-0.5 * reach**2), mode="same")[: len(centres)]
    top = int(np.argmax(density))
    below = density < _FOOT * density[top]
    low = centres[np.flatnonzero(below[:top])[-1]] if below[:top].any() else centres[0]
    high = centres[top + np.flatnonzero(below[top:])[0]] if below[top:].any() else centres[-1]
    fraction = float(((logs >= low) & (logs <= high)).mean())
    usual, ends = float(np.exp(centres[top])), (float(np.exp(low)), float(np.exp(high)))
    reason = ""
    if ends[1] > _MAX_WIDTH * ends[0]:
        reason = f"sizes spread from {ends[0]:.0f} to {ends[1]:.0f} nm around {usual:.0f} nm, by more than a factor {_MAX_WIDTH}"
    elif fraction < _MIN_FRACTION:
        reason = f"{fraction:.0%} of {len(logs)} particles have {ends[0]:.0f} to {ends[1]:.0f} nm; expected {_MIN_FRACTION:.0%}"
    return SingleSize(None if reason else ends, usual, fraction, len(logs), reason)
